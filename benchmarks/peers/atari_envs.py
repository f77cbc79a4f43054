"""One Atari game by the protocol of paddle_ac, from Gymnasium's own wrappers, for other libraries."""

from __future__ import annotations

import ale_py
import gymnasium
from gymnasium.wrappers import AtariPreprocessing, FrameStackObservation


def make_game(game: str) -> gymnasium.Env:
    """Observations ``[4, 84, 84]`` uint8; losing a life ends no episode."""
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    gymnasium.register_envs(ale_py)
    env = gymnasium.make(f"ALE/{game}-v5", frameskip=1, repeat_action_probability=0.0, obs_type="grayscale")
    return FrameStackObservation(AtariPreprocessing(env), 4, padding_type="zero")
