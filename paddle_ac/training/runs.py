"""Runs as the command line and ``paddle_ac.train`` start them: the training loop with the standard callbacks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from paddle_ac.config import RunConfig, nearest
from paddle_ac.errors import ConfigError, quoted
from paddle_ac.processes.ranks import ALONE, Ranks
from paddle_ac.training import train as loop
from paddle_ac.training.callback import Callback, MakeCallbacks
from paddle_ac.training.stopping import StopAtReturn
from paddle_ac.training.views import CurvesPicture, EpisodePictures, Histograms, NetworkGraph
from paddle_ac.training.writers import make_writers

OF_STABLE_BASELINES3 = ("_on_training_start", "_on_rollout_start", "_on_step", "_on_rollout_end", "_on_training_end")


def standard_callbacks(config: RunConfig) -> list[Callback]:
    """Return the callbacks that every run has, and those that its configuration asks for.

    Raises:
        ConfigError: a package that ``config.log_to`` needs is missing.
    """
    callbacks: list[Callback] = [NetworkGraph(), Histograms(), EpisodePictures(), CurvesPicture()]
    if config.stop_at_return is not None:
        callbacks.append(StopAtReturn(config.stop_at_return))
    return [*callbacks, *make_writers(config)]


def train(
    config: RunConfig,
    run_dir: str | None = None,
    progress: bool = True,
    callbacks: Sequence[Callback] = (),
    ranks: Ranks = ALONE,
) -> dict[str, Any]:
    """Train from the beginning; see ``paddle_ac.training.train.train``. ``callbacks`` come after the standard ones."""
    return loop.train(config, run_dir, progress, _with_standard(callbacks), ranks)


def resume(
    run_dir: str,
    changes: dict[str, Any] | None = None,
    progress: bool = True,
    callbacks: Sequence[Callback] = (),
    ranks: Ranks = ALONE,
) -> dict[str, Any]:
    """Resume a run; see ``paddle_ac.training.train.resume``. ``callbacks`` come after the standard ones."""
    return loop.resume(run_dir, changes, progress, _with_standard(callbacks), ranks)


def _with_standard(callbacks: Sequence[Callback]) -> MakeCallbacks:
    wrong = [one for one in callbacks if not isinstance(one, Callback)] if _is_list(callbacks) else [callbacks]
    if wrong:
        raise ConfigError(
            "callbacks must be a list of paddle_ac.Callback objects, as in callbacks=[MyCallback()], got "
            f"{quoted(wrong[0])}"
        )
    for callback in callbacks:
        _check_methods(callback)
    return lambda config: [*standard_callbacks(config), *callbacks]


def _check_methods(callback: Callback) -> None:
    """Raise ``ConfigError`` for a method that looks like one of a callback and that no run calls."""
    known = [name for name in vars(Callback) if name.startswith("on_")]
    for name in dir(callback):
        if name in OF_STABLE_BASELINES3 or (name.startswith("on_") and name not in known):
            hint = nearest(name, known)
            raise ConfigError(
                f"a run never calls {type(callback).__name__}.{name}{hint}: callbacks have {', '.join(known)}"
            )


def _is_list(callbacks: Any) -> bool:
    return isinstance(callbacks, (list, tuple))
