"""Learning rates that fall during training."""

from __future__ import annotations


def scheduled_learning_rate(
    schedule: str, initial: float, env_steps: int, decay_steps: int, decay_factor: float
) -> float:
    """The learning rate after a number of steps.

    Args:
        schedule: ``"constant"``, ``"linear"`` (to 0 after ``decay_steps``) or ``"step"`` (times ``decay_factor`` after
            every ``decay_steps``).
        initial: at step 0.
        env_steps: steps of single environments so far.
        decay_steps: in the same unit.
        decay_factor: of the step schedule.
    """
    if schedule == "linear":
        return initial * max(1.0 - env_steps / decay_steps, 0.0)
    if schedule == "step":
        return initial * decay_factor ** (env_steps // decay_steps)
    return initial
