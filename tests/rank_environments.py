"""Environments in which one rank of a synchronous training fails; the variable RANK_FAULT says how."""

from __future__ import annotations

import os
import signal
import time

from gymnasium.envs.classic_control import CartPoleEnv


class FaultyCartPole(CartPoleEnv):
    """CartPole, in a worker process, in which rank 1 is killed, raises or hangs in step ``RANK_FAULT=kind,step``."""

    num_steps = 0

    def step(self, action):
        self.num_steps += 1
        kind, _, number = os.environ.get("RANK_FAULT", "").partition(",")
        if os.environ.get("PADDLE_TRAINER_ID") == "1" and self.num_steps == int(number or -1):
            if kind == "kill":
                os.kill(os.getppid(), signal.SIGKILL)
            elif kind == "hang":
                time.sleep(300)
            raise OSError("the simulator is gone")
        return super().step(action)
