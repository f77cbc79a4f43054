"""The members of the family: where the hyper-parameters and the algorithm of each are.

A line here makes a member known to the command line, to configurations and to ``paddle_ac.make``. Places are texts, so
that a mistake in a configuration is told without the second that importing Paddle takes.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

A2C = "paddle_ac.algorithms.a2c:A2C"  # those of one learner differ by what their configurations say of the estimator

FAMILY = {
    "a2c": ("paddle_ac.config.a2c:A2CConfig", A2C),
    "ppo": ("paddle_ac.config.ppo:PPOConfig", "paddle_ac.algorithms.ppo:PPO"),
    "paac": ("paddle_ac.config.paac:PAACConfig", A2C),
    "a3c": ("paddle_ac.config.a3c:A3CConfig", "paddle_ac.algorithms.a3c:A3C"),
    "td_ac": ("paddle_ac.config.td_ac:TDActorCriticConfig", A2C),
    "q_ac": ("paddle_ac.config.q_ac:QActorCriticConfig", A2C),
    "reinforce": ("paddle_ac.config.reinforce:ReinforceConfig", A2C),
    "sac": ("paddle_ac.config.sac:SACConfig", "paddle_ac.algorithms.sac:SAC"),
}


class MembersClasses(Mapping[str, Any]):
    """One class of each member, imported when it is asked for.

    Args:
        place: 0 for its configuration, 1 for its algorithm.
    """

    def __init__(self, place: int):
        self._place = place

    def __getitem__(self, algo: str) -> Any:
        module, _, name = FAMILY[algo][self._place].partition(":")
        return getattr(importlib.import_module(module), name)

    def __iter__(self) -> Iterator[str]:
        return iter(FAMILY)

    def __len__(self) -> int:
        return len(FAMILY)
