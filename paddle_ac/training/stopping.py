"""Early stopping."""

from __future__ import annotations

from paddle_ac.training.callback import Callback, Evaluation, Run


class StopAtReturn(Callback):
    """Stops a run, as ``"target_return"``, when the mean return of an evaluation reaches a target.

    Args:
        target: mean return of an evaluation's episodes.
    """

    def __init__(self, target: float):
        self._target = target

    def on_evaluation(self, run: Run, evaluation: Evaluation) -> None:
        """Compare the mean return with the target."""
        if evaluation.mean_return >= self._target:
            run.stop("target_return")
