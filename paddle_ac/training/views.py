"""Callbacks that draw a run: its networks, histograms, pictures of episodes, and its curves."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from paddle_ac.envs.make import make_shown_env
from paddle_ac.errors import ConfigError
from paddle_ac.files import write_atomically
from paddle_ac.packing import ObservationPacking
from paddle_ac.process import imports_contained
from paddle_ac.training.callback import Callback, Evaluation, Run
from paddle_ac.training.network_graph import draw_networks
from paddle_ac.training.showing import show_episode, without_screen


class NetworkGraph(Callback):
    """Draws the networks for VisualDL, once."""

    def on_start(self, run: Run) -> None:
        """Write the graph file, unless the run has one."""
        if run.folder.graph.is_file():
            return
        agent, packing = run.agent, ObservationPacking(run.agent.observation_space)
        blank, state = packing.blank(), agent.initial_state(1)
        layers, compute = agent.layers()
        graph = draw_networks(layers, packing.shape, lambda: compute(blank, state))
        write_atomically(run.folder.graph, graph.encode())


class Histograms(Callback):
    """Writes the distributions that the policy and the critic output for an evaluation's observations."""

    def on_evaluation(self, run: Run, evaluation: Evaluation) -> None:
        """Write a histogram for each diagnostic of ``Algorithm.inspect``."""
        for tag, numbers in run.agent.inspect(evaluation.observations, evaluation.states).items():
            run.logger.write_histogram(tag, numbers, evaluation.env_steps)


class EpisodePictures(Callback):
    """Writes frames of an episode, played as in the evaluation, after each, if the environment can be rendered."""

    def __init__(self) -> None:
        self._has_pictures = True  # until an attempt fails

    def on_evaluation(self, run: Run, evaluation: Evaluation) -> None:
        """Render an episode; after a first failure, which is logged, do nothing."""
        if not self._has_pictures:
            return
        config = run.config
        generator = np.random.default_rng(config.seed) if config.eval_sampled else None
        try:
            with without_screen(), make_shown_env(config, config.seed) as envs:
                if envs.observation_space.shape != run.agent.observation_space.shape:
                    raise ValueError("one by itself observes something else than those of its maker side by side")
                frames = show_episode(evaluation.policy, envs, generator)
        except Exception as error:  # whatever an environment's drawing may raise, nothing depends on it
            self._has_pictures = False
            reason = " ".join(str(error.__cause__ or error).split())
            logging.getLogger(__name__).info("no pictures of %s: %s", config.env, reason)
        else:
            run.logger.write_image("eval/episode", frames, evaluation.env_steps)

    def summarize(self) -> dict[str, Any]:
        """Whether the environment can be rendered."""
        return {"has_pictures": self._has_pictures}


class CurvesPicture(Callback):
    """Draws the curves of a run as ``curves.png`` when it ends."""

    def on_end(self, run: Run, summary: dict[str, Any]) -> None:
        """Draw what the table holds."""
        with imports_contained():
            from paddle_ac.training.plotting import plot_run  # here: Matplotlib would delay the first update

        config, folder = run.config, run.folder
        title = f"{config.algo} on {config.env}, seed {config.seed}"
        try:
            plot_run(folder.progress, folder.curves, title, run.agent.panels)
        except ConfigError as error:  # somebody has changed the table meanwhile: all else of the run is complete
            logging.getLogger(__name__).warning("no picture of the curves: %s", error)
