"""A policy as files that other programs load, each checked against the policy before it is kept."""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import paddle

from multiprocessing_env import VecEnv, space_kind
from paddle_ac.algorithms.algorithm import Policy
from paddle_ac.config import RunConfig, read_config, write_yaml
from paddle_ac.envs.make import make_evaluation_envs
from paddle_ac.errors import ConfigError, ExportError, needs, quoted
from paddle_ac.files import write_atomically
from paddle_ac.nn.actions import action_distribution, clip_for
from paddle_ac.nn.continuous_networks import DeterministicActor, SquashedGaussianActor
from paddle_ac.nn.exported import ExportedPolicy, exported_policy, layer_to_save
from paddle_ac.nn.unroll import Unroll
from paddle_ac.packing import packed
from paddle_ac.process_settings import warnings_ignored
from paddle_ac.registry import ALGORITHMS
from paddle_ac.training.evaluate import open_policy
from paddle_ac.training.run_folder import check_path

NUM_OBSERVATIONS = 1000  # that an export is checked on
NUM_ENVS = 10  # that they come from
TOLERANCE = 1e-4  # of the largest difference; single precision leaves some 1e-6
ONNX_PACKAGES = ("onnx", "onnxruntime", "paddle2onnx")
ONNX_OPSET = 13
FILE_ENDINGS = (".json", ".pdiparams", ".onnx", ".pdparams")  # that an output may be given with

# A model as it was loaded from its files: inputs to outputs, in the order of the exported policy's.
RunModel = Callable[[list[np.ndarray]], list[np.ndarray]]


@dataclass(frozen=True)
class TrainedModel:
    """A policy, with what it takes to make it again.

    Attributes:
        config: of its run.
        observation_space: of the run's environment.
        action_space: of the run's environment.
        policy: the network.
        exported: the same as it is deployed.
    """

    config: RunConfig
    observation_space: Any
    action_space: Any
    policy: Any
    exported: ExportedPolicy


def export_run(
    run: str | Path, export_format: str = "paddle", checkpoint: str | None = None, output: str | None = None
) -> dict[str, Any]:
    """Write a policy of a run, or of a file of ``agent.save``, as a model for inference that computes the same.

    It is checked on 1,000 observations, from playing the run's environment with actions drawn from the policy. Each
    file of an earlier export under the same name is replaced at once.

    Args:
        run: the run's folder, or the file.
        export_format: ``"paddle"``, ``"onnx"`` or ``"pdparams"``.
        checkpoint: of a run: ``"best"``, the default, or ``"latest"``.
        output: the files' path without the endings of their names; by default ``export/model`` in the run's folder, or
            the file's path without its suffix.

    Returns:
        ``format``; ``env_steps`` that the policy had learned from; ``files``, their paths; of a run folder also
        ``run_dir`` and ``checkpoint``; ``inputs`` and ``outputs``, the name, dtype and shape of each, as
        ``"observation float32 [B, 4]"``; and of the check, the number of ``observations`` and the
        ``largest_difference`` from the policy on them.

    Raises:
        ConfigError: an unknown format, a package that it lacks, neither a run folder nor a file, a ``checkpoint`` of a
            file, or an output that is a folder.
        CheckpointError: no such checkpoint, or a damaged one.
        ExportError: that difference is above 1e-4; nothing is written.
    """
    if export_format not in FORMATS:
        raise ConfigError(f"unknown format {quoted(export_format)}: must be one of {', '.join(FORMATS)}")
    if export_format == "onnx":
        _check_onnx_packages()
    opened = open_policy(run, checkpoint)
    config, path = opened.config, opened.path
    of_its_own = path.with_suffix("") if path.is_file() else path / "export" / "model"
    name = check_path(output) if output else of_its_own
    if name.suffix in FILE_ENDINGS:
        name = name.with_suffix("")
    if name.is_dir():
        raise ConfigError(f"{name} is a folder: name the files in it, as {name / 'model'}")
    target = name.absolute()  # an environment may call os.chdir
    with make_evaluation_envs(config, config.seed, NUM_ENVS) as envs:
        agent = opened.load(envs)
        observations, states = _play(agent.policy, envs, np.random.default_rng(config.seed))
    spaces = agent.observation_space, agent.action_space
    model = TrainedModel(config, *spaces, agent.policy, exported_policy(agent.policy, *spaces))
    with tempfile.TemporaryDirectory() as temporary:
        run_model = FORMATS[export_format](model, Path(temporary) / target.name)
        inputs = model.exported.inputs_of(observations, states)
        outputs = run_model(inputs)
        difference = largest_difference(model, outputs, observations, states)
        if not difference <= TOLERANCE:  # nor where it is NaN
            raise ExportError(
                f"the {export_format} model differs from its policy by {difference:.2g}, by more than {TOLERANCE:g}: "
                "it is not written"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        files = sorted(Path(temporary).iterdir())
        for file in files:
            write_atomically(target.parent / file.name, file.read_bytes())
    return {
        **opened.origin,
        "format": export_format,
        "env_steps": agent.env_steps,
        "files": [str(name.parent / file.name) for file in files],
        "inputs": list(map(_describe, model.exported.input_names, inputs)),
        "outputs": list(map(_describe, model.exported.output_names, outputs)),
        "observations": len(observations),
        "largest_difference": difference,
    }


def largest_difference(
    model: TrainedModel, outputs: list[np.ndarray], observations: np.ndarray, states: np.ndarray
) -> float:
    """Largest difference between outputs of a model and those of its policy.

    The difference of two numbers is relative to the policy's number if its magnitude is above 1, and for actions of a
    Box relative to half the range of the Box if that is larger. For a discrete action, it is how much less probable the
    action is than the policy's, in nats: to choose the other of two that are as good as equal is no mistake.

    Args:
        model: the policy.
        outputs: in the order of ``model.exported.output_names``.
        observations: ``[B, *observation_space.shape]``.
        states: ``[B, S]`` float32, recurrent state of the policy before each.
    """
    wanted = _outputs_of_policy(model, observations, states)
    differences = []
    for name, right, here in zip(model.exported.output_names, wanted, outputs, strict=True):
        if here.shape != right.shape:
            raise ExportError(f"the model's {name} is of shape {here.shape}, that of its policy {right.shape}")
        if name == "action" and space_kind(model.action_space) != "Box":
            policy = action_distribution(model.action_space)(wanted[1])
            differences.append(policy.log_prob(right) - policy.log_prob(here))
            continue
        unit = np.maximum(1, np.abs(right))
        if name == "action":
            half_range = model.action_space.high / 2 - model.action_space.low / 2
            unit = np.maximum(unit, np.where(np.isfinite(half_range), half_range, 1))
        differences.append(np.abs(here - right) / unit)
    return float(np.max([np.max(difference) for difference in differences]))  # NaN if any is


def _describe(name: str, array: np.ndarray) -> str:
    return f"{name} {array.dtype} [{', '.join(['B', *map(str, array.shape[1:])])}]"


def _outputs_of_policy(model: TrainedModel, observations: np.ndarray, states: np.ndarray) -> list[np.ndarray]:
    """Expected outputs of the exported policy, computed by the policy itself."""
    policy, new_states = model.policy, states.copy()
    actions = clip_for(model.action_space)(policy.act(observations, None, new_states))
    if isinstance(policy, DeterministicActor):
        return [actions]
    if isinstance(policy, SquashedGaussianActor):
        with paddle.no_grad():
            parameters = [tensor.numpy() for tensor in policy(observations)]
    else:
        parameters = [policy.forward(observations, Unroll.of_one_step(states))[0]]
        if space_kind(model.action_space) == "Box":
            parameters = np.split(parameters[0], 2, axis=1)
    state_size = model.exported.state_size
    return [actions, *parameters] + [new_states[:, :state_size]] * (state_size > 0)


def _play(policy: Policy, envs: VecEnv, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """``NUM_OBSERVATIONS`` observations ``[B, ...]`` and the recurrent state before each, ``[B, S]``."""
    envs, clip = packed(envs), clip_for(envs.action_space)
    observations = envs.reset()
    state = np.zeros((envs.num_envs, policy.state_size), np.float32)
    rows: list[tuple[np.ndarray, np.ndarray]] = []
    for _ in range(NUM_OBSERVATIONS // envs.num_envs):
        rows.append((observations.copy(), state.copy()))
        observations, _, dones, _ = envs.step(clip(policy.act(observations, generator, state)))
        state[dones] = 0
    return np.concatenate([row[0] for row in rows]), np.concatenate([row[1] for row in rows])


def _write_paddle(model: TrainedModel, path: Path) -> RunModel:
    """``.json`` and ``.pdiparams``, for Paddle Inference."""
    from paddle.inference import Config, create_predictor

    with _without_notices():
        paddle.jit.save(model.exported, str(path), input_spec=model.exported.input_specs)
    config = Config(f"{path}.json", f"{path}.pdiparams")
    config.disable_glog_info()
    predictor = create_predictor(config)
    return lambda inputs: [output.numpy() for output in predictor.run([paddle.to_tensor(array) for array in inputs])]


def _write_onnx(model: TrainedModel, path: Path) -> RunModel:
    """``.onnx``, for everything that runs ONNX."""
    import onnx
    import onnxruntime
    import paddle2onnx

    with tempfile.TemporaryDirectory() as temporary, _without_notices():
        paddle.jit.save(model.exported, f"{temporary}/model", input_spec=model.exported.input_specs)
        converted = paddle2onnx.export(
            f"{temporary}/model.json", f"{temporary}/model.pdiparams", opset_version=ONNX_OPSET
        )
    graph_model = onnx.load_from_string(converted)
    _tidy(graph_model.graph, model.exported.output_names)
    onnx.checker.check_model(graph_model, full_check=True)
    onnx.save(graph_model, f"{path}.onnx")
    session = onnxruntime.InferenceSession(f"{path}.onnx", providers=["CPUExecutionProvider"])
    exported = model.exported
    return lambda inputs: session.run(exported.output_names, dict(zip(exported.input_names, inputs, strict=True)))


def _check_onnx_packages() -> None:
    missing = [name for name in ONNX_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"{needs('format onnx', *missing)} (on Python below 3.13)")


def _tidy(graph: Any, output_names: list[str]) -> None:
    """Give an ONNX graph's outputs their names and its batch the name B, and take out constants that nobody uses."""
    new_names = {value.name: name for value, name in zip(graph.output, output_names, strict=True)}
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [new_names.get(name, name) for name in names]
    for value in graph.output:
        value.name = new_names[value.name]
    for value in [*graph.input, *graph.output]:
        value.type.tensor_type.shape.dim[0].dim_param = "B"
    used = {name for node in graph.node for name in node.input}
    for node in [node for node in graph.node if node.op_type == "Constant" and node.output[0] not in used]:
        graph.node.remove(node)


def _write_pdparams(model: TrainedModel, path: Path) -> RunModel:
    """``.pdparams``, ``.yaml``, and ``.npz`` where observations are normalised: what makes the same network again."""
    policy = model.policy
    paddle.save(dict(layer_to_save(policy).named_parameters()), f"{path}.pdparams")
    write_yaml(model.config, f"{path}.yaml")
    moments = policy.encode.state_dict()
    if moments:
        np.savez(f"{path}.npz", **moments)

    config = read_config(f"{path}.yaml")
    again = ALGORITHMS[config.algo].make_policy(config, model.observation_space, model.action_space)
    again.load_parameters({name: value.numpy() for name, value in paddle.load(f"{path}.pdparams").items()})
    if moments:
        again.encode.load_state_dict(dict(np.load(f"{path}.npz")))
    return exported_policy(again, model.observation_space, model.action_space).outputs_of


@contextmanager
def _without_notices() -> Iterator[None]:
    """Keep the output of Paddle and paddle2onnx off the terminal; errors are raised."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(stream) for stream in (1, 2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for stream in (1, 2):
            os.dup2(nowhere, stream)
        with warnings_ignored("Tensor do not have 'place' interface"):
            yield
    finally:
        for stream, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, stream)
            os.close(copy)
        os.close(nowhere)


FORMATS: dict[str, Callable[[TrainedModel, Path], RunModel]] = {
    "paddle": _write_paddle,
    "onnx": _write_onnx,
    "pdparams": _write_pdparams,
}
