"""Image encoders: the one that is chosen, its defaults, what counts as an image, and mistakes in one line."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete

import paddle_ac
from paddle_ac.algorithms.policy import make_network
from paddle_ac.config import make_config, read_yaml, write_yaml
from paddle_ac.errors import ConfigError
from paddle_ac.nn.description import describe_network
from paddle_ac.nn.images import ENCODERS, Convolution, image_inputs, parse_conv_layers, smallest_side
from tests.tool_calls import run_main


def pixels(*shape):
    return Box(0, 255, shape, np.uint8)


def describe(space, **options):
    return describe_network(space, Discrete(3), **options)


def encoder_of(description):
    names = [name for name, encoder in ENCODERS.items() if encoder.layers == description.image_layers[0]]
    return names[0]


@pytest.mark.parametrize(
    "shape,encoder",
    [
        ((84, 84, 4), "nature"),
        ((4, 84, 84), "nature"),
        ((84, 84), "nature"),
        ((36, 36, 1), "nature"),
        ((36, 35, 1), "small"),
        ((10, 10, 7), "small"),
        ((7, 7, 3), "small"),
        ((3, 3, 1), "small"),
    ],
)
def test_encoder_is_chosen_by_the_size_of_the_image(shape, encoder):
    assert encoder_of(describe(pixels(*shape))) == encoder


@pytest.mark.parametrize(
    "shape,expected,channels_first",
    [
        ((84, 80, 4), (84, 80, 4), False),
        ((4, 84, 80), (84, 80, 4), True),
        ((84, 80), (84, 80, 1), False),
        ((5, 8, 5), (5, 8, 5), False),
        ((5, 8, 6), (8, 6, 5), True),
        ((3, 3, 3), (3, 3, 3), False),
    ],
)
def test_fewest_numbers_are_the_channels(shape, expected, channels_first):
    (image,) = image_inputs(pixels(*shape))
    assert image.shape == expected and image.channels_first == channels_first


@pytest.mark.parametrize(
    "space",
    [pixels(7), Box(-1, 1, (4, 4)), Box(0, 10, (5, 5), np.uint8), pixels(2, 84, 2)],
    ids=str,
)
def test_other_boxes_are_no_images(space):
    assert image_inputs(space) == () and describe(space).hidden_sizes == (64, 64)


@pytest.mark.parametrize(
    "space,scale",
    [
        (pixels(5, 5, 3), 1 / 255),
        (Box(0, 255, (5, 5, 3), np.float32), 1),
        (Box(0, 10, (5, 5, 3), np.uint8), 1),
        (Box(0, 255, (5, 5, 3), np.int64), 1),
    ],
)
def test_pixels_alone_are_scaled(space, scale):
    (image,) = image_inputs(space)
    assert image.scale == pytest.approx(scale)


@pytest.mark.parametrize(
    "options,hidden_sizes",
    [
        ({}, (512,)),
        ({"encoder": "nature"}, (512,)),
        ({"encoder": "a3c"}, (256,)),
        ({"encoder": "impala"}, (256,)),
        ({"encoder": "small"}, (128,)),
        ({"conv_layers": "8x3x2"}, (256,)),
    ],
)
def test_defaults_are_those_of_the_encoder_and_can_be_overridden(options, hidden_sizes):
    space = pixels(40, 40, 3)
    description = describe(space, **options)
    assert description.hidden_sizes == hidden_sizes
    assert description.activation == "relu" and description.shared_torso
    others = {"hidden_sizes": (5, 4), "activation": "tanh", "shared_torso": False}
    changed = describe(space, **options, **others)
    assert {name: getattr(changed, name) for name in others} == others
    assert changed.image_layers == description.image_layers


def test_mlp_flattens_images():
    description = describe(pixels(5, 5, 3), encoder="mlp")
    assert not description.images and description.num_features == 75
    assert (description.hidden_sizes, description.activation, description.shared_torso) == ((64, 64), "tanh", False)


def test_parts_of_a_dict_that_are_images_have_encoders_of_their_own():
    space = Dict({"big": pixels(40, 40, 3), "speed": Box(-1, 1, (2,)), "grid": pixels(7, 7, 3), "mode": Discrete(3)})
    description = describe(space)
    assert {image.part for image in description.images} == {"big", "grid"}
    assert {
        image.part: encoder_of_layers(layers)
        for image, layers in zip(description.images, description.image_layers, strict=True)
    } == {"big": "nature", "grid": "small"}
    assert description.num_features == 2 + 3 and description.num_inputs == 5 + 64 + 5 * 5 * 16


def encoder_of_layers(layers):
    return next(name for name, encoder in ENCODERS.items() if encoder.layers == layers)


@pytest.mark.parametrize("name", ["a3c", "nature", "small", "impala"])
def test_smallest_image_of_an_encoder_is_taken_and_a_smaller_one_rejected_by_name(name):
    side = max(smallest_side(ENCODERS[name].layers), 3)
    assert side == {"a3c": 20, "nature": 36, "small": 3, "impala": 3}[name]
    describe(pixels(side, side, 1), encoder=name)
    if side > 3:
        message = f"the {name} encoder needs images of at least {side}x{side} pixels, these are {side}x{side - 1}"
        with pytest.raises(ValueError, match=message):
            describe(pixels(side, side - 1, 1), encoder=name)
        with pytest.raises(ValueError, match=f"^observation\\['eye'\\]: the {name} encoder needs"):
            describe(Dict(eye=pixels(side, side - 1, 1), speed=Discrete(3)), encoder=name)


def test_conv_layers_are_channels_kernel_and_stride():
    assert parse_conv_layers("32x8x4, 64x4x2") == (Convolution(32, 8, 4), Convolution(64, 4, 2))
    with pytest.raises(ValueError, match="conv_layers=8x9x1 needs images of at least 9x9 pixels, these are 7x8"):
        describe(pixels(7, 8, 1), conv_layers="8x9x1")


@pytest.mark.parametrize(
    "shape,logged",
    [
        ((84, 80, 4), "observations: images of 84 x 80 pixels with 4 channels, channels last; encoder nature"),
        ((1, 10, 11), "observations: images of 10 x 11 pixels with 1 channel, channels first; encoder small"),
        ((5, 8, 5), "observations: images of 5 x 8 pixels with 5 channels, channels last (assumed); encoder small"),
    ],
)
def test_how_images_are_read_is_logged(shape, logged, caplog):
    caplog.set_level(logging.INFO, "paddle_ac")
    make_network(make_config({"algo": "a2c"}), pixels(*shape), Discrete(3))
    assert [record.getMessage() for record in caplog.records] == [logged]


CATCH = {"env": "paddle_ac.envs.catch:Catch", "num_envs": 2, "vec": "serial"}


def test_pixels_stay_uint8_in_rollouts():
    with paddle_ac.make("a2c", **CATCH) as agent:
        rollouts, collect = [], agent.collector.collect
        agent.collector.collect = lambda *arguments: rollouts.append(collect(*arguments)) or rollouts[-1]
        agent.update()
    assert rollouts[0].observations.dtype == np.uint8 and rollouts[0].observations.shape[2:] == (10, 10, 1)


def test_checkpoint_of_another_encoder_is_rejected_in_one_line(capsys, tmp_path):
    run = tmp_path / "run"
    values = {"algo": "a2c", **CATCH, "total_steps": 200, "eval_episodes": 1}
    paddle_ac.train(values, str(run), progress=False)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    config = make_config({**read_yaml(run / "config.yaml"), "encoder": "impala"})
    write_yaml(config, run / "config.yaml")
    changed = (run / "config.yaml").read_bytes()
    for tool, arguments in (
        ("train.py", ["--resume", str(run), "--total-steps", "400"]),
        ("evaluate.py", ["--run-dir", str(run), "--checkpoint", "latest"]),
    ):
        code, output, errors = run_main(capsys, tool, *arguments)
        last = errors.splitlines()[-1]
        assert code == 2 and not output and last.startswith("error: ") and "another network" in last
    after = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert after == {**before, run / "config.yaml": changed}


@pytest.mark.parametrize(
    "arguments,said",
    [
        (["--encoder", "nature"], "CartPole-v1: the nature encoder needs an image, a Box [height, width, channels]"),
        (["--conv-layers", "8x3x1"], "CartPole-v1: conv_layers=8x3x1 needs an image"),
        (
            ["--env", "paddle_ac.envs.catch:Catch", "--encoder", "nature"],
            "nature encoder needs images of at least 36x36",
        ),
        (
            ["--env", "paddle_ac.envs.catch:Catch", "--conv-layers", "8x11x1"],
            "conv_layers=8x11x1 needs images of",
        ),
        (["--conv-layers", "8x3"], "must be CHANNELSxKERNELxSTRIDE of each layer, such as 32x8x4,64x4x2"),
        (["--conv-layers", "8x3x1", "--encoder", "a3c"], "conv_layers=8x3x1 replaces the encoder: leave out a3c"),
        (["--encoder", "natur"], "encoder: must be 'auto', 'mlp', 'a3c', 'nature', 'impala' or 'small', got 'natur'"),
    ],
)
def test_bad_encoder_is_one_line_and_nothing_is_written(arguments, said, capsys, tmp_path):
    arguments = [*arguments, "--run-dir", str(tmp_path / "run"), "--no-progress", "--num-envs", "2", "--vec", "serial"]
    code, output, errors = run_main(capsys, "train.py", *arguments)
    assert code == 2 and not output and said in errors.splitlines()[-1] and not (tmp_path / "run").exists()


def test_images_with_four_dimensions_are_rejected_unless_they_are_flattened():
    space = pixels(2, 5, 5, 3)
    with pytest.raises(ConfigError, match=r"images must have 2 or 3 dimensions, and these have 4, \(2, 5, 5, 3\)"):
        make_network(make_config({"algo": "a2c"}), space, Discrete(3))
    network = make_network(make_config({"algo": "a2c", "encoder": "mlp"}), space, Discrete(3))
    assert network.act(np.zeros((4, 2, 5, 5, 3), np.uint8)).shape == (4,)
