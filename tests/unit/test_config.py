"""Configurations: what is wrong is told in one line that names it, and what is right comes back from its file."""

from __future__ import annotations

import ast
import math
import subprocess
import sys

import pytest

from paddle_ac.config import (
    CONFIGS,
    A2CConfig,
    NetworkConfig,
    OnPolicyConfig,
    QLearningConfig,
    QNetworkConfig,
    RunConfig,
    SynchronousConfig,
    change_on_resume,
    groups,
    make_config,
    read_yaml,
    write_yaml,
)
from paddle_ac.config.async_q import AsyncQConfig
from paddle_ac.config.continuous import ContinuousConfig
from paddle_ac.config.discrete import DiscreteConfig
from paddle_ac.config.groups import Group
from paddle_ac.errors import ConfigError
from tests.paths import CONFIGS as CONFIGS_FOLDER
from tests.paths import ROOT

PACKAGE = ROOT / "paddle_ac"
CONFIG_FILES = sorted((ROOT / "configs").glob("*.yaml"))


def message_of(function, *arguments):
    """The one line of the ConfigError that a call ends in."""
    with pytest.raises(ConfigError) as caught:
        function(*arguments)
    message = str(caught.value)
    assert message and message.isprintable(), repr(message)
    return message


@pytest.mark.parametrize(
    "name,wrong_values",
    [
        ("env", ["", None, 3, ["CartPole-v1"]]),
        ("env_kwargs", ["gravity", 3, True, [1], ["gravity"], {1: 2}, {"a b": 1}, {"a": print}, {"a": [print]}]),
        ("wrappers", ["module", ["m:C", 3], {"m:C": 1}, "m:C(1)", "m:C(x=y)", "m:C(x=1", 3, ["m:C"] * 101]),
        ("init_from", ["", 3, ["run"]]),
        ("frame_stack", [0, -1, 1.5, "four", 1001]),
        ("sticky_actions", [-0.1, 1, "often"]),
        ("terminal_on_life_loss", ["perhaps", 2, None]),
        ("fire_on_reset", ["perhaps", 2, None]),
        ("seed", [-1, 2**31, 0.5, "zero"]),
        ("total_steps", [0, -5, 1.5, "many", None, 2**63, 10**400]),
        ("num_threads", [0, -1, 1.5, "all", 1025]),
        ("num_envs", [0, -1, 2.5, "eight", "", "8\n8 8", None, [8], {"n": 8}]),
        ("vec", ["threads", "Serial", "", None, 1]),
        ("num_workers", [0, -2, 1.5, "two", 1025]),
        ("resume_episodes", ["old", "", None]),
        ("step_timeout", [0, -1, math.nan, math.inf, 1e12, "long"]),
        ("start_timeout", [0, -1, math.nan, math.inf, 1e12, "long"]),
        ("eval_interval", [0, -1, 0.5, 2**63, "9223372036854775808"]),
        ("eval_episodes", [0, -1, 0.5]),
        ("eval_max_steps", [0, -1, 0.5]),
        ("eval_sampled", ["perhaps", 2, None]),
        ("stop_at_return", [math.nan, math.inf, "high", [1]]),
        ("log_to", ["mlflow", "tensorboard,mlflow", 3, True, {"wandb": 1}, [3]]),
        ("log_interval", [0, -1, 0.5]),
        ("checkpoint_interval", [0, -1, 0.5]),
        ("num_steps", [0, -1, 0.5, "five"]),
        ("gamma", [1.5, -0.1, math.nan, math.inf, "most", None]),
        ("gae_lambda", [1.5, -0.1, math.nan, "all", None]),
        ("reward_scale", [0, -1, math.nan, math.inf, None]),
        ("reward_clip", [0, -1, math.nan, "none"]),
        ("normalize_observations", ["perhaps", 2, None]),
        ("normalize_rewards", ["perhaps", 2, None]),
        ("action_masks", ["perhaps", 2, None]),
        ("state_dependent_std", ["perhaps", 2, None]),
        ("initial_log_std", [-21, 2.5, math.nan, None]),
        ("critic_loss", ["huber", "", None]),
        ("value_coef", [-0.1, math.nan, math.inf]),
        ("entropy_coef", [-0.1, math.nan, math.inf]),
        ("hidden_sizes", ["64,x", "64,0", [64, -1], [1.5], [None], 0, 6.5, "64;64", [1] * 101, 2**63]),
        ("recurrent", ["rnn", "", None]),
        ("recurrent_size", [0, -1, 1.5]),
        ("activation", ["gelu", ""]),
        ("shared_torso", ["perhaps", 2]),
        ("initialization", ["zeros", None]),
        ("encoder", ["vgg", "", None]),
        ("conv_layers", ["", "32", "32x8", "32x8x4,", "32x8x4x2", "32x0x4", "axbxc", "-1x8x4", "5000x8x4", 3, [32]]),
        ("network", ["", "module", "module:", ":Class", "a b:C", "m:C:D", 3, ["m:C"], int.__add__, "m:" + "C" * 200]),
        ("network_kwargs", ["size", 3, True, [1], ["size"], {1: 2}, {"a b": 1}, {"a": print}, {"size": 3}]),
        ("backend", ["torch", "", None]),
        ("device", ["cuda", "gpu:", "gpu:x", "gpu:-1", "cpu:0", "", None, 0]),
        ("optimizer", ["sgd", "Adam", None]),
        ("learning_rate", [-1, 0, 10**400, math.nan, math.inf, "nan", "inf", "fast", None, [1e-3]]),
        ("lr_schedule", ["cosine", None]),
        ("lr_decay_steps", [0, -1, 0.5]),
        ("lr_decay_factor", [0, -0.5, 1.5, math.nan]),
        ("optimizer_epsilon", [0, -1e-5, math.nan, math.inf]),
        ("rmsprop_decay", [1, -0.1, math.nan]),
        ("max_grad_norm", [0, -1, math.nan, math.inf]),
    ],
)
def test_every_wrong_value_is_refused_in_one_line_that_names_its_field(name, wrong_values):
    for value in wrong_values:
        assert message_of(make_config, {"algo": "a2c", name: value}).startswith(name)


def test_the_table_of_wrong_values_has_every_field():
    (table,) = test_every_wrong_value_is_refused_in_one_line_that_names_its_field.pytestmark
    assert {name for name, _ in table.args[1]} == A2CConfig.model_fields.keys() - {"algo"}


def test_a_configuration_takes_hyper_parameters_by_name():
    message = message_of(A2CConfig, {"num_envs": 4})
    assert message == ("A2CConfig takes hyper-parameters by name, as in A2CConfig(seed=0), not {'num_envs': 4}")
    assert A2CConfig(num_envs=4).num_envs == 4


def test_a_copy_is_checked_like_a_new_configuration():
    config = A2CConfig(env_kwargs={"a": 1})
    assert config.model_copy() == config
    assert config.model_copy(update={"num_envs": "4"}).num_envs == 4
    assert "did you mean 'num_envs'" in message_of(lambda: config.model_copy(update={"num_env": 4}))
    assert message_of(lambda: config.model_copy(update={"num_envs": 0})).startswith("num_envs")


def test_writers_and_wrappers_are_read_from_texts():
    assert make_config({"algo": "a2c", "log_to": "wandb,tensorboard,wandb"}).log_to == ("wandb", "tensorboard")
    assert make_config({"algo": "a2c", "log_to": ""}).log_to == ()
    assert make_config({"algo": "a2c", "wrappers": None}).wrappers == ()
    assert make_config({"algo": "a2c", "wrappers": "m:C(x=(1, 'a,b'))"}).wrappers == ("m:C(x=(1, 'a,b'))",)


def test_a_change_that_resume_rejects_is_answered_with_what_may_change():
    config = A2CConfig()
    message = message_of(change_on_resume, config, {"gamma": 0.5}, "runs/x")
    assert "gamma cannot change on resume: runs/x has 0.99, not 0.5; what may change: " in message
    assert "total_steps" in message and "eval_sampled" in message and "stop_at_return" in message


@pytest.mark.parametrize(
    "values",
    [
        {"gamma": 0, "num_steps": 1, "entropy_coef": 0, "value_coef": 0, "rmsprop_decay": 0, "seed": 0},
        {"gamma": 1, "lr_decay_factor": 1, "seed": 2**31 - 1, "num_envs": 1, "num_workers": 1},
        {"num_envs": 6, "num_workers": 3},
        {"num_workers": None},
        {"lr_schedule": "linear", "total_steps": 500, "lr_decay_steps": 500},
        {"hidden_sizes": []},
    ],
)
def test_the_ends_of_the_ranges_are_taken(values):
    config = make_config({"algo": "a2c", **values})
    for name, value in values.items():
        assert getattr(config, name) == (tuple(value) if isinstance(value, list) else value)


@pytest.mark.parametrize(
    "name,wrong_values",
    [
        ("double", ["perhaps", 2, None]),
        ("dueling", ["perhaps", 2, None]),
        ("target_interval", [0, -1, 0.5]),
        ("tau", [0, -0.1, 1.1, math.nan]),
        ("initial_epsilon", [-0.1, 1.1, math.nan]),
        ("final_epsilon", [-0.1, 1.1, math.nan]),
        ("exploration_fraction", [-0.1, 1.1, math.nan]),
        ("num_step_returns", [0, -1, 0.5, 1001]),
        ("prioritized", ["perhaps", 2, None]),
    ],
)
def test_every_wrong_value_for_dqn_is_refused_too(name, wrong_values):
    for value in wrong_values:
        assert message_of(make_config, {"algo": "dqn", name: value}).startswith(name)


@pytest.mark.parametrize(
    "name,wrong_values",
    [
        ("tau", [0, -0.1, 1.1, math.nan]),
        ("buffer_size", [0, -1, 0.5, "big"]),
        ("batch_size", [0, -1, 0.5]),
        ("learning_starts", [-1, 0.5]),
        ("train_freq", [0, -1, 0.5]),
        ("gradient_steps", [0, -1, 0.5]),
        ("noise_correlation", [1, -0.1, math.nan]),
        ("auto_alpha", ["perhaps", 2, None]),
        ("init_alpha", [0, -1, math.nan, math.inf]),
        ("target_entropy", [math.nan, math.inf, "auto"]),
        ("actor_learning_rate", [0, -1, math.nan, math.inf, None]),
        ("critic_learning_rate", [0, -1, math.nan, math.inf, None]),
        ("alpha_learning_rate", [0, -1, math.nan, math.inf, None]),
    ],
)
def test_every_wrong_value_for_sac_is_refused_too(name, wrong_values):
    for value in wrong_values:
        assert message_of(make_config, {"algo": "sac", name: value}).startswith(name)


def test_the_rejected_value_and_its_limit_are_named():
    message = message_of(make_config, {"algo": "a2c", "gamma": 1.5})
    assert "1.5" in message and "less than or equal to 1" in message


@pytest.mark.parametrize(
    "values,message",
    [
        ({"env": ""}, "env: must not be empty, got ''"),
        ({"hidden_sizes": "64,-1"}, "hidden_sizes: must be greater than 0, got '-1'"),
        (
            {"lock": True},
            "unknown hyper-parameter 'lock' of a2c: only a3c, async_q, async_sarsa, async_nstep_q take it",
        ),
    ],
)
def test_mistakes_are_reported_in_words_of_our_own(values, message):
    assert message_of(make_config, {"algo": "a2c", **values}) == message


def test_several_mistakes_are_reported_together():
    message = message_of(make_config, {"algo": "a2c", "gamma": 1.5, "num_envs": 0})
    assert "gamma" in message and "num_envs" in message


def test_workers_that_do_not_divide_the_environments_are_refused():
    message = message_of(make_config, {"algo": "a2c", "num_envs": 8, "num_workers": 3})
    assert "num_workers=3" in message and "num_envs=8" in message


def test_a_linear_schedule_that_ends_before_the_run_is_refused():
    values = {"algo": "a2c", "lr_schedule": "linear", "total_steps": 501, "lr_decay_steps": 500}
    message = message_of(make_config, values)
    assert "lr_decay_steps=500" in message and "total_steps=501" in message
    make_config({**values, "lr_schedule": "step"})


@pytest.mark.parametrize(
    "wrong,right",
    [("gama", "gamma"), ("num-envs", "num_envs"), ("lr_shedule", "lr_schedule"), ("Hidden_Sizes", "hidden_sizes")],
)
def test_an_unknown_name_is_reported_with_the_nearest_right_one(wrong, right):
    message = message_of(make_config, {"algo": "a2c", wrong: 1})
    assert repr(wrong) in message and f"did you mean {right!r}?" in message


@pytest.mark.parametrize("name", ["xyzzy", 7, None, "two\nlines"])
def test_an_unknown_name_that_is_near_to_none_is_refused_too(name):
    assert repr(name) in message_of(make_config, {"algo": "a2c", name: 1})


@pytest.mark.parametrize("algo", ["trpo", "", None, 3, ["trpo"], {"name": "trpo"}], ids=repr)
def test_an_unknown_algorithm_is_reported_with_the_known_ones(algo):
    message = message_of(make_config, {"algo": algo})
    assert repr(algo) in message and "known: a2c" in message


def test_a_configuration_without_an_algorithm_is_refused():
    assert "known: a2c" in message_of(make_config, {"num_envs": 8})


def test_a_misspelt_algorithm_is_reported_with_the_nearest_one():
    assert "did you mean 'a2c'?" in message_of(make_config, {"algo": "a2d"})


def test_texts_are_converted_as_a_command_line_gives_them():
    texts = {
        "num_envs": "16",
        "learning_rate": "1e-3",
        "gamma": "0.5",
        "hidden_sizes": "64, 32",
        "shared_torso": "true",
        "num_workers": "4",
    }
    config = make_config({"algo": "a2c", **texts})
    assert {name: getattr(config, name) for name in texts} == {
        "num_envs": 16,
        "learning_rate": 1e-3,
        "gamma": 0.5,
        "hidden_sizes": (64, 32),
        "shared_torso": True,
        "num_workers": 4,
    }
    assert [type(getattr(config, name)) for name in ("num_envs", "learning_rate")] == [int, float]


@pytest.mark.parametrize("recurrent", ["lstm", "gru"])
def test_q_ac_with_a_recurrent_layer_is_rejected_and_who_takes_one_named(recurrent):
    message = message_of(make_config, {"algo": "q_ac", "recurrent": recurrent})
    assert message.startswith("recurrent: q_ac takes no recurrent layer since version 0.2")
    assert message.endswith(f"a2c, ppo, paac, a3c, ga3c and td_ac take {recurrent}")


@pytest.mark.parametrize("text,steps", [("1e6", 1_000_000), ("2.5E+3", 2500), ("1.5e1", 15)])
def test_whole_numbers_may_be_written_with_an_exponent(text, steps):
    assert make_config({"algo": "a2c", "total_steps": text}).total_steps == steps
    assert make_config({"algo": "a2c", "lr_schedule": "step", "lr_decay_steps": text}).lr_decay_steps == steps


@pytest.mark.parametrize("text", ["1.5e0", "1e-3", "e6", "1e", "-1e6"])
def test_what_is_no_whole_number_with_an_exponent_either_is_refused(text):
    assert message_of(make_config, {"algo": "a2c", "total_steps": text}).startswith("total_steps: ")


@pytest.mark.parametrize(
    "text,sizes", [("64,64", (64, 64)), ("256", (256,)), (256, (256,)), ("", ()), ("8,4,", (8, 4))]
)
def test_hidden_sizes_are_read_from_a_text_with_commas(text, sizes):
    assert make_config({"algo": "a2c", "hidden_sizes": text}).hidden_sizes == sizes


def test_a_configuration_does_not_change():
    with pytest.raises(ValueError, match="frozen"):
        make_config({"algo": "a2c"}).gamma = 0.5


DIFFERENT = {
    "wrappers": ("module:Wrapper(factor=2)",),
    "init_from": "runs/first",
    "eval_sampled": True,
    "stop_at_return": 475.0,
    "log_to": ("tensorboard",),
    "env": "module:id-v0",
    "env_kwargs": {"size": 8, "goal": [1, 2.5], "slippery": False, "map": None, "name": "a=b", "nested": {"x": "yes"}},
    "frame_stack": 4,
    "seed": 2**31 - 1,
    "total_steps": 123_456_789,
    "num_threads": 2,
    "num_envs": 6,
    "vec": "subproc",
    "num_workers": 3,
    "resume_episodes": "new",
    "step_timeout": 0.1,
    "start_timeout": 30.0,
    "eval_interval": 7,
    "eval_episodes": 3,
    "eval_max_steps": 77,
    "log_interval": 11,
    "checkpoint_interval": 13,
    "num_steps": 17,
    "gae_lambda": 0.9,
    "gamma": 0.1 + 0.2,
    "reward_scale": 0.1,
    "reward_clip": 5.0,
    "normalize_observations": False,
    "normalize_rewards": False,
    "action_masks": True,
    "state_dependent_std": True,
    "initial_log_std": -1.5,
    "critic_loss": "smooth_l1",
    "value_coef": 1e-300,
    "entropy_coef": 0.0,
    "hidden_sizes": (3, 2, 1),
    "recurrent": "lstm",
    "recurrent_size": 5,
    "activation": "relu",
    "shared_torso": True,
    "initialization": "xavier",
    "conv_layers": "8x3x2,4x2x1",
    "backend": "paddle",
    "device": "gpu:1",
    "optimizer": "rmsprop_torch",
    "learning_rate": 1e-05,
    "lr_schedule": "constant",
    "lr_decay_steps": 987_654_321,
    "lr_decay_factor": 1 / 3,
    "optimizer_epsilon": 1e-08,
    "rmsprop_decay": 0.5,
    "max_grad_norm": 1e9,
}
# What excludes values of DIFFERENT.
OTHERS = {
    "encoder": {"encoder": "impala"},
    "Atari game": {
        "env": "ALE/Pong-v5",
        "sticky_actions": 0.25,
        "terminal_on_life_loss": False,
        "fire_on_reset": True,
    },
    "own network": {
        "network": "module:Outer.Class",
        "network_kwargs": {"size": 8, "nested": {"x": [1]}},
    },
}


@pytest.mark.parametrize(
    "values",
    [{}, DIFFERENT, {"hidden_sizes": ()}, *OTHERS.values()],
    ids=["defaults", "all different", "no layer", *OTHERS],
)
def test_a_configuration_comes_back_from_its_file(values, tmp_path):
    config = make_config({"algo": "a2c", **values})
    write_yaml(config, tmp_path / "config.yaml")
    values_read = read_yaml(tmp_path / "config.yaml")
    assert list(values_read) == list(A2CConfig.model_fields)
    assert make_config(values_read) == config


def test_the_different_configuration_differs_in_every_field():
    default = A2CConfig()
    different = DIFFERENT | OTHERS["encoder"] | OTHERS["Atari game"] | OTHERS["own network"]
    assert different.keys() == A2CConfig.model_fields.keys() - {"algo"}
    assert all(getattr(default, name) != value for name, value in different.items())


def test_numbers_that_yaml_takes_for_texts_are_converted(tmp_path):
    (tmp_path / "config.yaml").write_text("algo: a2c\nlearning_rate: 1e-3\nhidden_sizes: 64,32\n")
    config = make_config(read_yaml(tmp_path / "config.yaml"))
    assert config.learning_rate == 1e-3 and config.hidden_sizes == (64, 32)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"# a comment alone\n",
        b"a2c",
        b"- algo\n- env\n",
        b"3",
        b"algo: [a2c\n",
        b"algo: a2c\n\tenv: x\n",
        b"algo: a2c\n env: x\n",
        b"algo: !!python/object/apply:os.getcwd []\n",
        b"{[1]: 2}\n",
        b"\xff\xfe\x00binary",
        b"\x89PNG\r\n\x1a\n\x00\x00",
        b"env: 2020-13-45\n",
        b"algo: a2c\ngamma: 0.9\ngamma: 0.9\n",
    ],
)
def test_a_file_that_is_not_a_configuration_is_refused_by_its_name(content, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    assert str(path) in message_of(read_yaml, path)


def nested_aliases() -> bytes:
    """350 bytes that stand for 9**20 values."""
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for name, before in zip("bcdefghijklmnopqrst", "abcdefghijklmnopqrs", strict=True):
        lines.append(f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]")
    return "\n".join(lines).encode()


def test_configuration_of_the_package_is_found_in_every_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_yaml("configs/a2c_acrobot.yaml") == read_yaml(CONFIGS_FOLDER / "a2c_acrobot.yaml")
    with pytest.raises(ConfigError, match=r"No such file or directory \(did you mean 'configs/a2c_acrobot.yaml'\?\)"):
        read_yaml("configs/a2c_acrobat.yaml")
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "a2c_acrobot.yaml").write_text("algo: ppo\n")
    assert read_yaml("configs/a2c_acrobot.yaml") == {"algo": "ppo"}, "a file of the user's own comes first"


@pytest.mark.parametrize(
    "content,said",
    [
        (b"gamma: !!int ''", "line 1: '' is no '!!int'"),
        (b"algo: a2c\ngamma: !!bool maybe", "line 2: 'maybe' is no '!!bool'"),
        (b"gamma: !!timestamp foo", "tag '!!timestamp' is none of plain data"),
        (b"gamma: !!omap {a: 1}", "tag '!!omap' is none of plain data"),
        (b"gamma: !!binary '='", "tag '!!binary' is none of plain data"),
        (b"env: 2020-01-01", "a text goes in quotes"),
        (b"env: &a [*a]", "nested more than 20 levels deep"),
        (b"[" * 5000, "nested too deeply"),
        (nested_aliases(), "more than 10,000 values"),
        (b"\n".join(b"name%d: 1" % number for number in range(40_000)), "more than 100,000 bytes"),
        (b"gamma: " + b"9" * 5000, "a number of 5,000 characters"),
        (b"gamma: *" + b"a" * 5000, "found undefined alias"),
        (b"algo: a2c\ngamma: 1\nenv: x\ngamma: 2", "line 4: 'gamma' is given twice"),
    ],
    ids=lambda value: str(value[:20]),
)
def test_yaml_beyond_plain_data_is_rejected_in_one_short_line(content, said, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    message = message_of(read_yaml, path)
    assert said in message and str(path) in message and len(message) < 500


def test_names_merged_from_an_alias_are_read(tmp_path):
    (tmp_path / "space.yaml").write_text("a: &shared {low: 1, high: 2}\nb: {<<: *shared, log: true}\n")
    assert read_yaml(tmp_path / "space.yaml")["b"] == {"low": 1, "high": 2, "log": True}


@pytest.mark.parametrize(
    "values",
    [
        {"env": ["x" * 10_000]},
        {"gamma": "x" * 10_000},
        {"x" * 10_000: 1},
        {"algo": "x" * 10_000},
        {"seed": int("f" * 10_000, 16)},
        {"hidden_sizes": ["x"] * 100},
        dict.fromkeys(A2CConfig.model_fields.keys() - {"algo"}, "x" * 10_000),
    ],
    ids=["list", "text", "name", "algorithm", "number", "items", "every field"],
)
def test_a_message_quotes_no_more_than_200_characters_of_a_value(values):
    message = message_of(make_config, {"algo": "a2c", **values})
    assert len(message) < 1700


def test_a_missing_file_and_a_folder_are_refused_by_their_names(tmp_path):
    for path in (tmp_path / "absent.yaml", tmp_path):
        assert str(path) in message_of(read_yaml, path)


@pytest.mark.parametrize("path", CONFIG_FILES, ids=lambda path: path.name)
def test_every_file_in_configs_is_right_and_opens_with_a_comment(path):
    make_config(read_yaml(path))
    assert path.read_text(encoding="utf-8").startswith("# ")


def test_there_are_files_in_configs():
    assert CONFIG_FILES


@pytest.mark.parametrize(
    "values,expected",
    [
        ({}, 0.0224),
        ({"num_envs": 64}, 0.0448),
        ({"num_envs": "128"}, 0.0896),
        ({"num_envs": 64, "learning_rate": "1e-3"}, 1e-3),
        ({"learning_rate": 2e-3}, 2e-3),
    ],
)
def test_the_learning_rate_of_paac_grows_with_the_environments_unless_it_is_given(values, expected):
    assert make_config({"algo": "paac", **values}).learning_rate == pytest.approx(expected)


def test_a_wrong_number_of_environments_for_paac_is_named():
    assert message_of(make_config, {"algo": "paac", "num_envs": "many"}).startswith("num_envs")


@pytest.mark.parametrize("algo", CONFIGS)
def test_every_field_tells_what_it_is(algo):
    for name, field in CONFIGS[algo].model_fields.items():
        if name != "algo":
            assert field.description and field.description.isprintable(), name
            assert field.json_schema_extra["group"], name


@pytest.mark.parametrize("algo", CONFIGS)
def test_what_may_change_on_resume_are_fields(algo):
    assert CONFIGS[algo].model_fields.keys() >= CONFIGS[algo].changeable_on_resume


MISTAKES = {
    "unknown name": {"gama": 1},
    "unknown name that holds a bool": {"gama": True},
    "name of another algorithm": {"clip_range": 0.1, "lock": True, "tau": 0.1},
    "unlike any name": {"xyzzy": None},
    "wrong type": {"seed": "zero"},
    "bool for a number": {"seed": True},
    "out of range": {"total_steps": 0},
    "not finite": {"gamma": math.nan},
    "wrong choice": {"activation": "rely"},
    "part of a tuple": {"hidden_sizes": "64,-1"},
    "too large for 64 bits": {"total_steps": 2**63},
    "empty text": {"env": ""},
    "arguments of the environment": {"env_kwargs": ["gravity"]},
    "wrong algorithm": {"algo": "trpo"},
    "several": {"seed": -1, "total_steps": 0, "log_interval": 0, "eval_interval": 0, "eval_episodes": 0, "env": 3},
}


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("algo", CONFIGS)
def test_configuration_class_raises_the_error_of_make_config(algo, mistake):
    config_class, values = CONFIGS[algo], MISTAKES[mistake]
    if mistake == "wrong algorithm":
        assert message_of(lambda: config_class(**values)) == f"algo: must be {algo!r}, got 'trpo'"
        return
    message = message_of(lambda: config_class(**values))
    assert message == message_of(make_config, {"algo": algo, **values})


def test_configuration_class_suggests_the_nearest_name():
    message = message_of(lambda: A2CConfig(gama=1))
    assert message == "unknown hyper-parameter 'gama' of a2c (did you mean 'gamma'?)"


@pytest.mark.parametrize(
    "algo,values",
    [
        ("a2c", {"num_envs": 8, "num_workers": 3}),
        ("ppo", {"lr_schedule": "linear", "lr_decay_steps": 5, "total_steps": 6}),
        ("paac", {"num_envs": "many"}),
        ("q_ac", {"recurrent": "gru"}),
    ],
)
def test_configuration_class_checks_values_against_each_other_as_make_config_does(algo, values):
    assert message_of(lambda: CONFIGS[algo](**values)) == message_of(make_config, {"algo": algo, **values})


def test_groups_stand_by_themselves():
    of_groups = [group for group in vars(groups).values() if isinstance(group, type) and issubclass(group, Group)]
    assert all(group.__bases__ == (Group,) for group in of_groups if group is not Group)


@pytest.mark.parametrize("algo", CONFIGS)
def test_groups_of_a_configuration_share_no_field(algo):
    of_algo = [base for base in CONFIGS[algo].__mro__ if base.__bases__ == (Group,)]
    declared = [name for group in of_algo for name in vars(group)["__annotations__"]]
    assert len(declared) == len(set(declared)) >= 25


@pytest.mark.parametrize("algo", CONFIGS)
def test_configurations_are_composed_of_groups_and_derive_from_no_other_algorithm(algo):
    bases = CONFIGS[algo].__mro__[1:-3]  # without Group, BaseModel and object
    compositions = (
        RunConfig,
        NetworkConfig,
        OnPolicyConfig,
        SynchronousConfig,
        QNetworkConfig,
        DiscreteConfig,
        QLearningConfig,
        AsyncQConfig,
        ContinuousConfig,
    )
    assert all(base.__bases__ == (Group,) or base in compositions for base in bases)
    for composition in compositions:
        declared = vars(composition).get("__annotations__", {}).keys() & composition.model_fields.keys()
        assert all(any(name in base.model_fields for base in composition.__bases__) for name in declared)


@pytest.mark.parametrize("algo", CONFIGS)
def test_fields_lie_in_the_groups_that_the_help_shows(algo):
    shown = {field.json_schema_extra["group"] for name, field in CONFIGS[algo].model_fields.items() if name != "algo"}
    assert shown == {"run", "evaluation and logging", "algorithm", "network", "optimizer"}


def test_a_field_with_another_default_may_still_change_on_resume():
    assert "checkpoint_interval" in CONFIGS["sac"].changeable_on_resume
    assert "num_workers" in A2CConfig.changeable_on_resume
    assert "num_workers" not in CONFIGS["a3c"].changeable_on_resume


def test_nothing_outside_the_registry_depends_on_names_of_algorithms_or_classes_of_configurations():
    """Code asks a configuration for a property. ``RunConfig``, the base of all, is the same for every algorithm."""
    found = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if _compares_algo(node) or _asks_for_class(node)
    ]
    assert found == []


def _compares_algo(node: ast.AST) -> bool:
    """``config.algo == "a3c"``, ``values["algo"] in ("a2c", "a3c")``, ``match config.algo``."""
    if isinstance(node, ast.Match):
        return _is_algo(node.subject)
    if not isinstance(node, ast.Compare):
        return False
    sides = [node.left, *node.comparators]
    texts = [
        part for side in sides for part in ast.walk(side) if isinstance(part, ast.Constant) and part.value in CONFIGS
    ]
    return any(map(_is_algo, sides)) and bool(texts)


def _is_algo(node: ast.AST) -> bool:
    if isinstance(node, ast.Subscript):
        return isinstance(node.slice, ast.Constant) and node.slice.value == "algo"
    return isinstance(node, (ast.Attribute, ast.Name)) and getattr(node, "attr", getattr(node, "id", "")) == "algo"


def _asks_for_class(node: ast.AST) -> bool:
    """``isinstance(config, A3CConfig)``, ``issubclass(..., VectorEnvGroup)``."""
    if not (isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("isinstance", "issubclass")):
        return False
    names = {getattr(part, "id", getattr(part, "attr", "")) for part in ast.walk(node.args[1])}
    return any(name.endswith(("Config", "Group")) for name in names - {"RunConfig"})


@pytest.mark.parametrize(
    "line,forbidden",
    [
        ('config.algo == "a3c"', True),
        ('config.algo in ("a2c", "a3c")', True),
        ('values["algo"] != "sac"', True),
        ("isinstance(config, (A3CConfig, SACConfig))", True),
        ("isinstance(config, config.VectorEnvGroup)", True),
        ("isinstance(config, RunConfig)", False),
        ("config.algo == other.algo", False),
        ("config.q_critic", False),
    ],
)
def test_the_search_for_dependence_on_algorithms_finds_it(line, forbidden):
    nodes = list(ast.walk(ast.parse(line)))
    assert any(_compares_algo(node) or _asks_for_class(node) for node in nodes) == forbidden


@pytest.mark.parametrize("algo", CONFIGS)
def test_properties_state_what_an_algorithm_can_do(algo):
    plays_itself = "vec" not in CONFIGS[algo].model_fields
    workers = {"num_agents": 1} if algo == "ga3c" else {"num_workers": 1}
    config = make_config({"algo": algo, **({} if plays_itself else {"vec": "subproc"}), **workers, "num_envs": 1})
    assert plays_itself == (algo in ("a3c", "ga3c", "async_q", "async_sarsa", "async_nstep_q"))
    assert config.vector_envs.vec == ("serial" if plays_itself else "subproc")
    assert config.num_other_workers == 1
    if not plays_itself:
        on_ray = config.model_copy(update={"vec": "ray", "num_workers": None, "num_envs": 512})
        assert on_ray.num_other_workers == 512, "not limited by the cores of this machine"
        assert on_ray.model_copy(update={"num_workers": 4}).vector_envs.default_num_workers(10) == 2
    if isinstance(config, OnPolicyConfig):
        assert config.q_critic == (algo == "q_ac") and config.has_baseline
        assert config.advantage_lambda == getattr(config, "gae_lambda", 1.0)
        assert config.memory[0] == "none"


def test_reinforce_without_a_baseline_has_none():
    assert not make_config({"algo": "reinforce", "baseline": False}).has_baseline


def test_configurations_of_algorithms_are_imported_when_asked_for():
    code = (
        "import sys; from paddle_ac.config import find_config_class; find_config_class('ppo');"
        "print([name for name in sys.modules if name == 'paddle' or name.startswith('paddle_ac.config.')])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "paddle_ac.config.ppo" in printed and "paddle_ac.config.sac" not in printed and "'paddle'" not in printed


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_nodes": 2}, "num_nodes: is for a cluster: give cluster=auto, or host:port of its head, too"),
        ({"push_interval": 1}, "push_interval: is for a cluster"),
        ({"algo": "dqn", "num_nodes": 2}, "num_nodes: is for a cluster"),
        ({"algo": "dqn", "max_staleness": 5}, "max_staleness: is for a cluster"),
        ({"algo": "dqn", "max_loss_deviations": 3.0}, "max_loss_deviations: is for a cluster"),
        ({"cluster": "auto", "num_nodes": 2, "min_nodes": 3}, "min_nodes=3 must be at most num_nodes=2"),
    ],
)
def test_flags_of_a_cluster_need_one_and_agree(changes, message):
    assert message_of(make_config, {"algo": "a3c", **changes}).startswith(message)


def test_only_a_configuration_with_a_cluster_has_its_address():
    assert make_config({"algo": "a3c", "cluster": "10.0.0.1:6379"}).cluster_address == "10.0.0.1:6379"
    assert make_config({"algo": "a3c"}).cluster_address is None
    assert make_config({"algo": "a2c"}).cluster_address is None
