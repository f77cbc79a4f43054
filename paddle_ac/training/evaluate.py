"""Evaluation of a policy over whole episodes, in environments of their own."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from multiprocessing_env import VecEnv
from paddle_ac.algorithms.agent import TrainedPolicy
from paddle_ac.algorithms.algorithm import Algorithm, Policy
from paddle_ac.algorithms.policy import OLDEST_FORMAT, check_policy_format
from paddle_ac.algorithms.saved_policy import read_policy
from paddle_ac.algorithms.state import different_policy
from paddle_ac.checkpoint import load_best_model, load_run_state
from paddle_ac.config import RunConfig
from paddle_ac.envs.make import FINAL_EVALUATION, make_evaluation_envs
from paddle_ac.errors import CheckpointError, ConfigError, NonFiniteError, quoted
from paddle_ac.files import find_policy_file
from paddle_ac.nn.actions import clip_for
from paddle_ac.packing import numbers_of, packed
from paddle_ac.process_settings import BlasThreadLimit
from paddle_ac.registry import ALGORITHMS
from paddle_ac.training.run_folder import RunFolder, check_path

MAX_ENVS = 20  # side by side: enough for the network's cost to be shared, few enough to be made in no time


def load_policy(folder: RunFolder, config: RunConfig, checkpoint: str, envs: VecEnv) -> tuple[Policy, int]:
    """The policy of a run as it was saved, and the steps that it had learned from.

    Args:
        folder: the run's.
        config: the run's.
        checkpoint: ``"best"``, of the evaluations on the way and the one at the end, or ``"latest"``.
        envs: of the run's environment.

    Raises:
        ConfigError: neither of the two.
        CheckpointError: there is none, or it is damaged, of another network or of an incompatible version.
    """
    if checkpoint not in ("best", "latest"):
        raise ConfigError(f"checkpoint must be 'best' or 'latest', not {quoted(checkpoint)}")
    path = folder.latest if checkpoint == "latest" or _ended_with_the_best(folder, config.algo) else folder.best
    if path == folder.best and not path.is_file() and folder.latest.is_file():
        raise CheckpointError(f"there is no checkpoint {path}: no best policy was kept yet; take checkpoint 'latest'")
    is_best = path == folder.best
    state = load_best_model(path, config.algo) if is_best else load_run_state(path, config.algo)["algorithm"]
    problem = different_policy(state.get("identity", {}), config)
    if problem:
        raise CheckpointError(f"{path}: {problem}, by {folder.config.name}: restore it there")
    policy = _make_trained(config, envs.observation_space, envs.action_space, state, path)
    return policy, state["env_steps"]


def load_policy_file(path: Path) -> TrainedPolicy:
    """The policy in a file of ``agent.save``; ``CheckpointError`` if it is damaged or of an incompatible version."""
    saved = read_policy(path)
    spaces = saved.observation_space, saved.action_space
    policy = _make_trained(saved.config, *spaces, saved.learned, path)
    return TrainedPolicy(policy, *spaces, saved.env_steps, saved.config)


def _make_trained(
    config: RunConfig, observation_space: Any, action_space: Any, learned: dict[str, Any], path: Path
) -> Policy:
    """The policy of a configuration with what it has learned, which was read from ``path``."""
    policy = ALGORITHMS[config.algo].make_policy(config, observation_space, action_space)
    try:
        check_policy_format(policy, learned.get("format", OLDEST_FORMAT))
        policy.load_parameters(learned["parameters"])
        policy.encode.load_state_dict(learned.get("encoder", {}))
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from None
    return policy


def _ended_with_the_best(folder: RunFolder, algo: str) -> bool:
    """Whether a run's latest checkpoint is the best of its policies, and it has not gone on since."""
    summary = folder.read_summary()
    if not summary.get("best_is_latest"):
        return False
    return load_run_state(folder.latest, algo)["algorithm"]["env_steps"] == summary["best_env_steps"]


def evaluate_run(
    run: str | Path,
    checkpoint: str | None = None,
    episodes: int = 100,
    seed: int | None = None,
    sampled: bool | None = None,
) -> dict[str, Any]:
    """Evaluate a policy of a run, or of a file of ``agent.save``, in episodes that were not used to train or choose it.

    Args:
        run: the run's folder, or the file.
        checkpoint: of a run: ``"best"``, the default, or ``"latest"``.
        episodes: how many.
        seed: of the environments; the run's own by default.
        sampled: draw the actions, rather than take the most probable ones; as the run's evaluations by default.

    Returns:
        ``mean_return, std_return, min_return, max_return, episodes, env, env_steps, seed, sampled``; of a run folder
        also ``run_dir`` and ``checkpoint``.

    Raises:
        ConfigError: neither a run folder nor a file, or a ``checkpoint`` of a file.
        CheckpointError: no such checkpoint, a damaged one, or a file that ``agent.save`` did not write.
        VecEnvError: an environment or its worker failed.
        NonFiniteError: an observation or a reward is NaN or infinite.
    """
    policy = open_policy(run, checkpoint)
    seed = policy.config.seed if seed is None else seed
    with make_evaluation_envs(policy.config, seed, num_evaluation_envs(episodes), FINAL_EVALUATION) as envs:
        return policy.play(envs, episodes, seed, sampled)


class OpenedPolicy(NamedTuple):
    """A policy of a run folder or of a file of ``agent.save``, before environments are made.

    Attributes:
        config: names the environment.
        path: the run's folder or the file.
        origin: ``run_dir`` and ``checkpoint`` of a run, nothing of a file.
        load: reads the policy; its argument is environments of the configuration.
    """

    config: RunConfig
    path: Path
    origin: dict[str, str]
    load: Callable[[VecEnv], TrainedPolicy]

    def play(self, envs: VecEnv, episodes: int, seed: int, sampled: bool | None) -> dict[str, Any]:
        """Play episodes in environments of the configuration; returns what ``evaluate_run`` does."""
        return {**self.origin, **_evaluate_in(envs, self.load(envs), episodes, seed, sampled)}


def open_policy(run: str | Path, checkpoint: str | None = None) -> OpenedPolicy:
    """Open a run folder or a file of ``agent.save``.

    Raises:
        ConfigError: neither of the two, or a ``checkpoint`` of a file.
        CheckpointError: a file that is damaged or that ``agent.save`` did not write.
    """
    file = find_policy_file(check_path(run))
    if file is not None:
        reject_checkpoint(checkpoint)
        agent = load_policy_file(file)
        return OpenedPolicy(agent.config, file, {}, lambda envs: agent)
    folder = RunFolder.open(run)
    config, chosen = folder.read_config(), "best" if checkpoint is None else checkpoint

    def load(envs: VecEnv) -> TrainedPolicy:
        policy, env_steps = load_policy(folder, config, chosen, envs)
        return TrainedPolicy(policy, envs.observation_space, envs.action_space, env_steps, config)

    return OpenedPolicy(config, folder.path, {"run_dir": str(folder.path), "checkpoint": chosen}, load)


def reject_checkpoint(checkpoint: Any) -> None:
    """Raise ``ConfigError`` for a checkpoint of anything but a run folder."""
    if checkpoint is not None:
        raise ConfigError(f"only a run folder has checkpoints: leave out checkpoint={quoted(checkpoint)}")


def evaluate_agent(
    agent: Algorithm | TrainedPolicy, episodes: int = 100, seed: int | None = None, sampled: bool | None = None
) -> dict[str, Any]:
    """Evaluate an agent, or a policy that was loaded, in the environment that its configuration names.

    Args:
        agent: learns, or has learned.
        episodes: how many.
        seed: of the environments; the agent's own by default.
        sampled: draw the actions, rather than take the most probable ones; as ``config.eval_sampled`` by default.

    Returns:
        as ``evaluate_run``, without ``run_dir`` and ``checkpoint``.

    Raises:
        VecEnvError, NonFiniteError: as ``evaluate_run``.
    """
    config = agent.config
    seed = config.seed if seed is None else seed
    with make_evaluation_envs(config, seed, num_evaluation_envs(episodes), FINAL_EVALUATION) as envs:
        return _evaluate_in(envs, agent, episodes, seed, sampled)


def _evaluate_in(
    envs: VecEnv, agent: Algorithm | TrainedPolicy, episodes: int, seed: int, sampled: bool | None
) -> dict[str, Any]:
    config = agent.config
    sampled = config.eval_sampled if sampled is None else sampled
    generator = np.random.default_rng(seed) if sampled else None
    with BlasThreadLimit(config.num_threads):
        returns = evaluate(agent.policy, envs, episodes, config.eval_max_steps, generator)
    return {"env": config.env, "env_steps": agent.env_steps, "seed": seed, "sampled": sampled, **summarize(returns)}


def num_evaluation_envs(episodes: int) -> int:
    """Environments that an evaluation of so many episodes runs in."""
    return min(episodes, MAX_ENVS)


def evaluate(
    policy: Policy,
    envs: VecEnv,
    episodes: int,
    max_steps: int,
    generator: np.random.Generator | None = None,
    check: Callable[[], None] | None = None,
    watch: Callable[[np.ndarray, np.ndarray], None] | None = None,
) -> np.ndarray:
    """Play whole episodes.

    Every environment plays its share, fixed beforehand: to take the episodes that finish first would favour short ones.

    Args:
        policy: chooses the actions.
        envs: at most ``episodes`` environments.
        episodes: how many.
        max_steps: of an episode, which is cut there: a greedy policy may go in a circle, and not every environment has
            a time limit.
        generator: draws the actions; without one the most probable are taken.
        check: called about once a second, to raise what goes wrong elsewhere meanwhile.
        watch: called before each step with the observations ``[N, ...]`` and the recurrent state ``[N, S]``; both may
            change afterwards.

    Returns:
        undiscounted returns ``[episodes]`` float64.

    Raises:
        NonFiniteError: an observation or a reward is NaN or infinite.
    """
    envs, num_envs = packed(envs), envs.num_envs
    shares = [episodes // num_envs + (env < episodes % num_envs) for env in range(num_envs)]
    finished: list[list[float]] = [[] for _ in range(num_envs)]
    episode_returns = np.zeros(num_envs, np.float64)
    episode_lengths = np.zeros(num_envs, np.int64)
    clip = clip_for(envs.action_space)
    observations = envs.reset()
    state = np.zeros((num_envs, policy.state_size), np.float32)
    checked = time.monotonic()
    while any(len(returns) < share for returns, share in zip(finished, shares, strict=True)):
        if watch is not None:
            watch(observations, state)
        observations, rewards, dones, _ = envs.step(clip(policy.act(observations, generator, state)))
        for name, values in (*numbers_of(observations), ("reward", rewards)):
            if not np.isfinite(values).all():
                env = np.argwhere(~np.isfinite(values))[0][0]
                raise NonFiniteError(f"{name} of evaluation environment {env} is not finite")
        if check is not None and time.monotonic() - checked > 1.0:
            check()
            checked = time.monotonic()
        episode_returns += rewards
        episode_lengths += 1
        cut = (episode_lengths >= max_steps) & ~dones
        for env in np.flatnonzero(cut):
            observations[env] = envs.reset_one(int(env))
        for env in np.flatnonzero(dones | cut):
            finished[env].append(float(episode_returns[env]))
        state[dones | cut] = 0
        episode_returns[dones | cut] = 0
        episode_lengths[dones | cut] = 0
    return np.array([value for returns, share in zip(finished, shares, strict=True) for value in returns[:share]])


def summarize(returns: np.ndarray) -> dict[str, Any]:
    """Mean, standard deviation (over the population), minimum and maximum of returns, as plain numbers."""
    return {
        "episodes": len(returns),
        "mean_return": float(returns.mean()),
        "std_return": float(returns.std()),
        "min_return": float(returns.min()),
        "max_return": float(returns.max()),
    }
