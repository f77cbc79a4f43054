"""The one training loop: it drives every algorithm, and writes checkpoints, logs and the summary of a run."""

from __future__ import annotations

import json
import logging
import math
import platform
import time
from collections import deque
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import paddle

from multiprocessing_env import WorkerTimeoutError
from paddle_ac import __version__
from paddle_ac.algorithms.agent import warn_about_images
from paddle_ac.algorithms.algorithm import Algorithm, Policy
from paddle_ac.algorithms.policy import POLICY_FORMAT
from paddle_ac.algorithms.state import policy_identity
from paddle_ac.checkpoint import load_run_state, save_checkpoint
from paddle_ac.config import RunConfig, change_on_resume, write_yaml
from paddle_ac.envs.make import FINAL_EVALUATION, log_vec, make_evaluation_envs, resolve_vec
from paddle_ac.envs.names import defined_in_script
from paddle_ac.errors import CheckpointError, ConfigError, NonFiniteError
from paddle_ac.files import write_atomically
from paddle_ac.processes.ranks import ALONE, BY_PROGRAM, Ranks
from paddle_ac.training.callback import Callbacks, Evaluation, MakeCallbacks, Point, Run, no_callbacks
from paddle_ac.training.evaluate import evaluate, num_evaluation_envs
from paddle_ac.training.followers import check_ranks, crossed, is_due, make_algorithm, state_of_rank
from paddle_ac.training.interrupt import Interrupt, interrupts
from paddle_ac.training.logger import Logger, check_new_tags
from paddle_ac.training.progress import Progress, name_of
from paddle_ac.training.run_folder import RunFolder
from paddle_ac.training.showing import Spread
from paddle_ac.training.transfer import read_source, spaces_in_words, start_from

CHECKED_STEPS = 1_000  # of an episode, at most, that are replayed to find whether an environment repeats itself
CHECK_SECONDS = 1.0  # that the replay may take, about
WATCHED_STEPS = 64  # of an evaluation, at most, whose observations callbacks get


def train(
    config: RunConfig,
    run_dir: str | None = None,
    progress: bool = True,
    make_callbacks: MakeCallbacks = no_callbacks,
    ranks: Ranks = ALONE,
) -> dict[str, Any]:
    """Train from the beginning.

    Args:
        config: hyper-parameters.
        run_dir: a new or empty folder; named after the run under ``runs/`` by default.
        progress: show a progress bar in a terminal, elsewhere print a line for each evaluation.
        make_callbacks: returns the callbacks for a configuration, in the order of their calls.
        ranks: the processes that train together, of which this one is rank 0.

    Returns:
        the summary, as in ``summary.json``.

    Raises:
        ConfigError: a run folder in use, an unknown environment, spaces that the algorithm does not take.
        CheckpointError: ``config.init_from`` is of another network.
        VecEnvError: an environment or its worker failed.
        NonFiniteError: a NaN or an infinity in an observation, a reward or the loss.
        RankError: another rank has failed, ended or is stuck.
    """
    folder = RunFolder.new(config, run_dir)
    callbacks = Callbacks(make_callbacks(config))
    source = read_source(config.init_from)
    with interrupts() as interrupt:
        settled = resolve_vec(config)
        algorithm = make_algorithm(settled, ranks)
        with closing(algorithm), interrupt.deferred():  # a run that has a folder has a checkpoint to resume from
            start_from(algorithm, settled, source)
            ranks.share(lambda _: {} if source is None else {"learned": algorithm.learned_state()})
            check_new_tags(callbacks.metric_tags, algorithm.metric_tags)
            folder.begin(settled)
            log_vec(config)
            logger = Logger(folder, (*algorithm.metric_tags, *callbacks.metric_tags))
            loop = _Loop(settled, folder, algorithm, logger, interrupt, callbacks, ranks)
            warn_about_images(algorithm)
            loop.introduce()
            loop.save()
            return loop.finish(progress)


def resume(
    run_dir: str,
    changes: dict[str, Any] | None = None,
    progress: bool = True,
    make_callbacks: MakeCallbacks = no_callbacks,
    ranks: Ranks = ALONE,
) -> dict[str, Any]:
    """Go on from a run's latest checkpoint, in the same folder and with the same numbers as if it had never stopped.

    Args:
        run_dir: the run's folder.
        changes: hyper-parameters to change from here on, of the configuration's ``changeable_on_resume``.
        progress: show a progress bar in a terminal, elsewhere print a line for each evaluation.
        make_callbacks: returns the callbacks for a configuration, in the order of their calls.
        ranks: the processes that train together, of which this one is rank 0.

    Returns:
        the summary, as in ``summary.json``.

    Raises:
        ConfigError: not a run folder, a change that is not possible, or a run that is over.
        CheckpointError: the checkpoint is damaged or belongs to another network or environment.
        VecEnvError, NonFiniteError, RankError: as ``train``.
    """
    folder = RunFolder.open(run_dir)
    before = folder.read_config()
    settled = ("vec", "auto")  # to take what is fastest was decided when the run began
    changes = {name: value for name, value in (changes or {}).items() if (name, value) != settled}
    config = change_on_resume(before, changes, run_dir)
    callbacks = Callbacks(make_callbacks(config))
    state = load_run_state(folder.latest, config.algo)
    check_ranks(config, state, ranks, folder.latest)
    steps = state["algorithm"]["env_steps"]
    if folder.reached_return(config):
        raise ConfigError(
            f"{run_dir} has reached a return of {config.stop_at_return:g} after {steps:,} steps: give a larger "
            "--stop-at-return"
        )
    if steps >= config.total_steps and folder.is_over(config):
        raise ConfigError(f"{run_dir} has reached {steps:,} steps: give a larger --total-steps to continue")
    with interrupts() as interrupt, closing(make_algorithm(config, ranks)) as algorithm:
        restore(algorithm, state["algorithm"], folder.latest)
        ranks.share(lambda rank: state_of_rank(state, rank))
        check_new_tags(callbacks.metric_tags, algorithm.metric_tags)
        with interrupt.deferred():
            has_visualdl = folder.visualdl.is_file()
            logger = Logger.resume(folder, (*algorithm.metric_tags, *callbacks.metric_tags), state["logger"])
            write_yaml(config, folder.config)
            loop = _Loop(config, folder, algorithm, logger, interrupt, callbacks, ranks)
            loop.load_state_dict(state)
            if not has_visualdl or config != before:
                loop.introduce()
                loop.save()  # a resume after a crash keeps the records, which no other resume would write
            return loop.finish(progress)


def restore(algorithm: Algorithm, state: dict[str, Any], path: Path) -> None:
    """Load a state into an algorithm; ``CheckpointError``, which names the file, if it is of something else."""
    try:
        algorithm.load_state_dict(state)
    except (ValueError, OverflowError) as error:  # OverflowError: an integer that NumPy's generator does not take
        raise CheckpointError(f"{path} cannot be resumed: {error}") from None
    except KeyError as error:
        raise CheckpointError(f"{path} cannot be resumed: it lacks {error}") from None


class _Loop:
    """A run under way: the counters and files around an algorithm."""

    def __init__(
        self,
        config: RunConfig,
        folder: RunFolder,
        algorithm: Algorithm,
        logger: Logger,
        interrupt: Interrupt,
        callbacks: Callbacks,
        ranks: Ranks,
    ):
        self.config = config
        self.folder = folder
        self.algorithm = algorithm
        self.logger = logger
        self.interrupt = interrupt
        self.callbacks = callbacks
        self.ranks = ranks
        self.progress: Progress  # while the run trains
        self.run = Run(config, folder, algorithm, logger)
        self.train_seconds = 0.0
        self.episodes = 0
        self.recent_returns: deque[float] = deque(maxlen=100)
        self.last_point = [0, 0, 0.0]  # env_steps, updates and train_seconds of the last point of the curves
        self.best: dict[str, Any] | None = None
        self.evaluated = 0  # env_steps of the last evaluation
        self.best_is_latest = False  # whether the best one is that with which the run ended
        self.is_checked = False  # whether the environment repeats itself

    def introduce(self) -> None:
        """Write down what the run is, before anything is learned."""
        config = self.config
        places = [config.env, *config.wrappers, getattr(config, "network", None) or ""]
        for place in filter(defined_in_script, places):
            logging.getLogger(__name__).warning(
                "%s is defined in this script or notebook; move it to a module to evaluate or resume the run elsewhere",
                place,
            )
        self.logger.write_hyper_parameters(self.config)
        self.logger.write_configuration(self.config, self.algorithm.env_steps)

    def state_dict(self) -> dict[str, Any]:
        """Return the contents of a checkpoint, as ``checkpoint.RunState`` describes them."""
        other_ranks = self.ranks.collect()
        return {
            "algo": self.config.algo,
            "algorithm": self.algorithm.state_dict(),
            "logger": self.logger.state_dict(),
            "train_seconds": self.train_seconds,
            "episodes": self.episodes,
            "recent_returns": list(self.recent_returns),
            "last_point": self.last_point,
            "best": self.best,
            "evaluated": self.evaluated,
            "spaces": spaces_in_words(self.algorithm),
            **({"other_ranks": other_ranks} if other_ranks else {}),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """All but the algorithm and the logger, which are restored before there is a run."""
        self.train_seconds = state["train_seconds"]
        self.episodes = state["episodes"]
        self.recent_returns.extend(state["recent_returns"])
        self.last_point = state["last_point"]
        self.evaluated = state["evaluated"]
        self.best = state["best"]
        self.is_checked = True  # the environments are restored already

    def save(self) -> None:
        """Write the latest checkpoint; ``NonFiniteError`` if there is nothing good to write."""
        state = self.state_dict()
        for name, value in state["algorithm"]["parameters"].items():
            if not np.isfinite(value).all():
                raise NonFiniteError(f"parameter {name} is not finite; the last good checkpoint was left as it is")
        save_checkpoint(self.folder.latest, state)
        if not self.is_checked and self.algorithm.env_steps > 0 and not self.interrupt.is_set():
            self.is_checked = True
            self._check_repeatable()

    def _check_repeatable(self) -> None:
        """Warn, once, of an environment whose episodes cannot be restored, before a run of hours relies on it."""
        steps_per_second = self.algorithm.env_steps / max(self.train_seconds, 1e-9)
        max_steps = int(min(max(CHECK_SECONDS * steps_per_second, 1), CHECKED_STEPS))
        problem = self.algorithm.find_unrepeatable(max_steps)
        if problem:
            logging.getLogger(__name__).warning(
                "environment %s does not repeat itself: %s; to resume this run, give --resume-episodes new "
                "(randomness that is seeded by reset(seed=...), or is space.sample(), repeats itself; np.random and "
                "random do with --vec subproc and one worker for each environment)",
                self.config.env,
                problem,
            )

    def finish(self, progress: bool) -> dict[str, Any]:
        """Train to the end or until a stop signal; write the summary and the picture whatever happens."""
        try:
            self.callbacks.start(self.run)
            if self.algorithm.env_steps == 0:
                self.callbacks.checkpoint(self.run, self.folder.latest)
            name, steps = f"{self.config.algo} {name_of(self.config.env)}", self.algorithm.env_steps
            with Progress(name, steps, self.config.total_steps, is_shown=progress) as self.progress:
                stopped_by, final_returns = self._train_and_evaluate()
        except KeyboardInterrupt:  # in the final evaluation, or a second one: what was saved stays
            self._save_if_asynchronous()
            return self.write_down("interrupt", None)
        except Exception as error:
            self._save_if_asynchronous()
            self.write_down("error", None, f"{type(error).__name__}: {error}")
            raise
        return self.write_down(stopped_by, final_returns)

    def _train_and_evaluate(self) -> tuple[str, np.ndarray | None]:
        """Returns what stopped the run, and the returns of the final evaluation, ``None`` if there was none."""
        stopped_by, is_evaluated = self._train()
        self._settle()
        self._checkpoint()  # before the curves' last point: a resumed run writes that one with more in it
        self.ranks.end(self.interrupt.number)
        if not is_evaluated:
            return stopped_by, None
        with self.interrupt.at_once(), self.progress.evaluating():  # with the checkpoint, resuming evaluates again
            if self.evaluated < self.algorithm.env_steps:
                self._evaluate_the_end(self.algorithm.env_steps)
            return stopped_by, self._evaluate(self.algorithm.policy, FINAL_EVALUATION)

    def _save_if_asynchronous(self) -> None:
        """Save what the workers have learned; a synchronous algorithm may be in the middle of an update."""
        if self.algorithm.asynchronous:
            self._settle()
            # The error at hand is the one to report; a thread that hangs may hold the parameters.
            with suppress(NonFiniteError, OSError, WorkerTimeoutError):
                self.save()

    def _settle(self) -> None:
        for metrics in self.algorithm.finish():
            self._take(metrics)

    def _take(self, metrics: dict[str, Any]) -> None:
        self.logger.record(metrics)
        self.episodes += len(metrics["charts/episode_return"])
        self.recent_returns.extend(metrics["charts/episode_return"])

    def _checkpoint(self) -> None:
        """Save; keep the last checkpoint if a worker that hangs has the state, and the run was interrupted."""
        try:
            self.save()
        except WorkerTimeoutError as error:
            if not self.interrupt.is_set():
                raise
            logging.getLogger(__name__).warning("%s: the last checkpoint is kept", error)
            return
        self.callbacks.checkpoint(self.run, self.folder.latest)

    def _train(self) -> tuple[str, bool]:
        """Returns what stopped the run, and whether the final evaluation follows."""
        config, algorithm, run = self.config, self.algorithm, self.run
        # An asynchronous algorithm learns on through evaluations; the start of its workers is left out.
        learning_since: float | None = None
        algorithm.should_stop = self.interrupt.is_set
        steps, others_wait = algorithm.env_steps, True
        while True:
            request = self.ranks.agree_to_stop(self._stop_request(), others_wait)
            if request is not None or algorithm.is_done:
                break
            if others_wait:
                self.ranks.release()
            if not algorithm.asynchronous:
                learning_since = time.perf_counter()
            metrics = algorithm.update()
            self._take(metrics)
            now = time.perf_counter()
            if learning_since is not None:
                self.train_seconds += now - learning_since
            learning_since = now if algorithm.has_started else None

            steps_before, steps = steps, algorithm.env_steps
            self.callbacks.update(run, metrics)
            if algorithm.asynchronous and steps >= config.total_steps:
                self.progress.advance(steps - steps_before)
                continue  # others have still to report: the end is evaluated and written when they have
            mean_return = None
            if crossed(steps_before, steps, config.eval_interval):
                mean_return = self._evaluate_and_keep_best(steps)
            if mean_return is not None or crossed(steps_before, steps, config.log_interval):
                self.callbacks.log(run, self._write_point(steps))
                if self.recent_returns:
                    self.progress.show_return(float(np.mean(self.recent_returns)))
            if crossed(steps_before, steps, config.checkpoint_interval):
                self._checkpoint()
            others_wait = is_due(config, steps_before, steps)
            self.progress.advance(steps - steps_before)
        if request:
            self.interrupt.note(request)  # another rank may have got it
        if self.interrupt.is_set():
            return "interrupt", False
        if algorithm.is_done:
            return "total_steps", True
        assert run.stop_request is not None, "what stopped the run is neither a signal nor its length"
        return run.stop_request.reason, run.stop_request.evaluate

    def _stop_request(self) -> int | None:
        if self.interrupt.is_set():
            return self.interrupt.number
        return None if self.run.stop_request is None else BY_PROGRAM

    def _evaluate(self, policy: Policy, *purpose: int, watch: Any = None) -> np.ndarray:
        config, episodes = self.config, self.config.eval_episodes
        num_envs = num_evaluation_envs(episodes)
        generator = np.random.default_rng(config.seed) if config.eval_sampled else None
        with self.algorithm.evaluating(), make_evaluation_envs(config, config.seed, num_envs, *purpose) as envs:
            return evaluate(
                policy, envs, episodes, config.eval_max_steps, generator, check=self.algorithm.check, watch=watch
            )

    def _evaluate_and_keep_best(self, steps: int) -> float:
        """Returns the mean return."""
        evaluation = self._evaluate_on_the_way(steps)
        if evaluation.is_best:
            self._keep_as_best(evaluation)
        self.callbacks.evaluation(self.run, evaluation)
        return evaluation.mean_return

    def _evaluate_the_end(self, steps: int) -> None:
        """Evaluate at the end where none was due; change nothing that a resumed run reads, the best model included."""
        evaluation = self._evaluate_on_the_way(steps)
        if self.best is None:
            self._keep_as_best(evaluation)
        elif evaluation.is_best:  # the latest checkpoint has it
            self.best, self.best_is_latest = {"mean_return": evaluation.mean_return, "env_steps": steps}, True
        self.callbacks.evaluation(self.run, evaluation)

    def _evaluate_on_the_way(self, steps: int) -> Evaluation:
        """Evaluate the policy and record the returns."""
        self.evaluated = steps
        policy = self.algorithm.policy
        watched = Spread[tuple[np.ndarray, np.ndarray]](WATCHED_STEPS)
        returns = self._evaluate(
            policy, watch=lambda observations, state: watched.offer(lambda: (observations.copy(), state.copy()))
        )
        mean_return = float(returns.mean())
        self.progress.evaluated(steps, mean_return)
        is_best = self.best is None or mean_return >= self.best["mean_return"]  # of equals the later: it learned more
        best = mean_return if self.best is None else max(mean_return, self.best["mean_return"])
        self.logger.record(
            {"eval/mean_return": mean_return, "eval/std_return": float(returns.std()), "eval/best_mean_return": best}
        )
        observations, states = (np.concatenate(arrays) for arrays in zip(*watched.items, strict=True))
        return Evaluation(steps, returns, is_best, policy, observations, states)

    def _keep_as_best(self, evaluation: Evaluation) -> None:
        best = {"mean_return": evaluation.mean_return, "env_steps": evaluation.env_steps}
        policy = evaluation.policy
        learned = {"parameters": policy.parameter_arrays(), "encoder": policy.encode.state_dict()}
        identity = {"identity": policy_identity(self.config)}
        saved = {"algo": self.config.algo, "format": POLICY_FORMAT, **identity, **best, **learned}
        save_checkpoint(self.folder.best, saved)
        self.best = best

    def _write_point(self, steps: int, is_last: bool = False) -> Point:
        steps_before, updates, seconds = self.last_point
        if self.train_seconds > seconds and steps > steps_before:  # not where the last reports are all that is new
            passed = self.train_seconds - seconds
            self.logger.record({"charts/steps_per_second": (steps - steps_before) / passed})
            self.logger.record({"charts/updates_per_second": (self.algorithm.num_updates - updates) / passed})
        self.last_point = [steps, self.algorithm.num_updates, self.train_seconds]
        return Point(steps, self.logger.write(steps, self.train_seconds), is_last)

    def write_down(self, stopped_by: str, final_returns: np.ndarray | None, error: str | None = None) -> dict[str, Any]:
        with self.interrupt.deferred(patience=math.inf):
            return self._write_summary(stopped_by, final_returns, error)

    def _write_summary(self, stopped_by: str, final_returns: np.ndarray | None, error: str | None) -> dict[str, Any]:
        last = self._write_point(self.algorithm.env_steps, is_last=True) if self.logger.pending else None
        self.logger.close()
        config, steps = self.config, self.algorithm.env_steps
        summary = {
            "run_dir": str(self.folder.path),
            "algo": config.algo,
            "env": config.env,
            "network": getattr(config, "network", None),
            "wrappers": list(config.wrappers),
            "init_from": config.init_from,
            "seed": config.seed,
            "env_steps": steps,
            "updates": self.algorithm.num_updates,
            "episodes": self.episodes,
            "train_seconds": self.train_seconds,
            "steps_per_second": steps / self.train_seconds if self.train_seconds else None,
            "mean_return_last_100": float(np.mean(self.recent_returns)) if self.recent_returns else None,
            "eval_mean_return": None if final_returns is None else float(final_returns.mean()),
            "eval_std_return": None if final_returns is None else float(final_returns.std()),
            "eval_sampled": config.eval_sampled,
            "eval_episodes": None if final_returns is None else len(final_returns),
            "best_eval_mean_return": self.best["mean_return"] if self.best else None,
            "best_env_steps": self.best["env_steps"] if self.best else None,
            "best_is_latest": self.best_is_latest,
            "asynchronous": self.algorithm.asynchronous,
            "stopped_by": stopped_by,
            "error": error,
            "versions": {
                "paddle_ac": __version__,
                "python": platform.python_version(),
                "paddle": paddle.__version__,
                "numpy": np.__version__,
                "gymnasium": gymnasium.__version__,
            },
        }
        summary |= self.callbacks.summarize()
        write_atomically(self.folder.summary, (json.dumps(summary, indent=2) + "\n").encode())
        self.callbacks.end(self.run, last, summary)
        return summary
