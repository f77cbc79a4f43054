"""The protocol of Atari games, the same for every kind of environment.

An observation is the last 4 screens (``frame_stack``), 84 x 84 pixels in grayscale, ``[4, 84, 84]`` uint8, the newest
last; screens before the first one of a game are black. An action is repeated for 4 frames, and a screen is the maximum
of the last two of them. A game starts after up to 30 frames without action and is cut 108,000 frames later. Actions are
not sticky (``sticky_actions``). In training, losing a life ends an episode (``terminal_on_life_loss``), and rewards are
clipped to their sign (``reward_clip``); returns are scores of whole games.

Sources: Mnih et al. 2015 (Human-level control through deep reinforcement learning), Mnih et al. 2016
(arXiv:1602.01783), Machado et al. 2018 (arXiv:1709.06009).

The kinds of environments agree to the pixel, with three exceptions. ALE's vector environment (``native``) draws 0 to 29
frames without action where the others draw 1 to 30, and so does envpool with FIRE. envpool stacks copies of a game's
first screen. The last screen of a game lacks its last frame: where the game ends, except in envpool, and where it is
cut, in ALE's vector environment alone.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import AtariPreprocessing, FrameStackObservation, TimeLimit

from multiprocessing_env import VecEnv, VecEnvWrapper
from paddle_ac.errors import ConfigError, needs, quoted

if TYPE_CHECKING:  # workers import this module, and need no configurations
    from paddle_ac.config.base import RunConfig

NOOP_MAX = 30  # frames
FRAME_SKIP = 4
FRAMES_PER_SECOND = 60  # of the console
SCREEN_SIZE = 84  # pixels
MAX_FRAMES = 108_000  # of a game, after those without action: 30 minutes

GAMES = "games"  # key of the states of the games in the state of a LifeLossEnvs

GAME_ARGUMENTS = ("difficulty", "full_action_space", "mode")  # of ALE, that are no part of the protocol


def game_arguments(config: RunConfig) -> dict[str, Any]:
    """The arguments of a game in ALE, as the configuration and the protocol set them.

    Raises:
        ConfigError: an argument of the environment that the protocol sets.
    """
    arguments = dict(config.env_kwargs)
    max_steps = arguments.pop("max_episode_steps", MAX_FRAMES // FRAME_SKIP)
    if type(max_steps) is not int or max_steps < 1:
        raise ConfigError(
            f"env_kwargs: max_episode_steps must be a whole number of at least 1, got {quoted(max_steps)}"
        )
    for name in arguments:
        if name not in GAME_ARGUMENTS:
            raise ConfigError(
                f"env_kwargs: an Atari game takes {', '.join(GAME_ARGUMENTS)} and max_episode_steps, not {name!r}; its "
                "protocol is set by --sticky-actions, --frame-stack, --fire-on-reset and --terminal-on-life-loss"
            )
    if type(arguments.get("full_action_space", False)) is not bool:
        raise ConfigError(
            f"env_kwargs: full_action_space must be true or false, got {quoted(arguments['full_action_space'])}"
        )
    return {
        "repeat_action_probability": config.sticky_actions,
        "max_num_frames_per_episode": max_steps * FRAME_SKIP,
        **arguments,
    }


def game_spec(config: RunConfig, registered: EnvSpec) -> EnvSpec:
    """The specification of one game, before its preprocessing, from that which ALE registers.

    Raises:
        ConfigError: an argument of the environment that the protocol sets, or a mode or difficulty that the game lacks.
    """
    kwargs = {"game": registered.kwargs["game"], **game_arguments(config)}
    _check_mode_and_difficulty(config.env, kwargs)
    return dataclasses.replace(registered, order_enforce=False, kwargs=kwargs)


def _check_mode_and_difficulty(env_id: str, kwargs: dict[str, Any]) -> None:
    asked = {name: kwargs[name] for name in ("mode", "difficulty") if name in kwargs}
    if not asked:
        return
    from ale_py import ALEInterface, LoggerMode, roms

    ALEInterface.setLoggerMode(LoggerMode.Error)
    rom = roms.get_rom_path(kwargs["game"])
    assert rom is not None, "a registered game has one"
    ale = ALEInterface()
    ale.loadROM(rom)
    allowed = {"mode": ale.getAvailableModes(), "difficulty": ale.getAvailableDifficulties()}
    for name, value in asked.items():
        if type(value) is not int or value not in allowed[name]:
            raise ConfigError(
                f"env_kwargs: {name} of {env_id} must be one of {', '.join(map(str, allowed[name]))}, "
                f"got {quoted(value)}"
            )


def make_game(spec: EnvSpec, num_frames: int, fire_on_reset: bool, **options: Any) -> gymnasium.Env:
    """One game with Gymnasium's preprocessing.

    Args:
        spec: as ``game_spec`` returns it.
        num_frames: number of screens in an observation.
        fire_on_reset: press FIRE in the first frame after those without action.
        options: of ``gymnasium.make``. A picture that is rendered is the game's own, ``[210, 160, 3]``, at the speed
            of the console.

    Raises:
        ConfigError: OpenCV is not installed, or cannot be loaded.
    """
    try:
        import cv2  # noqa: F401  # Gymnasium's own error names packages of which some need a screen
    except ImportError as error:
        raise ConfigError(f"{needs('an Atari game', 'opencv-python-headless')} ({error})") from None
    max_steps = spec.kwargs["max_num_frames_per_episode"] // FRAME_SKIP
    # Without ALE's own limit, which counts frames without action, as those of the other kinds do not.
    options = {**options, "max_num_frames_per_episode": None}
    env = gymnasium.make(spec, disable_env_checker=True, frameskip=1, obs_type="grayscale", **options)
    game = FirePreprocessing(env, NOOP_MAX) if fire_on_reset else AtariPreprocessing(env, NOOP_MAX)
    stacked = FrameStackObservation(TimeLimit(game, max_steps), num_frames, padding_type="zero")
    stacked.metadata = {**stacked.metadata, "render_fps": FRAMES_PER_SECOND // FRAME_SKIP}
    return stacked


class FirePreprocessing(AtariPreprocessing):
    """Gymnasium's preprocessing of a game that starts with the press of FIRE, if it has such an action."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start a game."""
        observation, info = super().reset(seed=seed, options=options)
        meanings = self.env.unwrapped.get_action_meanings()  # type: ignore[attr-defined]
        if "FIRE" not in meanings:
            return observation, info
        *_, step_info = self.env.step(meanings.index("FIRE"))
        self.ale.getScreenGrayscale(self.obs_buffer[0])
        self.obs_buffer[1].fill(0)
        return self._get_obs(), {**info, **step_info}


def make_vector_games(spec: EnvSpec, num_envs: int, num_threads: int, num_frames: int, fire_on_reset: bool) -> Any:
    """ALE's vector environment of a game, which resets in the same step.

    Args:
        spec: as ``game_spec`` returns it.
        num_envs: number of games.
        num_threads: number of threads that step them.
        num_frames: number of screens in an observation.
        fire_on_reset: press FIRE in the first frame after those without action.
    """
    return gymnasium.make_vec(
        spec,
        num_envs,
        "vector_entry_point",
        autoreset_mode=AutoresetMode.SAME_STEP,
        num_threads=num_threads,
        img_height=SCREEN_SIZE,
        img_width=SCREEN_SIZE,
        stack_num=num_frames,
        frameskip=FRAME_SKIP,
        noop_max=NOOP_MAX,
        reward_clipping=False,
        use_fire_reset=fire_on_reset,
    )


def envpool_arguments(config: RunConfig) -> dict[str, Any]:
    """The arguments of envpool's environment of a game; ``ConfigError`` for what it does not have."""
    arguments = game_arguments(config)
    for name in arguments.keys() & {"mode", "difficulty"}:
        raise ConfigError(f"envpool's Atari games take no {name}: --vec must be serial, subproc or ray")
    return {
        "max_episode_steps": arguments.pop("max_num_frames_per_episode") // FRAME_SKIP,
        "stack_num": config.frame_stack,
        "frame_skip": FRAME_SKIP,
        "noop_max": NOOP_MAX,
        "use_fire_reset": config.fire_on_reset,
        **arguments,
    }


def end_at_life_loss(envs: VecEnv, config: RunConfig) -> VecEnv:
    """Wrap Atari games in ``LifeLossEnvs`` if ``terminal_on_life_loss`` is set; return other environments unchanged."""
    return LifeLossEnvs(envs) if config.atari_game and config.terminal_on_life_loss else envs


class LifeLossEnvs(VecEnvWrapper):
    """Environments in which losing a life ends an episode, while the game goes on.

    Where only a life is lost, ``infos[i]["life_lost"]`` is true, and the observation of the step is both the last one
    of the episode and the first one of the next. (The loss of the last life ends the game.)

    Args:
        venv: N games whose infos have ``"lives"``.
    """

    def __init__(self, venv: VecEnv):
        super().__init__(venv)
        self._lives = np.zeros(venv.num_envs, np.int64)

    def reset(self) -> np.ndarray:
        observations = self.venv.reset()
        self._lives[:] = [info["lives"] for info in self.venv.reset_infos]
        return observations

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict]]:
        observations, rewards, dones, infos = self.venv.step_wait()
        lives = np.array([info["lives"] for info in infos])
        lost = (lives < self._lives) & (lives > 0) & ~dones  # some games go on for some frames with 0 lives
        self._lives = lives
        for env in dones.nonzero()[0].tolist():
            lives[env] = self.venv.reset_infos[env]["lives"]
        for env in lost.nonzero()[0].tolist():
            infos[env]["life_lost"] = True
            infos[env]["terminal_observation"] = observations[env].copy()
            infos[env]["TimeLimit.truncated"] = False
        return observations, rewards, dones | lost, infos

    def reset_one(self, index: int) -> np.ndarray:
        observation = self.venv.reset_one(index)
        self._lives[index] = self.venv.reset_infos[index]["lives"]
        return observation

    def get_state(self) -> dict[str, Any]:
        return {GAMES: self.venv.get_state(), "lives": self._lives.copy()}

    def set_state(self, state: dict[str, Any], new_episodes: bool = False) -> np.ndarray | None:
        if state.keys() != {GAMES, "lives"}:
            raise ValueError("the state is not of games in which losing a life ends an episode")
        observations = self.venv.set_state(state[GAMES], new_episodes)
        self._lives[:] = state["lives"]
        return observations
