"""Measure the speed of an algorithm of Stable-Baselines3."""

from __future__ import annotations

import time

from stable_baselines3.common.callbacks import BaseCallback


class Stopwatch(BaseCallback):
    """Measures whole updates from a number of steps on, then stops the training.

    Args:
        warm_up_steps: steps before the first measured update.
        seconds: after which no further update is measured.

    Attributes:
        steps_per_second: steps of single environments per second; NaN until the training has stopped.
    """

    def __init__(self, warm_up_steps: int, seconds: float):
        super().__init__()
        self.warm_up_steps, self.seconds = warm_up_steps, seconds
        self.steps_before: int | None = None
        self.steps_per_second = float("nan")
        self.is_over = False

    def _on_rollout_start(self) -> None:  # the update before has ended
        now = time.perf_counter()
        if self.steps_before is None:
            if self.num_timesteps >= self.warm_up_steps:
                self.started, self.steps_before = now, self.num_timesteps
        elif now - self.started >= self.seconds:
            self.steps_per_second = (self.num_timesteps - self.steps_before) / (now - self.started)
            self.is_over = True

    def _on_step(self) -> bool:
        return not self.is_over
