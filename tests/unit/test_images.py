"""Images as observations: scaled to [0, 1] in every network, learned from, and announced in one line."""

from __future__ import annotations

import logging

import gymnasium
import numpy as np
import paddle
import pytest
from gymnasium.spaces import Box, Discrete

import paddle_ac
from paddle_ac.checkpoint import load_checkpoint, save_checkpoint
from paddle_ac.errors import CheckpointError
from paddle_ac.nn.encoding import ObservationEncoder
from paddle_ac.nn.exported import ExportedEncoder
from paddle_ac.nn.images import image_input
from paddle_ac.training.run_folder import RunFolder

SHAPE = (8, 8, 3)
PIXELS = Box(0, 255, SHAPE, np.uint8)


class Lights(gymnasium.Env):
    """The right action is the number of the row that is lit; an episode is cut after 20 steps."""

    observation_space = PIXELS
    action_space = Discrete(4)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return self._draw(), {}

    def step(self, action):
        reward = float(action == self.row)
        self.count += 1
        return self._draw(), reward, False, self.count == 20, {}

    def _draw(self):
        self.row = int(self.np_random.integers(4))
        image = self.np_random.integers(0, 100, SHAPE, np.uint8)
        image[2 * self.row] = 255
        return image


gymnasium.register("test/Lights-v0", Lights)
QUICK = {
    "algo": "a2c",
    "env": "test/Lights-v0",
    "num_envs": 8,
    "vec": "serial",
    "eval_episodes": 2,
    "normalize_observations": False,
}


@pytest.mark.parametrize("shape", [SHAPE, (2, 4), (4, 5, 6, 3), (7,)])
def test_pixels_are_scaled_to_one(shape):
    encode = ObservationEncoder(Box(0, 255, shape, np.uint8))
    pixels = np.random.default_rng(0).integers(0, 256, (5, *shape), np.uint8)
    features = encode(pixels)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, pixels.reshape(5, -1) / 255, rtol=1e-6)
    np.testing.assert_array_equal(ExportedEncoder(encode)(paddle.to_tensor(pixels.astype(np.float32))), features)


@pytest.mark.parametrize(
    "space", [Box(0, 255, (2, 2, 3), np.float32), Box(0, 10, (2, 2, 3), np.uint8), Box(0, 255, (2, 2, 3), np.int64)]
)
def test_other_boxes_are_left_as_they_are(space):
    numbers = np.full((1, *space.shape), 10, space.dtype)
    assert np.all(ObservationEncoder(space)(numbers) == 10)


def test_normalised_pixels_are_not_scaled_before():
    encode = ObservationEncoder(PIXELS, normalize=True)
    assert not encode.scales_pixels and np.all(encode.flatten(np.full((1, *SHAPE), 10, np.uint8)) == 10)


@pytest.mark.parametrize("encoder", ["auto", "mlp"])
def test_a_policy_learns_from_images(encoder):
    settings = {"gamma": 0, "activation": "relu", "learning_rate": 2e-3, "lr_schedule": "constant", "encoder": encoder}
    with paddle_ac.make(**QUICK, **settings) as agent:
        returns = []
        while agent.env_steps < 24_000:
            returns += agent.update()["charts/episode_return"]
    assert np.mean(returns[-50:]) > 15  # of 20; chance is 5, where unscaled pixels stay


def test_dense_layers_for_images_are_announced_with_their_size(caplog):
    with paddle_ac.make(**QUICK, encoder="mlp"):
        pass
    (record,) = [record for record in caplog.records if "dense layers" in record.getMessage()]
    assert record.levelno == logging.WARNING
    assert "images of shape (8, 8, 3)" in record.getMessage() and "33,349 parameters" in record.getMessage()
    caplog.clear()
    for values in ({"env": "CartPole-v1"}, {}):
        with paddle_ac.make(**QUICK | values):
            pass
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_images_of_floats_up_to_255_are_warned_of(caplog):
    class Floats(gymnasium.Env):
        observation_space, action_space = Box(0, 255, (12, 12, 3), np.float32), Discrete(2)

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return self.observation_space.low, {}

        def step(self, action):
            return self.observation_space.low, 0.0, False, False, {}

    for changes, is_warned in (({}, True), ({"normalize_observations": True, "encoder": "mlp"}, False)):
        caplog.clear()
        with paddle_ac.make("a2c", Floats, num_envs=1, **changes):
            pass
        message = "observations: float32 images up to 255 are not scaled; return them as uint8, or divide them by 255"
        assert (message in caplog.messages) == is_warned


@pytest.mark.parametrize("algo", ["a2c", "a3c"])
def test_checkpoints_of_unscaled_pixels_are_rejected_in_one_line(tmp_path, algo):
    kind = {"algo": algo, "num_workers": 1} if algo == "a3c" else QUICK
    values = {**kind, "env": QUICK["env"], "encoder": "mlp", "total_steps": 40, "eval_episodes": 1}
    paddle_ac.train(values, str(tmp_path / "run"), progress=False)
    folder = RunFolder.open(tmp_path / "run")
    state = load_checkpoint(folder.latest)
    state["algorithm"]["encoder"] = {}  # as version 0.1 wrote it
    save_checkpoint(folder.latest, state)
    with pytest.raises(CheckpointError, match=r"version 0\.1, which did not scale pixels") as failure:
        paddle_ac.load(str(folder.path), "latest")
    assert "\n" not in str(failure.value)
    with pytest.raises(CheckpointError, match=r"version 0\.1, which did not scale pixels"):
        paddle_ac.resume(str(folder.path), {"total_steps": 10_000}, progress=False)


@pytest.mark.parametrize(
    "shape,image,channels_first",
    [
        ((84, 84, 3), (84, 84, 3), False),
        ((3, 84, 84), (84, 84, 3), True),
        ((7, 7, 12), (7, 7, 12), False),  # square: more channels than rows
        ((12, 7, 7), (7, 7, 12), True),
        ((210, 160, 3), (210, 160, 3), False),
        ((3, 210, 160), (210, 160, 3), True),
        ((10, 10, 10), (10, 10, 10), False),  # assumed
        ((10, 12, 10), (10, 12, 10), False),  # assumed
        ((84, 84), (84, 84, 1), False),
    ],
)
def test_channels_are_the_side_that_differs_else_the_smaller_one(shape, image, channels_first):
    found = image_input(Box(0, 255, shape, np.uint8))
    assert found.shape == image and found.channels_first == channels_first


@pytest.mark.parametrize("space", [Box(0, 255, (128,), np.uint8), Box(0, 255, (2, 2, 3), np.uint8), Box(0, 1, (9, 9))])
def test_other_boxes_are_no_images(space):
    assert image_input(space) is None
