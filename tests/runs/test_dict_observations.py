"""Dict and Tuple observations, nested too: from the environments to the networks, and what is rejected."""

from __future__ import annotations

import functools
import re

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Graph, MultiBinary, Sequence, Text, Tuple

import paddle_ac
from multiprocessing_env import (
    DummyVecEnv,
    NotInSpaceError,
    ObservationError,
    SubprocVecEnv,
    VecEnvWrapper,
    space_parts,
)
from paddle_ac.checkpoint import load_checkpoint, save_checkpoint
from paddle_ac.envs.native import NativeVecEnv
from paddle_ac.envs.single import make_replayable
from paddle_ac.envs.wrappers import FrameStack
from paddle_ac.errors import CheckpointError, ConfigError, NonFiniteError
from paddle_ac.learning.rollout import RolloutCollector, rollout_bytes
from paddle_ac.nn.encoding import ObservationEncoder
from paddle_ac.packing import ObservationPacking, PackedVecEnv, packed
from paddle_ac.training.evaluate import evaluate_run
from paddle_ac.training.export import export_run
from paddle_ac.training.recording import watch_run
from tests.environments import RandomWalk, Restructuring, Structured
from tests.formats import FORMATS
from tests.short_runs import assert_same_run, quick_run
from tests.tool_calls import run_main

BOTH = pytest.mark.parametrize("make_vec_env", [DummyVecEnv, SubprocVecEnv], ids=["dummy", "subproc"])
ENV = "tests.environments:test/Structured-v0"
CONTINUOUS = "tests.environments:test/StructuredContinuous-v0"
RESTRUCTURING = "tests.environments:test/Restructuring-v0"
PATHS = ["camera", "robot/joints", "robot/mode", "switches/0", "switches/1"]
SPACE = Structured().observation_space
MESSAGES = {
    "missing": "observation has the keys 'robot', 'switches', its space has 'camera', 'robot', 'switches'",
    "extra": "observation has the keys 'camera', 'robot', 'switches', 'radar', its space has 'camera', 'robot', 'swit",
    "other": "observation has the keys 'kamera', 'robot', 'switches', its space has 'camera', 'robot', 'switches'",
    "nested": "observation[\"robot\"] has the keys 'joints', its space has 'joints', 'mode'",
    "length": 'observation["switches"] has 1 parts, its space has 2',
    "array": "observation must be a dictionary, as its space is a Dict, got ndarray",
    "no tuple": 'observation["switches"] must be a tuple, as its space is a Tuple, got dict',
    "dtype": 'observation["camera"]: observation of dtype float64 cannot be converted to uint8',
    "shape": 'observation["robot"]["joints"]: the observation has shape (4,), the observation space (3,)',
    "range": 'observation["robot"]["mode"]: the observation has the value 4 where its space has 1 to 3',
}


class Showing(gymnasium.Env):
    """Observes the same at every step."""

    def __init__(self, space, observation, action_space=None):
        self.observation_space, self.observation = space, observation
        self.action_space = action_space or Discrete(2)

    def reset(self, *, seed=None, options=None):
        return self.observation, {}

    def step(self, action):
        return self.observation, 1.0, False, False, {}


class Combining(gymnasium.Env):
    """The right action is the number of the combination that both parts show, so that one part gives half; 10 steps."""

    observation_space = Dict({"picture": Box(0, 255, (3, 3), np.uint8), "sign": Discrete(2)})
    action_space = Discrete(4)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return self._draw(), {}

    def step(self, action):
        reward, self.count = float(action == self.wanted), self.count + 1
        return self._draw(), reward, False, self.count == 10, {}

    def _draw(self):
        bright, sign = self.np_random.integers(0, 2, 2)
        self.wanted = int(2 * bright + sign)
        return {"picture": np.full((3, 3), 200 * bright, np.uint8), "sign": int(sign)}


gymnasium.register("test/Combining-v0", Combining)


def leaves_of(observation) -> list[np.ndarray]:
    """In the order of PATHS."""
    robot, switches = observation["robot"], observation["switches"]
    assert type(observation) is type(robot) is dict and type(switches) is tuple
    return [observation["camera"], robot["joints"], robot["mode"], *switches]


def assert_same(one, other) -> None:
    for left, right in zip(leaves_of(one), leaves_of(other), strict=True):
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right)


# ------------------------------------------------------------------------------------------- vectorised environments


@BOTH
def test_observations_have_the_structure_of_the_space_with_an_array_for_each_part(make_vec_env):
    with make_vec_env([Structured] * 3) as envs:
        envs.seed(0)
        for observations in (envs.reset(), envs.step([0, 1, 2])[0], envs.reset_task()):
            for part, space in zip(leaves_of(observations), space_parts(SPACE).values(), strict=True):
                assert part.shape == (3, *space.shape) and part.dtype == space.dtype and part.flags.c_contiguous
        again = envs.step([0, 1, 2])[0]
        kept = leaves_of(again)[0].copy()
        envs.step([0, 1, 2])
        np.testing.assert_array_equal(leaves_of(again)[0], kept)  # not overwritten


@pytest.mark.parametrize("in_series", [1, 2])
def test_worker_processes_return_what_one_process_does(in_series):
    env_fns = [functools.partial(make_replayable, Structured, (index,)) for index in range(4)]
    with DummyVecEnv(env_fns) as serial, SubprocVecEnv(env_fns, in_series=in_series) as parallel:
        assert_same(serial.reset(), parallel.reset())
        ended = 0
        for step in range(60):
            one, other = (envs.step([step % 4] * 4) for envs in (serial, parallel))
            assert_same(one[0], other[0])
            np.testing.assert_array_equal(one[1], other[1])
            for index in np.flatnonzero(one[2]):
                ended += 1
                last, last_of_other = (results[3][index]["terminal_observation"] for results in (one, other))
                assert_same(last, last_of_other)
                assert [part.shape for part in leaves_of(last)] == [part.shape for part in space_parts(SPACE).values()]
        assert ended > 5
        assert_same(serial.reset_one(-1), parallel.reset_one(-1))


@BOTH
def test_a_terminal_observation_is_a_copy(make_vec_env):
    shared = {"a": np.zeros(2, np.float32)}

    class Ending(Showing):
        def step(self, action):
            self.observation["a"] += 1
            return self.observation, 0.0, False, True, {}

    with make_vec_env([lambda: Ending(Dict({"a": Box(-9, 9, (2,))}), shared)]) as envs:
        envs.reset()
        first = envs.step([0])[3][0]["terminal_observation"]["a"]
        second = envs.step([0])[3][0]["terminal_observation"]["a"]
        assert (first.tolist(), second.tolist()) == ([1, 1], [2, 2])


@BOTH
def test_a_tuple_space_gives_a_tuple_and_takes_lists(make_vec_env):
    space = Tuple([Discrete(3), Box(-1, 1, (2,)), Tuple([MultiBinary(2)])])
    with make_vec_env([lambda: Showing(space, [2, [0.5, 1], [np.array([True, False])]])] * 2) as envs:
        number, vector, (bits,) = envs.reset()
    assert number.tolist() == [2, 2] and vector.dtype == np.float32 and bits.dtype == np.int8
    np.testing.assert_array_equal(bits, [[1, 0], [1, 0]])


@BOTH
def test_environments_are_brought_back_to_where_they_stood(make_vec_env):
    env_fns = [functools.partial(make_replayable, Structured, (index,)) for index in range(2)]
    with make_vec_env(env_fns) as envs, make_vec_env(env_fns) as others:
        envs.reset()
        for _ in range(7):
            observations = envs.step([1, 2])[0]
        assert_same(others.set_state(envs.get_state()), observations)
        assert_same(others.step([0, 1])[0], envs.step([0, 1])[0])


@BOTH
def test_wrappers_around_all_environments_hand_observations_through(make_vec_env):
    class Passing(VecEnvWrapper):
        def reset(self):
            return self.venv.reset()

        def step_wait(self):
            return self.venv.step_wait()

    with Passing(make_vec_env([Structured] * 2)) as envs:
        envs.seed(0)
        envs.reset()
        assert leaves_of(envs.step([0, 1])[0])[0].shape == (2, 4, 4, 1)
        assert leaves_of(envs.reset_one(0))[0].shape == (4, 4, 1)


@BOTH
@pytest.mark.parametrize("fault", MESSAGES)
def test_an_observation_outside_its_space_names_environment_and_part(make_vec_env, fault):
    with make_vec_env([Structured, functools.partial(Restructuring, fault, at=3)]) as envs:
        envs.reset()
        envs.step([0, 0])
        with pytest.raises(ObservationError) as raised:
            envs.step([0, 2])
    assert str(raised.value).startswith(f"environment 1 failed in step with action 2: {MESSAGES[fault]}")
    assert "\n" not in str(raised.value) and raised.value.env_index == 1


@BOTH
@pytest.mark.parametrize(
    "space,message",
    [
        (Dict({"a": Dict({"b": Text(5)})}), 'observation["a"]["b"] space Text'),
        (Tuple([Discrete(2), Graph(Discrete(2), None)]), "observation[1] space Graph"),
        (Dict({"a": Sequence(Discrete(2))}), 'observation["a"] space Sequence'),
        (Dict({"a": Box(0, 1, (0, 2))}), 'observation["a"] space Box([], [], (0, 2), float32) is empty'),
        (Dict({"a": Tuple([])}), 'observation["a"] space Tuple() is empty'),
        (Dict({}), "observation space Dict() is empty"),
        (Dict({"a/b": Discrete(2), "a": Dict({"b": Discrete(2)})}), "its keys must name each part by another path"),
        (Dict({"": Discrete(2)}), "its keys must name each part by another path"),
    ],
)
def test_spaces_that_are_not_supported_name_the_part(make_vec_env, space, message):
    with pytest.raises(TypeError, match=re.escape(message)) as raised:
        make_vec_env([functools.partial(Showing, space, None)])
    assert "\n" not in str(raised.value)


@BOTH
@pytest.mark.parametrize("space", [Dict({"a": Discrete(2)}), Tuple([Discrete(2)])], ids=["Dict", "Tuple"])
def test_action_spaces_of_parts_are_rejected(make_vec_env, space):
    with pytest.raises(TypeError, match=r"^action space .* is not supported: it must be Box, .* or MultiBinary$"):
        make_vec_env([functools.partial(Showing, Discrete(2), 0, space)])


@BOTH
def test_keys_may_hold_slashes(make_vec_env):
    space = Dict({"walker/height": Box(0, 1, (2,)), "walker/arm": Discrete(2)})
    with make_vec_env([lambda: Showing(space, {"walker/height": np.ones(2), "walker/arm": 1})]) as envs:
        assert envs.reset()["walker/height"].tolist() == [[1, 1]]


# ------------------------------------------------------------------------------------------------ packed observations


def test_packing_has_a_field_for_each_part():
    packing = ObservationPacking(SPACE)
    assert list(packing.parts) == list(packing.dtype.names) == PATHS
    assert packing.shape == () and packing.dtype["camera"].shape == (4, 4, 1) and packing.dtype["camera"].base == "u1"
    SPACE.seed(0)
    observation = SPACE.sample()
    one = packing.pack_one(observation)
    assert one.shape == () and one.dtype == packing.dtype
    for path, part in zip(PATHS, leaves_of(observation), strict=True):
        np.testing.assert_array_equal(one[path], part)


def test_packing_leaves_single_arrays_as_they_are():
    packing = ObservationPacking(Box(-1, 1, (3,)))
    observations = np.zeros((2, 3), np.float32)
    assert packing.pack(observations) is observations and packing.pack_one(observations[0]).base is observations
    assert (packing.parts, packing.shape, packing.dtype) == ({}, (3,), np.float32)
    with DummyVecEnv([RandomWalk]) as envs:
        assert packed(envs) is envs


def test_environments_are_packed_once():
    with packed(DummyVecEnv([Structured])) as envs:
        assert packed(envs) is envs and isinstance(envs, PackedVecEnv)


def test_rollouts_hold_what_the_environments_returned():
    env_fns = [functools.partial(make_replayable, Structured, (index,)) for index in range(2)]
    with DummyVecEnv(env_fns) as envs, DummyVecEnv(env_fns) as others:
        collector = RolloutCollector(envs, 20)
        rollout = collector.collect(lambda observations, state: np.zeros(2, np.int64))
        assert rollout.observations.shape == (20, 2)
        observations, truncated = others.reset(), 0
        for step in range(20):
            for path, part in zip(PATHS, leaves_of(observations), strict=True):
                np.testing.assert_array_equal(rollout.observations[step][path], part)
            observations, _, _, infos = others.step([0, 0])
            for env, info in enumerate(infos):
                if info.get("TimeLimit.truncated"):
                    assert rollout.truncation_places[truncated] == (step, env)
                    last = rollout.truncation_observations[truncated]
                    np.testing.assert_array_equal(last["camera"], info["terminal_observation"]["camera"])
                    truncated += 1
        assert truncated == len(rollout.truncation_places) > 0
        assert rollout.transitions(rollout.observations).shape == (40,)


def test_bytes_of_a_rollout_count_every_part():
    assert rollout_bytes(SPACE, Discrete(2)) == 8 + (16 + 12 + 8 + 2 + 16) + 4 * (16 + 3 + 1 + 2 + 2) + 6


def test_a_number_that_is_not_finite_names_the_part():
    with DummyVecEnv([Structured, functools.partial(Restructuring, "nan", at=4)]) as envs:
        collector = RolloutCollector(envs, 10)
        with pytest.raises(
            NonFiniteError, match=r'^observation\["robot/joints"\] of environment 1 is not finite: \[nan'
        ):
            collector.collect(lambda observations, state: np.zeros(2, np.int64))


def test_checkpoints_hold_structured_arrays(tmp_path):
    observations = ObservationPacking(SPACE).pack(DummyVecEnv([Structured] * 3).reset())
    save_checkpoint(tmp_path / "file", {"a": {"observations": observations, "number": np.ones(2)}})
    loaded = load_checkpoint(tmp_path / "file")["a"]
    assert loaded["observations"].dtype == observations.dtype and loaded["number"].tolist() == [1, 1]
    np.testing.assert_array_equal(loaded["observations"], observations)


@pytest.mark.parametrize("fields", ['{"a": [["x", "<f4"]]}', '{"b": []}', "[]", '{"a": [["x", "O"]]}', '{"a": 1}', "{"])
def test_a_checkpoint_with_other_fields_is_damaged(tmp_path, monkeypatch, fields):
    monkeypatch.setattr("paddle_ac.checkpoint._checksum", lambda metadata, arrays: "0")
    save_checkpoint(tmp_path / "file", {"a": np.zeros(2, [("x", "<f8"), ("y", "u1", (3,))])})
    content = (tmp_path / "file").read_bytes()
    before = rb'"{\"a\": [[\"x\", \"<f8\"], [\"y\", \"|u1\", [3]]]}"'
    after = b'"' + fields.encode().replace(b'"', b'\\"') + b'"'
    assert before in content
    (tmp_path / "file").write_bytes(content.replace(before, after.ljust(len(before))))
    with pytest.raises(CheckpointError, match="is damaged: its fields do not fit"):
        load_checkpoint(tmp_path / "file")


# ---------------------------------------------------------------------------------------------------------- features


def test_features_are_those_of_the_parts_side_by_side():
    with DummyVecEnv([Structured] * 4) as envs:
        observations = envs.reset()
    features = ObservationEncoder(SPACE)(ObservationPacking(SPACE).pack(observations))
    parts = [
        ObservationEncoder(space)(part)
        for space, part in zip(space_parts(SPACE).values(), leaves_of(observations), strict=True)
    ]
    assert features.shape == (4, 16 + 3 + 3 + 2 + 5) and features.dtype == np.float32
    np.testing.assert_array_equal(features, np.concatenate(parts, axis=1))


def test_categories_are_not_normalised():
    encode = ObservationEncoder(SPACE, normalize=True)
    with packed(DummyVecEnv([Structured] * 64)) as envs:
        observations = envs.reset()
    encode.update(observations)
    raw, features = encode.flatten(observations), encode(observations)
    one_hot = np.r_[19:22, 24:29]
    others = np.setdiff1d(np.arange(29), one_hot)
    np.testing.assert_array_equal(features[:, one_hot], raw[:, one_hot])
    np.testing.assert_allclose(features[:, others].mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(features[:, others].std(axis=0), 1, atol=1e-3)
    again = ObservationEncoder(SPACE, normalize=True)
    again.load_state_dict(encode.state_dict())
    np.testing.assert_array_equal(again(observations), features)


def test_a_space_of_categories_has_no_moments():
    assert ObservationEncoder(Tuple([Discrete(2), Discrete(3)]), normalize=True).moments is None


# ---------------------------------------------------------------------------------------------------------- training

CHOICES = {"a2c": ENV, "ppo": ENV, "reinforce": ENV, "sac": CONTINUOUS, "td3": CONTINUOUS, "a3c": ENV}


@pytest.mark.parametrize("vec", ["serial", pytest.param("subproc", marks=pytest.mark.slow)])
def test_a_resumed_run_is_the_run_that_never_stopped(tmp_path, vec, caplog):
    changes = {"env": ENV, "normalize_observations": True, "vec": vec}
    quick_run(tmp_path / "whole", 3020, **changes)
    quick_run(tmp_path / "stopped", 1010, **changes)
    paddle_ac.resume(str(tmp_path / "stopped"), {"total_steps": 3020})
    assert_same_run(tmp_path / "whole", tmp_path / "stopped")
    assert "does not repeat itself" not in caplog.text


@pytest.mark.parametrize("algo", CHOICES)
def test_algorithms_train_resume_evaluate_and_predict(tmp_path, algo):
    changes = {"algo": algo, "env": CHOICES[algo], "normalize_observations": True}
    if algo == "a3c":
        changes.update(num_workers=2, num_envs=1)
    if algo in ("sac", "td3"):
        changes.update(learning_starts=100, batch_size=16, buffer_size=1000)
    if algo == "reinforce":
        changes.update(max_episode_steps=5)
    quick_run(tmp_path / "run", 600, **changes)
    summary = paddle_ac.resume(str(tmp_path / "run"), {"total_steps": 900})
    assert summary["env_steps"] >= 900 and summary["stopped_by"] == "total_steps"
    assert evaluate_run(str(tmp_path / "run"), episodes=3)["episodes"] == 3
    policy = paddle_ac.load(str(tmp_path / "run"))
    SPACE.seed(0)
    assert policy.action_space.contains(policy.predict(SPACE.sample()))


def test_environments_that_do_not_repeat_themselves_cannot_be_resumed(tmp_path):
    changes = {"env": RESTRUCTURING, "env_kwargs": {"fault": "nan", "at": 10**9}}
    quick_run(tmp_path / "run", 500, **changes)
    path = tmp_path / "run" / "checkpoints" / "latest.safetensors"
    state = load_checkpoint(path)
    state["algorithm"]["collector"]["observations"]["robot/joints"][0] += 1
    save_checkpoint(path, state)
    message = r'environment 0 does not repeat itself.* led to observation\["robot/joints"\] \['
    with pytest.raises(CheckpointError, match=message):
        paddle_ac.resume(str(tmp_path / "run"), {"total_steps": 1000})


@pytest.mark.parametrize("algo", ["a2c", "a3c"])
def test_an_observation_outside_its_space_ends_the_command_in_one_line(capsys, tmp_path, algo):
    arguments = ["--vec", "serial", "--num-envs", "2"] if algo == "a2c" else ["--num-workers", "1"]
    command = ["--algo", algo, "--env", RESTRUCTURING, "--env-kwargs", "fault=missing", *arguments]
    code, _, errors = run_main(capsys, "train.py", *command, "--run-dir", str(tmp_path / "run"), "--no-progress")
    assert code == 2 and errors.count("environment 0 failed in step") == 1
    assert "Traceback" not in errors and MESSAGES["missing"] in errors.splitlines()[-1]
    load_checkpoint(tmp_path / "run" / "checkpoints" / "latest.safetensors")


def test_frames_of_parts_are_not_stacked(capsys):
    with pytest.raises(ConfigError, match="only observations of a Box can be stacked, not of Dict"):
        FrameStack(Structured(), 2)
    code, _, errors = run_main(capsys, "train.py", "--env", ENV, "--frame-stack", "4", "--vec", "serial")
    assert code == 2 and "only observations of a Box can be stacked" in errors.splitlines()[-1]


# ------------------------------------------------------------------------------------------------------------- predict


@pytest.fixture(scope="module")
def agent():
    with paddle_ac.make("a2c", ENV, num_envs=2, vec="serial", hidden_sizes=(8,)) as agent:
        yield agent


def test_predict_takes_one_observation_or_several(agent):
    with DummyVecEnv([Structured] * 5) as envs:
        observations = envs.reset()
    actions = agent.predict(observations)
    assert actions.shape == (5,)
    one = {"camera": observations["camera"][3], "robot": {k: v[3] for k, v in observations["robot"].items()}}
    one["switches"] = tuple(part[3] for part in observations["switches"])
    assert agent.predict(one) == actions[3] and np.shape(agent.predict(one)) == ()


@pytest.mark.parametrize("fault", MESSAGES)
def test_predict_rejects_an_observation_outside_its_space(agent, fault):
    SPACE.seed(0)
    with pytest.raises(NotInSpaceError) as raised:
        agent.predict(Restructuring.FAULTS[fault](SPACE.sample()))
    assert str(raised.value).startswith(MESSAGES[fault])


def test_predict_rejects_parts_of_unequal_numbers_of_observations(agent):
    with DummyVecEnv([Structured] * 5) as envs:
        observations = envs.reset()
    observations["robot"]["mode"] = observations["robot"]["mode"][:3]
    with pytest.raises(
        ValueError, match=r'each part must be of the same number.*\["camera"\] \(5, 4, 4, 1\), .* \(3,\)'
    ):
        agent.predict(observations)


def test_predict_rejects_a_part_that_is_not_finite(agent):
    SPACE.seed(0)
    with pytest.raises(ValueError, match="observations must be finite"):
        agent.predict(Restructuring.FAULTS["nan"](SPACE.sample()))


# ------------------------------------------------------------------------------------------------------------ learning


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["a2c", "a3c"])
def test_what_takes_both_parts_is_learned(tmp_path, algo):
    config = {"algo": algo, "env": "test/Combining-v0", "seed": 0, "total_steps": 40_000, "eval_episodes": 20}
    config.update({"num_envs": 8, "vec": "serial"} if algo == "a2c" else {"num_workers": 2})
    assert paddle_ac.train(config, str(tmp_path / "run"), progress=False)["eval_mean_return"] == 10


# ------------------------------------------------------------------------------------------------------------- export


@pytest.fixture(scope="module", params=["a2c", "recurrent", "sac", "td3"])
def run(request, tmp_path_factory):
    """A short run whose observations are normalised."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    changes = {"normalize_observations": True, "env": ENV}
    if request.param == "recurrent":
        changes["recurrent"] = "gru"
    if request.param in ("sac", "td3"):
        changes.update(algo=request.param, env=CONTINUOUS, learning_starts=100, batch_size=16, buffer_size=1000)
    quick_run(folder, 300, **changes)
    return folder


@pytest.mark.parametrize("export_format", FORMATS)
def test_an_exported_policy_has_an_input_for_each_part(run, export_format):
    result = export_run(str(run), export_format, "latest")
    inputs = [line.split()[:2] for line in result["inputs"] if not line.startswith("state")]
    assert inputs == [
        ["observation.camera", "float32"],
        ["observation.robot.joints", "float32"],
        ["observation.robot.mode", "int64"],
        ["observation.switches.0", "int64"],
        ["observation.switches.1", "int64"],
    ]
    assert result["largest_difference"] < 1e-4


def test_the_graph_page_shows_the_networks(run):
    graph = (run / "vdlgraph.run.log").read_text()
    assert "observations" in graph and "torso" in graph


def test_an_episode_is_recorded(tmp_path):
    env = "tests.environments:test/StructuredFilmed-v0"
    quick_run(tmp_path / "run", 300, env=env)
    watch_run(str(tmp_path / "film.gif"), str(tmp_path / "run"), "latest")
    assert (tmp_path / "film.gif").stat().st_size > 0


def test_the_phases_of_an_update_are_timed(capsys):
    code, out, _ = run_main(
        capsys, "benchmark.py", "--algo", "a2c", "--env", ENV, "--num-envs", "2", "--seconds", "0.1"
    )
    assert code == 0 and "learning" in out


# ---------------------------------------------------------------------------------- other sources of environments


@BOTH
def test_classic_gym_spaces_are_converted_too(make_vec_env):
    gym = pytest.importorskip("gym")

    class Old(gym.Env):
        observation_space = gym.spaces.Dict(
            {"a": gym.spaces.Box(-1, 1, (2,)), "b": gym.spaces.Tuple([gym.spaces.Discrete(3)])}
        )
        action_space = gym.spaces.Discrete(2)

        def reset(self):
            return {"a": np.ones(2), "b": (2,)}

        def step(self, action):
            return self.reset(), 1.0, True, {}

    with make_vec_env([Old] * 2) as envs:
        for observations in (envs.reset(), envs.step([0, 1])[0]):
            assert observations["a"].dtype == np.float32 and observations["b"][0].tolist() == [2, 2]


def test_environments_vectorised_by_their_maker_must_have_single_arrays():
    class Maker:
        num_envs, single_observation_space, single_action_space = 2, SPACE, Discrete(2)

    with pytest.raises(TypeError, match=r"envpool take observations of one array, not of Dict.*--vec must be"):
        NativeVecEnv(Maker(), (0,))
