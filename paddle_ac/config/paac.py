"""Hyper-parameters of PAAC."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from paddle_ac.config.base import SynchronousConfig
from paddle_ac.config.fields import field
from paddle_ac.config.groups import MemoryGroup, RolloutGroup, Schedule


class PAACConfig(MemoryGroup, RolloutGroup, SynchronousConfig):
    """Parallel advantage actor-critic (Clemente et al. 2017, arXiv:1705.04862): A2C with many environments."""

    algo: Literal["paac"] = "paac"

    num_envs: int = field("run", 32, "environments side by side (n_e in the paper: 32 and up)", ge=1)
    learning_rate: float = field(
        "optimizer", 7e-4 * 32, "initial learning rate; 0.0007 * num_envs if none is given (the paper)", gt=0, le=100
    )
    lr_schedule: Schedule = field(
        "optimizer", "linear", "constant, linear to 0 over lr_decay_steps (the paper), or times lr_decay_factor"
    )

    @model_validator(mode="before")
    @classmethod
    def _learning_rate_grows_with_the_environments(cls, values: dict[str, Any]) -> dict[str, Any]:
        if "learning_rate" in values or "num_envs" not in values:
            return values
        try:
            return {**values, "learning_rate": 7e-4 * int(values["num_envs"])}
        except (TypeError, ValueError):  # raised when the field is validated
            return values
