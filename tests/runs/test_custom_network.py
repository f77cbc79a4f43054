"""A network of the user's own learns, is evaluated, resumed, exported and drawn as the built-in ones are."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import paddle
import pytest
from gymnasium.spaces import Box, Dict, Discrete
from paddle import nn

import paddle_ac
from paddle_ac.algorithms.a2c import A2C
from paddle_ac.algorithms.policy import make_network
from paddle_ac.checkpoint import load_checkpoint
from paddle_ac.config import make_config
from paddle_ac.errors import ConfigError
from paddle_ac.nn.paddle_network import PaddleNetwork
from paddle_ac.nn.unroll import Unroll
from paddle_ac.training.export import export_run
from paddle_ac.training.network_graph import draw_networks
from tests.commands import blocks, in_text
from tests.formats import FORMATS
from tests.own_networks import Buffered, Frozen, OfParts, Own, Remembering
from tests.paddle_networks import ReferenceNetwork
from tests.paths import ROOT
from tests.tool_calls import run_main

PAGE = (ROOT / "docs" / "networks.md").read_text(encoding="utf-8")
SPACES = Box(-1, 1, (3,)), Discrete(4)
QUICK = {
    "env": "CartPole-v1",
    "num_envs": 2,
    "vec": "serial",
    "total_steps": 300,
    "eval_episodes": 1,
    "eval_max_steps": 50,
}
ALGOS = {
    "a2c": {},
    "ppo": {"num_steps": 16, "minibatch_size": 16, "num_epochs": 2},
    "reinforce": {},
    "td_ac": {},
    "paac": {},
    "a3c": {"vec": None, "num_workers": 2, "num_envs": 1},
}


def values_for(algo, **changes):
    values = {"algo": algo, **QUICK, **ALGOS[algo], "network": Own, **changes}
    return {name: value for name, value in values.items() if value is not None}


def network_of(network_class, **changes):
    return make_network(make_config({"algo": "a2c", "network": network_class, **changes}), *SPACES)


@pytest.mark.parametrize("algo", ALGOS)
def test_every_on_policy_algorithm_learns_with_a_network_of_ones_own(algo, tmp_path):
    summary = paddle_ac.train(values_for(algo, network_kwargs={"num_units": 8}), str(tmp_path / "run"), progress=False)
    assert summary["env_steps"] >= 300 and np.isfinite(summary["eval_mean_return"])
    parameters = load_checkpoint(tmp_path / "run" / "checkpoints" / "latest.safetensors")["algorithm"]["parameters"]
    assert parameters["network.hidden.weight"].shape == (4, 8)
    config = paddle_ac.make_config(paddle_ac.read_yaml(tmp_path / "run" / "config.yaml"))
    assert config.network == "tests.own_networks:Own" and config.network_kwargs == {"num_units": 8}
    trained = paddle_ac.load(str(tmp_path / "run"), "latest")
    assert trained.predict(np.zeros(4, np.float32)) in (0, 1)


@pytest.mark.parametrize("network", [Own, Buffered, Frozen, Remembering], ids=lambda network: network.__name__)
def test_resuming_gives_the_parameters_of_an_uninterrupted_run(network, tmp_path):
    values = values_for("a2c", network=network, lr_schedule="constant", normalize_observations=True)
    paddle_ac.train(values, str(tmp_path / "parts"), progress=False)
    paddle_ac.resume(str(tmp_path / "parts"), {"total_steps": 900}, progress=False)
    paddle_ac.train({**values, "total_steps": 900}, str(tmp_path / "whole"), progress=False)
    latest = [load_checkpoint(tmp_path / run / "checkpoints" / "latest.safetensors") for run in ("parts", "whole")]
    found, expected = (state["algorithm"]["parameters"] for state in latest)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, name)


@pytest.mark.parametrize("export_format", FORMATS)
@pytest.mark.parametrize("network", [Own, Buffered, Remembering], ids=lambda network: network.__name__)
def test_exported_network_acts_as_the_policy_does(network, export_format, tmp_path):
    values = values_for("a2c", network=network, normalize_observations=network is Own)
    paddle_ac.train(values, str(tmp_path / "run"), progress=False)
    result = export_run(str(tmp_path / "run"), export_format, "latest")
    assert result["observations"] == 1000 and result["largest_difference"] < 1e-5
    assert result["outputs"][:2] == ["action int64 [B]", "logits float32 [B, 2]"]


@pytest.mark.parametrize("network", [Own, Buffered, Frozen, Remembering], ids=lambda network: network.__name__)
def test_graph_has_the_layers_of_the_network(network):
    with paddle_ac.make(**values_for("a2c", network=network)) as agent:
        layers, compute = agent.layers()
        observations, state = np.zeros((1, 4), np.float32), agent.policy.initial_state(1)
        graph = json.loads(draw_networks(layers, (4,), lambda: compute(observations, state)))
        drawn = {tuple(variable["shape"]) for variable in graph["vars"] if variable["persistable"]}
        learned = [parameter for parameter in layers["actor_critic"].parameters() if not parameter.stop_gradient]
        assert len(learned) >= 4 and {tuple(parameter.shape) for parameter in learned} <= drawn


def test_parts_of_a_dict_are_tensors_by_path(tmp_path):
    values = values_for("a2c", network=OfParts, env="tests.environments:test/Structured-v0")
    paddle_ac.train(values, str(tmp_path / "run"), progress=False)
    assert (tmp_path / "run" / "summary.json").exists()


def test_recurrent_network_unrolls_as_the_built_in_one():
    options = {"recurrent": "lstm", "recurrent_size": 6, "shared_torso": True, "initialization": "xavier"}
    built_in = ReferenceNetwork(*SPACES, (), generator=np.random.default_rng(0), **options)
    own = network_of(Remembering)
    own.load_parameters({f"network.{name}": view for name, view in built_in.parameters.views.items()})
    assert own.state_size == built_in.state_size == 12
    generator = np.random.default_rng(1)
    observations = generator.normal(size=(20, 3)).astype(np.float32)
    unroll = Unroll(generator.normal(size=(4, 12)).astype(np.float32), generator.random((5, 4)) < 0.4)
    grads = [generator.normal(size=shape).astype(np.float32) for shape in ((20, 4), (20,))]
    results = []
    for network in (own, built_in.twin()):
        outputs, values, tape = network.forward(observations, unroll)
        vector = np.empty_like(network.parameters.vector)
        views = network.parameters.layout.views(vector)
        network.backward(tape, *(grad.copy() for grad in grads), views)
        gradient = {name.removeprefix("network."): view for name, view in views.items()}
        results.append((outputs, values, network.values(observations, unroll), gradient))
    for found, expected in zip(results[0][:3], results[1][:3], strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    for name, expected in results[1][3].items():
        np.testing.assert_allclose(results[0][3][name], expected, rtol=1e-4, atol=1e-5, err_msg=name)


def test_weights_depend_on_the_seed_alone_and_leave_paddles_generator_alone():
    paddle.seed(5)
    expected = paddle.rand([4]).numpy()
    paddle.seed(5)
    vectors = [network_of(Own, seed=seed).parameters.vector for seed in (3, 3, 4)]
    np.testing.assert_array_equal(paddle.rand([4]).numpy(), expected)
    np.testing.assert_array_equal(vectors[0], vectors[1])
    assert not np.array_equal(vectors[0], vectors[2])


def test_frozen_parameters_stay_as_they_are():
    with paddle_ac.make(**values_for("a2c", network=Frozen)) as agent:
        before = agent.policy.parameter_arrays()
        for _ in range(5):
            agent.update()
        changed = {name for name, array in agent.policy.parameter_arrays().items() if (array != before[name]).any()}
    assert changed == {f"network.{head}.{part}" for head in ("policy", "critic") for part in ("weight", "bias")}


WRONG = {
    "Raising": "network Raising failed (own_networks.py, line 80): RuntimeError: no such layer",
    "RaisingInForward": "network RaisingInForward failed (own_networks.py, line 85): RuntimeError: cannot compute",
    "Listing": "network Listing: forward must return (policy outputs, values, new state); None is no state",
    "TwoResults": "network TwoResults: forward must return (policy outputs, values, new state); None is no state",
    "WideOutputs": "policy outputs must be float32 [3, 2] for 3 observations, not float32 [3, 7]",
    "ColumnOfValues": "values must be float32 [3] for 3 observations, not float32 [3, 1]",
    "DoubleOutputs": "policy outputs must be float32 [3, 2] for 3 observations, not float64 [3, 2]",
    "ArrayOfValues": "values must be a tensor of shape ['B'], not array(",
    "Ignoring": "the parameter spare.weight has no influence on policy outputs or values: use it, remove it, or",
    "Squeezing": "values must be float32 [1] for 1 observations, not float32 []",
    "Dropping": "dropout is a Dropout, which makes the policy's probabilities random; leave it out",
    "Normalizing": "norm is a BatchNorm, whose statistics are no parameters; use LayerNorm instead",
    "WrongState": "the new state must be float32 [3, 11] for 3 observations, not float32 [3, 12]",
    "AllFrozen": "it has no parameters to learn: use paddle.nn layers, and leave one without stop_gradient",
    "NegativeState": "state_size must be 0 or more, not -1",
    "NoLayer": "network 'tests.own_networks:NoLayer' must be a class that derives from paddle.nn.Layer",
    "Missing": "network 'tests.own_networks:Missing' cannot be imported: AttributeError: module 'tests.own_networks'",
}


@pytest.mark.parametrize("name", WRONG)
def test_mistake_in_a_network_is_one_line_and_nothing_is_written(name, capsys, tmp_path):
    arguments = ["--network", f"tests.own_networks:{name}", "--run-dir", str(tmp_path / "run"), "--no-progress"]
    code, output, errors = run_main(capsys, "train.py", "--vec", "serial", *arguments)
    *logged, last = errors.splitlines()
    assert code == 2 and not output and last.startswith("error: ") and WRONG[name] in last
    assert not any("Traceback" in line for line in logged) and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "arguments,said",
    [
        (["--network", "tests.own_networks:Own", "--hidden-sizes", "8"], "hidden_sizes is of built-in networks"),
        (["--network", "tests.own_networks:Own", "--encoder", "nature"], "encoder is of built-in networks"),
        (["--network", "tests.own_networks:Own", "--recurrent", "gru"], "recurrent is of built-in networks"),
        (["--network", "tests.own_networks:Own", "--backend", "numpy"], "backend=numpy knows built-in networks only"),
        (["--network", "tests.own_networks:Own", "--algo", "q_ac"], "q_ac takes built-in networks only"),
        (["--network", "tests.own_networks:Own", "--network-kwargs", "width=3"], "network Own failed: TypeError"),
        (["--network", "nowhere.nets:Own"], "network 'nowhere.nets:Own' cannot be imported: ModuleNotFoundError"),
        (["--network", "tests.own_networks"], "network: "),
        (["--network-kwargs", "num_units=3"], "network_kwargs: are arguments of a network of your own"),
        (["--device", "gpu", "--backend", "numpy"], "backend=numpy computes on the CPU only, not on device=gpu"),
        (["--device", "cuda"], "device: "),
    ],
)
def test_bad_option_of_a_network_is_one_line_and_nothing_is_written(arguments, said, capsys, tmp_path):
    arguments = [*arguments, "--run-dir", str(tmp_path / "run"), "--no-progress", "--num-envs", "2", "--vec", "serial"]
    code, output, errors = run_main(capsys, "train.py", *arguments)
    assert code == 2 and not output and said in errors.splitlines()[-1] and not (tmp_path / "run").exists()


def test_class_inside_a_function_is_rejected():
    class Local(nn.Layer):
        pass

    with pytest.raises(ConfigError, match="Local must be a class of a module or script, not one inside a function"):
        make_config({"algo": "a2c", "network": Local})


@pytest.mark.skipif(paddle.is_compiled_with_cuda(), reason="this build has devices")
def test_device_without_a_build_for_it_is_one_line_and_nothing_is_written(capsys, tmp_path):
    arguments = ["--device", "gpu", "--run-dir", str(tmp_path / "run"), "--vec", "serial"]
    code, output, errors = run_main(capsys, "train.py", *arguments)
    assert code == 2 and "error: device gpu: the installed PaddlePaddle" in errors.splitlines()[-1]
    assert not output and not (tmp_path / "run").exists()


SCRIPT = """
import paddle_ac
from tests.own_networks import Own

class Mine(Own):
    pass

if __name__ == "__main__":
    values = {"algo": "a3c", "num_workers": 2, "total_steps": 300, "eval_episodes": 1, "network": Mine}
    print(paddle_ac.train(values, "run", progress=False)["env_steps"] >= 300)
"""


@pytest.mark.slow
def test_class_of_a_script_reaches_the_workers_of_a3c(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}  # where the tests lie, which are not installed
    ended = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200
    )
    assert ended.returncode == 0 and ended.stdout == "True\n", ended.stderr


def test_network_of_the_page_trains_and_is_found_again_from_its_folder(tmp_path):
    (tmp_path / "my_network.py").write_text(blocks(PAGE, "python")[0])
    (flags,) = [code.split() for code in in_text(PAGE) if code.startswith("--network my_network:MyNetwork ")]
    flags += ["--total-steps", "400", "--eval-episodes", "1", "--run-dir", "run", "--no-progress", "--vec", "serial"]
    train = [sys.executable, f"{ROOT}/tools/train.py", *flags]
    ended = subprocess.run(train, cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert ended.returncode == 0, ended.stderr
    assert "tools/evaluate.py run --import-here" in ended.stdout
    evaluate = [sys.executable, f"{ROOT}/tools/evaluate.py", "--run-dir", "run", "--episodes", "1"]
    refused = subprocess.run(evaluate, cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert (
        refused.returncode == 2 and "my_network in the current folder is imported with --import-here" in refused.stderr
    )
    found = subprocess.run([*evaluate, "--import-here"], cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert found.returncode == 0 and "1 episode of CartPole-v1" in found.stdout


@pytest.mark.slow
@pytest.mark.parametrize("seed", [11, 12, 13])
def test_network_of_the_page_learns_cartpole(seed, tmp_path, monkeypatch):
    (tmp_path / f"network_{seed}.py").write_text(blocks(PAGE, "python")[0])
    monkeypatch.syspath_prepend(tmp_path)
    config = make_config({"algo": "a2c", "network": f"network_{seed}:MyNetwork", "seed": seed, "total_steps": 200_000})
    with A2C.from_config(config) as agent:
        assert type(agent.policy) is PaddleNetwork
        returns: list[float] = []
        while not agent.is_done and (len(returns) < 100 or np.mean(returns[-100:]) < 475):
            returns += agent.update()["charts/episode_return"]
    assert np.mean(returns[-100:]) >= 475


@pytest.mark.parametrize("normalize", [True, False])
def test_check_passes_observations_of_the_dtype_that_training_passes(normalize):
    space = Box(-1, 1, (2,), np.float64)
    seen = []

    class Watching(Own):
        def features(self, observations):
            seen.append(observations.dtype)
            return super().features(observations.astype("float32"))

    config = make_config({"algo": "a2c", "network": "tests.own_networks:Own", "normalize_observations": normalize})
    network = make_network(config, space, Discrete(2), network_class=Watching)
    checked = set(seen)
    seen.clear()
    network.act(np.zeros((4, 2)))
    assert set(seen) == checked == {paddle.float32 if normalize else paddle.float64}


def test_dict_with_a_key_action_mask_keeps_its_parts_without_masks():
    space = Dict({"action_mask": Box(0, 1, (2,), np.float32), "observation": Box(0, 1, (3,), np.float32)})
    seen = []

    class Watching(paddle.nn.Layer):
        def __init__(self, *spaces):
            super().__init__()
            self.policy, self.critic = paddle.nn.Linear(5, 2), paddle.nn.Linear(5, 1)

        def forward(self, observations, state):
            seen.append(set(observations))
            features = paddle.concat([observations["action_mask"], observations["observation"]], axis=-1)
            return self.policy(features), self.critic(features).squeeze(-1), None

    config = make_config({"algo": "a2c", "network": "tests.own_networks:Own"})
    make_network(config, space, Discrete(2), network_class=Watching)
    assert seen[0] == {"action_mask", "observation"}
