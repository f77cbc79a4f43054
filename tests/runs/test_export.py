"""A policy as files for other programs: they compute what it does, and nothing is kept that does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import paddle
import pytest
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete
from paddle.inference import Config, create_predictor

import paddle_ac
from paddle_ac.algorithms.policy import POLICY_FORMAT
from paddle_ac.checkpoint import save_checkpoint
from paddle_ac.config import make_config, read_yaml
from paddle_ac.errors import ConfigError, ExportError
from paddle_ac.nn.exported import ExportedEncoder, exported_policy
from paddle_ac.registry import ALGORITHMS
from paddle_ac.training import export
from paddle_ac.training.export import TrainedModel, export_run, largest_difference
from paddle_ac.training.run_folder import RunFolder
from tests.formats import FORMATS, needs_onnx
from tests.paths import TOOLS
from tests.tool_calls import run_main

TOOL = TOOLS / "export.py"


class Sampling(gymnasium.Env):
    """Observations are drawn from their space; an episode is cut after 7 steps."""

    def __init__(self, observation_space, action_space):
        self.observation_space, self.action_space = observation_space, action_space

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self.count = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        assert self.action_space.contains(action)
        self.count += 1
        return self.observation_space.sample(), 1.0, False, self.count == 7, {}


HALF_OPEN = Box(np.array([[-1, -np.inf], [0, -2]], np.float32), np.array([[1, 0.1], [np.inf, 2]], np.float32))
SPACES = {
    "FromTwo": (Discrete(4, start=2), MultiDiscrete([3, 4])),
    "Pairs": (MultiDiscrete([2, 3], start=[1, -1]), MultiBinary(3)),
    "Switches": (MultiBinary(4), MultiDiscrete([[2, 3], [4, 2]])),
    "Pictures": (Box(0, 255, (2, 3), np.uint8), HALF_OPEN),
    "Camera": (Box(0, 255, (2, 7, 6), np.uint8), Box(-2, 1, (3,))),
    "Wide": (Box(-1, 1, (2,)), Box(np.array([-5, -1e3], np.float32), np.array([1, 3e3], np.float32))),
}
for space_name, spaces in SPACES.items():
    gymnasium.register(
        f"test/{space_name}-v0", Sampling, kwargs={"observation_space": spaces[0], "action_space": spaces[1]}
    )

SMALL = {"algo": "a2c", "hidden_sizes": (8, 6), "vec": "serial", "normalize_observations": False}
CASES = {
    "discrete": {**SMALL, "env": "CartPole-v1"},
    "no hidden layer": {**SMALL, "env": "CartPole-v1", "hidden_sizes": ()},
    "Q critic": {**SMALL, "algo": "q_ac", "env": "CartPole-v1"},
    "normalised": {**SMALL, "env": "CartPole-v1", "normalize_observations": True},
    "Gaussian": {**SMALL, "env": "Pendulum-v1", "initial_log_std": -0.5},
    "Gaussian by state": {
        **SMALL,
        "env": "test/Pictures-v0",
        "state_dependent_std": True,
        "normalize_observations": True,
        "shared_torso": True,
    },
    "MultiDiscrete": {**SMALL, "env": "test/FromTwo-v0"},
    "MultiBinary": {**SMALL, "env": "test/Pairs-v0"},
    "MultiDiscrete in two dimensions": {**SMALL, "env": "test/Switches-v0", "normalize_observations": True},
    "lstm": {**SMALL, "env": "CartPole-v1", "recurrent": "lstm", "recurrent_size": 5, "normalize_observations": True},
    "gru": {**SMALL, "env": "Pendulum-v1", "recurrent": "gru", "recurrent_size": 5, "shared_torso": True},
    "soft_q": {"algo": "soft_q", "env": "CartPole-v1", "hidden_sizes": (8, 6), "vec": "serial"},
    "sac_discrete": {"algo": "sac_discrete", "env": "test/FromTwo-v0", "hidden_sizes": (8, 6), "vec": "serial"},
    "dqn": {"algo": "dqn", "env": "CartPole-v1", "hidden_sizes": (8, 6), "vec": "serial"},
    "dueling": {
        "algo": "dqn",
        "env": "CartPole-v1",
        "hidden_sizes": (8, 6),
        "activation": "tanh",
        "dueling": True,
        "vec": "serial",
    },
    "sac": {"algo": "sac", "env": "test/Wide-v0", "hidden_sizes": (8, 6), "vec": "serial"},
    "sac, images": {
        "algo": "sac",
        "env": "test/Camera-v0",
        "conv_layers": "4x3x2",
        "vec": "serial",
        "hidden_sizes": (),
    },
    "td3": {"algo": "td3", "env": "test/Wide-v0", "hidden_sizes": (8, 6), "vec": "serial"},
    "ddpg, images": {**SMALL, "algo": "ddpg", "env": "test/Camera-v0", "conv_layers": "4x3x2", "hidden_sizes": (8,)},
}


def make_run(folder, **values):
    """The folder of a run whose policy is sure of itself: random parameters, not near 0, and moments that matter."""
    config = make_config(values)
    run = RunFolder.new(config, folder)
    run.begin(config)
    env = gymnasium.make(config.env, disable_env_checker=True)
    policy = ALGORITHMS[config.algo].make_policy(config, env.observation_space, env.action_space)
    generator = np.random.default_rng(0)
    parameters = {
        name: generator.normal(0, 0.1 if "bias" in name else 0.9, array.shape).astype(np.float32)
        for name, array in policy.parameter_arrays().items()
    }
    for _ in range(2 if policy.encode.moments else 0):
        policy.encode.update(generator.normal(0.5, 2, (50, *env.observation_space.shape)))
    saved = {"parameters": parameters, "encoder": policy.encode.state_dict()}
    state = {"algo": config.algo, "format": POLICY_FORMAT, "mean_return": 0.0, "env_steps": 1234, **saved}
    save_checkpoint(run.best, state)
    return str(run.path)


def trained_model(run):
    trained, config = paddle_ac.load(run), RunFolder.open(run).read_config()
    spaces = (trained.observation_space, trained.action_space)
    return TrainedModel(config, *spaces, trained.policy, exported_policy(trained.policy, *spaces))


def load_model(run, export_format):
    """The model as somebody else loads it: a function from observations and a state to actions and the new state."""
    path = Path(run) / "export" / "model"
    if export_format == "paddle":
        config = Config(f"{path}.json", f"{path}.pdiparams")
        config.disable_glog_info()
        predictor = create_predictor(config)
        assert predictor.get_input_names() in (["observation"], ["observation", "state"])
        return lambda *inputs: [tensor.numpy() for tensor in predictor.run([*map(paddle.to_tensor, inputs)])]
    if export_format == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(f"{path}.onnx")
        return lambda *inputs: session.run(None, dict(zip(("observation", "state"), inputs, strict=False)))
    config = make_config(read_yaml(f"{path}.yaml"))
    env = gymnasium.make(config.env, disable_env_checker=True)
    policy = ALGORITHMS[config.algo].make_policy(config, env.observation_space, env.action_space)
    policy.load_parameters({name: value.numpy() for name, value in paddle.load(f"{path}.pdparams").items()})
    if Path(f"{path}.npz").exists():
        policy.encode.load_state_dict(dict(np.load(f"{path}.npz")))
    exported = exported_policy(policy, env.observation_space, env.action_space)
    return lambda *inputs: [tensor.numpy() for tensor in exported(*map(paddle.to_tensor, inputs))]


@pytest.mark.parametrize("export_format", FORMATS)
@pytest.mark.parametrize("case", CASES)
def test_a_model_acts_as_its_policy_does(tmp_path, case, export_format):
    run = make_run(tmp_path / "run", **CASES[case])
    result = export_run(run, export_format)
    assert result["observations"] == 1000 and result["env_steps"] == 1234
    assert 0 <= result["largest_difference"] < 1e-5
    assert sorted(map(str, (tmp_path / "run" / "export").iterdir())) == result["files"]

    trained, model = paddle_ac.load(run), load_model(run, export_format)
    trained.observation_space.seed(3)
    dtype = np.float32 if isinstance(trained.observation_space, Box) else np.int64
    seen = []
    for num_envs in (1, 3):
        state = trained.initial_state(num_envs)
        model_state = np.zeros((num_envs, 10), np.float32) if "recurrent" in CASES[case] else None
        if CASES[case].get("recurrent") == "gru":
            model_state = model_state[:, :5]
        for _ in range(6):
            observations = np.stack([trained.observation_space.sample() for _ in range(num_envs)])
            actions = trained.predict(observations, state)
            inputs = [observations.astype(dtype)] + ([model_state] if model_state is not None else [])
            outputs = model(*inputs)
            kind = np.float32 if isinstance(trained.action_space, Box) else np.int64
            assert outputs[0].shape == actions.shape and outputs[0].dtype == kind
            np.testing.assert_allclose(outputs[0], actions, rtol=1e-4, atol=1e-3)
            if model_state is not None:
                model_state = outputs[-1]
                np.testing.assert_allclose(model_state, state[:, : model_state.shape[1]], atol=1e-5)
            seen.extend(actions)
    assert len(np.unique(seen, axis=0)) > 1, "the policy does not look at what it observes"


@needs_onnx
def test_a_model_says_what_the_actions_are_drawn_from(tmp_path):
    import onnxruntime

    policies = {
        "normalised": ["action int64 [B]", "logits float32 [B, 2]"],
        "Gaussian by state": ["action float32 [B, 2, 2]", "mean float32 [B, 4]", "log_std float32 [B, 4]"],
        "lstm": ["action int64 [B]", "logits float32 [B, 2]", "new_state float32 [B, 10]"],
        "sac": ["action float32 [B, 2]", "mean float32 [B, 2]", "log_std float32 [B, 2]"],
        "td3": ["action float32 [B, 2]"],
    }
    for case, outputs in policies.items():
        run = make_run(tmp_path / case, **CASES[case])
        assert export_run(run, "onnx")["outputs"] == outputs
        session = onnxruntime.InferenceSession(f"{run}/export/model.onnx")
        assert [value.name for value in session.get_outputs()] == [output.split()[0] for output in outputs]
        assert {value.shape[0] for value in [*session.get_inputs(), *session.get_outputs()]} == {"B"}
    policy, observation = paddle_ac.load(str(tmp_path / "sac")).policy, np.full((2, 2), 0.3, np.float32)
    _, mean, log_std = onnxruntime.InferenceSession(tmp_path / "sac/export/model.onnx").run(
        None, {"observation": observation}
    )
    expected_mean, expected_log_std = policy(observation)
    np.testing.assert_allclose(mean, expected_mean.numpy(), atol=1e-5)
    np.testing.assert_allclose(log_std, expected_log_std.numpy(), atol=1e-5)


@pytest.mark.parametrize("export_format", FORMATS)
def test_a_model_that_is_not_its_policy_is_not_kept(tmp_path, monkeypatch, capsys, export_format):
    run = make_run(tmp_path / "run", **CASES["normalised"])
    before = sorted(tmp_path.rglob("*"))
    forward = ExportedEncoder.forward

    def forward_wrongly(self, observation):
        return forward(self, observation * 1.01)

    monkeypatch.setattr(ExportedEncoder, "forward", forward_wrongly)
    code, output, errors = run_main(capsys, "export.py", "--run-dir", run, "--format", export_format)
    assert code == 1 and output == ""
    assert f"error: the {export_format} model differs from its policy by " in errors and errors.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_an_earlier_export_outlives_one_that_fails(tmp_path, monkeypatch):
    run = make_run(tmp_path / "run", **CASES["discrete"])
    file = Path(export_run(run, "pdparams")["files"][0])
    before = file.read_bytes()
    monkeypatch.setattr(export, "TOLERANCE", -1)
    with pytest.raises(ExportError):
        export_run(run, "pdparams")
    assert file.read_bytes() == before
    monkeypatch.undo()
    make_run(tmp_path / "other", **CASES["gru"])
    export_run(str(tmp_path / "other"), "pdparams", output=str(file))
    assert file.read_bytes() != before


def test_another_action_is_a_difference_unless_the_two_are_as_good_as_equal(tmp_path):
    model = trained_model(make_run(tmp_path / "run", **CASES["discrete"]))
    observations, states = np.ones((1, 4), np.float32), np.zeros((1, 0), np.float32)
    action, logits = (tensor.numpy() for tensor in model.exported(paddle.to_tensor(observations)))
    assert largest_difference(model, [action, logits], observations, states) < 1e-5
    gap = largest_difference(model, [1 - action, logits], observations, states)
    np.testing.assert_allclose(gap, np.ptp(logits), rtol=1e-5)
    assert np.isnan(largest_difference(model, [action, logits * np.nan], observations, states))
    model.policy.parameters.views["actor_head.weight"][...] = 0
    model.policy.parameters.views["actor_head.bias"][...] = [0, 1e-6]
    action, logits = (tensor.numpy() for tensor in model.exported(paddle.to_tensor(observations)))
    assert largest_difference(model, [1 - action, logits], observations, states) < 1e-5


def test_a_difference_of_actions_is_measured_by_the_range_of_their_box(tmp_path):
    model = trained_model(make_run(tmp_path / "run", **CASES["sac"]))
    observations, states = np.zeros((1, 2), np.float32), np.zeros((1, 0), np.float32)
    outputs = [tensor.numpy() for tensor in model.exported(paddle.to_tensor(observations))]
    assert abs(outputs[0][0, 1]) < 2000
    outputs[0] += np.array([0, 2], np.float32)
    np.testing.assert_allclose(largest_difference(model, outputs, observations, states), 2 / 2000, rtol=0.01)


def test_files_are_named_after_the_output(tmp_path):
    run = make_run(tmp_path / "run", **CASES["discrete"])
    for output, files in (
        ("a/walker", ["a/walker.json", "a/walker.pdiparams"]),
        ("v1.2", ["v1.2.json", "v1.2.pdiparams"]),
        ("b.json", ["b.json", "b.pdiparams"]),
    ):
        assert export_run(run, output=str(tmp_path / output))["files"] == [str(tmp_path / file) for file in files]
    with pytest.raises(ConfigError, match="is a folder"):
        export_run(run, output=str(tmp_path / "a"))


def test_the_checkpoint_that_was_asked_for_is_exported(tmp_path):
    run = make_run(tmp_path / "run", **CASES["discrete"])
    latest = dict(paddle_ac.load(run).policy.parameter_arrays())
    latest["actor_head.bias"] = latest["actor_head.bias"] + 1000 * np.array([1, -1], np.float32)
    algorithm = {"parameters": latest, "env_steps": 5, "encoder": {}}
    state = {
        "algo": "a2c",
        "algorithm": algorithm,
        "logger": {"pending": {}, "progress_bytes": 0, "visualdl_bytes": 0},
        "train_seconds": 0.0,
        "episodes": 0,
        "recent_returns": [],
        "last_point": [0, 0, 0.0],
        "best": None,
        "evaluated": 0,
    }
    save_checkpoint(RunFolder(Path(run)).latest, state)
    for checkpoint, env_steps, shift in (("best", 1234, 0), ("latest", 5, 1000)):
        assert export_run(run, "pdparams", checkpoint)["env_steps"] == env_steps
        bias = paddle.load(f"{run}/export/model.pdparams")["actor_head.bias"].numpy()
        assert (abs(bias[0]) > 500) == (shift > 500)


@pytest.mark.parametrize("export_format", FORMATS)
def test_the_tool_prints_the_difference_and_nothing_else(tmp_path, export_format):
    run = make_run(tmp_path / "run", **CASES["normalised"])
    command = [sys.executable, str(TOOL), "--run-dir", run, "--format", export_format]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stderr) == (0, "")
    told, *files, inputs, outputs, difference = ended.stdout.splitlines()
    assert told == f"best checkpoint of {run}, after 1,234 training steps"
    assert [Path(file.strip()) for file in files] == sorted((tmp_path / "run" / "export").iterdir())
    assert inputs == "inputs:  observation float32 [B, 4]"
    assert outputs == "outputs: action int64 [B], logits float32 [B, 2]"
    text, _, number = difference.rpartition(" ")
    assert text == "largest difference from the policy on 1,000 observations:" and 0 <= float(number) < 1e-5


@pytest.mark.parametrize(
    "arguments,said",
    [
        ([], "which run?"),
        (["--run-dir", "nowhere"], "there is no run folder nowhere"),
        (["--run-dir", "."], ". is not a run folder"),
        (["--run-dir", "run", "--format", "tflite"], "must be paddle or onnx or pdparams, got 'tflite'"),
        (["--run-dir", "run", "--checkpoint", "latest"], "run/checkpoints/latest.safetensors"),
        (["--run-dir", "run", "--output", "run"], "run is a folder: name the files in it, as run/model"),
        (["--run-dir", "run", "--formt", "onnx"], "did you mean '--format'?"),
    ],
)
def test_exporting_refuses(capsys, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    make_run("run", **CASES["discrete"])
    before = sorted(tmp_path.rglob("*"))
    code, output, errors = run_main(capsys, "export.py", *arguments)
    assert code == 2 and output == ""
    assert said in errors and errors.startswith("error: ") and errors.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_package_that_onnx_lacks_is_named_with_the_extra_that_has_it(capsys, tmp_path, monkeypatch):
    run = make_run(tmp_path / "run", **CASES["discrete"])
    monkeypatch.setattr(export, "ONNX_PACKAGES", ("onnx", "onyx", "onnix"))
    code, output, errors = run_main(capsys, "export.py", "--run-dir", run, "--format", "onnx")
    assert code == 2 and output == "" and not (tmp_path / "run" / "export").exists()
    assert errors == "error: format onnx needs onyx and onnix: pip install onyx onnix (on Python below 3.13)\n"


def test_an_unknown_format_is_reported_from_python_too(tmp_path):
    with pytest.raises(ConfigError, match="unknown format 'tflite': must be one of paddle, onnx, pdparams"):
        export_run(str(tmp_path), "tflite")


@pytest.mark.parametrize(
    "export_format", ["paddle", pytest.param("onnx", marks=[pytest.mark.slow, needs_onnx]), "pdparams"]
)
def test_file_of_agent_save_is_exported_beside_it(tmp_path, capsys, export_format):
    with paddle_ac.make("a2c", "CartPole-v1", vec="serial", num_envs=2) as agent:
        agent.update()
        file = agent.save(tmp_path / "cartpole")
    code, output, errors = run_main(capsys, "export.py", str(tmp_path / "cartpole"), "--format", export_format)
    assert (code, errors) == (0, "")
    assert output.startswith(f"{tmp_path / 'cartpole'}, after 64 training steps\n")
    written = sorted(path.name for path in tmp_path.iterdir() if path != file)
    assert {path.partition(".")[0] for path in written} == {"cartpole"} and written
    code, _, errors = run_main(capsys, "export.py", str(file), "--checkpoint", "latest")
    assert code == 2 and "only a run folder has checkpoints" in errors and errors.count("\n") == 1
