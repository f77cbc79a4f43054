"""Training in the ranks other than 0 of a synchronous algorithm, and their states in the checkpoints of rank 0."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

from paddle_ac import registry
from paddle_ac.algorithms.algorithm import Algorithm
from paddle_ac.checkpoint import pack_state, unpack_state
from paddle_ac.config import RunConfig, make_config
from paddle_ac.errors import CheckpointError, ConfigError
from paddle_ac.processes.linked_ranks import LinkedRanks
from paddle_ac.processes.ranks import Ranks
from paddle_ac.registry import ALGORITHMS
from paddle_ac.training.interrupt import Interrupt, interrupts

OWN_PARTS = ("collector", "reward_normalizer")  # of an algorithm's state: what differs between ranks


def make_algorithm(config: RunConfig, ranks: Ranks) -> Algorithm:
    """The algorithm of a configuration, in all ranks at the same time.

    Raises:
        ConfigError: as ``Algorithm.from_config``, or an algorithm that trains in one process.
    """
    if ranks.num_ranks == 1:
        return registry.make_algorithm(config)
    if not config.has_ranks:
        able = ", ".join(name for name in ALGORITHMS if _has_ranks(name))
        raise ConfigError(
            f"--algo {config.algo} trains in one process, not in {ranks.num_ranks} ranks: start it without "
            f"paddle.distributed.launch, or take one of {able}"
        )
    ranks.begin(config.model_dump(mode="json"))
    return ALGORITHMS[config.algo].from_config(config, ranks)  # type: ignore[call-arg]  # of those that have ranks


def _has_ranks(algo: str) -> bool:
    return make_config({"algo": algo}).has_ranks


def check_ranks(config: RunConfig, state: dict[str, Any], ranks: Ranks, path: Path) -> None:
    """Raise ``ConfigError`` if the episodes of a checkpoint are of another number of ranks and are to be resumed.

    Raises:
        CheckpointError: the checkpoint is damaged.
    """
    saved = 1 + len(state.get("other_ranks", {}))
    if saved > 1 and state["other_ranks"].keys() != set(map(str, range(1, saved))):
        raise CheckpointError(f"{path} is damaged: it does not hold every rank")
    if saved != ranks.num_ranks and config.vector_envs.resume_episodes == "replay":
        raise ConfigError(
            f"{path} holds the running episodes of {saved} rank{'s' * (saved > 1)}, and {ranks.num_ranks} "
            f"resume{'s' * (ranks.num_ranks == 1)} it: --resume-episodes new begins new episodes instead"
        )


def state_of_rank(state: dict[str, Any], rank: int) -> dict[str, Any]:
    """The state that a rank resumes from: that of rank 0 with the rank's own parts.

    A rank that the checkpoint does not have gets no such parts, and begins new episodes.
    """
    own = state.get("other_ranks", {}).get(str(rank), {})
    return {"algorithm": {**state["algorithm"], **{name: own.get(name) for name in OWN_PARTS}}}


def follow(ranks: LinkedRanks) -> None:
    """Play and learn with rank 0, which sends all that this process needs to know.

    Raises:
        KeyboardInterrupt: the training was interrupted; rank 0 has saved it.
        RankError: another rank has failed, ended or is stuck.
        ConfigError, VecEnvError, NonFiniteError: as ``train``.
    """
    _, data = ranks.receive()
    config = make_config(json.loads(data))
    ranks.patience = config.vector_envs.start_timeout
    with interrupts() as interrupt, interrupt.deferred():
        with closing(ALGORITHMS[config.algo].from_config(config, ranks)) as algorithm:  # type: ignore[call-arg]
            ranks.links.send(0, "made")
            _load(algorithm, unpack_state(ranks.receive()[1]), ranks.rank)
            ranks.links.send(0, "loaded")
            ranks.receive()
            ranks.connect()
            while True:
                kind, data = ranks.receive()
                if kind == "end":
                    break
                if kind == "save":
                    state = algorithm.state_dict()
                    ranks.links.send(0, "state", pack_state({name: state[name] for name in OWN_PARTS}))
                else:
                    _train_until_due(algorithm, ranks, interrupt)
        if (stop_signal := json.loads(data)) is not None:
            interrupt.note(stop_signal)
            raise KeyboardInterrupt


def _load(algorithm: Algorithm, state: dict[str, Any], rank: int) -> None:
    """Start from the state that rank 0 sent: what was learned elsewhere, or that of a checkpoint, or from nothing."""
    if "learned" in state:
        algorithm.load_learned_state(state["learned"])
    if "algorithm" in state:
        here = algorithm.state_dict()
        own = {name: here[name] for name in OWN_PARTS if state["algorithm"][name] is None}
        try:
            algorithm.load_state_dict({**state["algorithm"], **own})
        except (KeyError, OverflowError, ValueError) as error:
            raise CheckpointError(f"the environments of rank {rank} cannot be resumed: {error}") from None


def _train_until_due(algorithm: Algorithm, ranks: Ranks, interrupt: Interrupt) -> None:
    """Update until rank 0 evaluates, writes or stops."""
    due = False
    while not due and ranks.agree_to_stop(interrupt.number) is None and not algorithm.is_done:
        before = algorithm.env_steps
        algorithm.update()
        due = is_due(algorithm.config, before, algorithm.env_steps)


def is_due(config: RunConfig, steps_before: int, steps: int) -> bool:
    """Whether rank 0 evaluates, writes a point of the curves or saves after an update."""
    intervals = (config.eval_interval, config.log_interval, config.checkpoint_interval)
    return any(crossed(steps_before, steps, interval) for interval in intervals)


def crossed(steps_before: int, steps: int, interval: int) -> bool:
    """Whether a multiple of an interval lies between: what is due depends on the steps alone."""
    return steps_before // interval < steps // interval
