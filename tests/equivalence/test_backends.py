"""Both backends compute the same numbers: heads, gradients and whole updates of every built-in network."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import paddle
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete

from multiprocessing_env import DummyVecEnv
from paddle_ac.algorithms.a2c import A2C
from paddle_ac.algorithms.policy import make_network
from paddle_ac.config import make_config
from paddle_ac.errors import ConfigError
from paddle_ac.nn import images, numpy_images
from paddle_ac.nn.numpy_images import Convolution, ImageEncoder, MaxPool, Tape
from paddle_ac.nn.numpy_network import NumpyActorCritic
from paddle_ac.nn.paddle_network import BuiltInPaddleNetwork, PaddleNetwork
from paddle_ac.nn.threads import SMALLEST_PART, RowThreads
from paddle_ac.nn.unroll import Unroll
from paddle_ac.packing import ObservationPacking
from paddle_ac.registry import ALGORITHMS
from tests.environments import RandomWalk
from tests.paddle_networks import ReferenceNetwork

T, N = 6, 2  # steps and environments: rows for two threads
SIDES = {"a3c": 20, "nature": 36, "impala": 5, "small": 5, "8x3x2,4x2x1": 7}
TOLERANCE = 1e-5


def pixels(*shape):
    return Box(0, 255, shape, np.uint8)


OBSERVATIONS = {
    "vector": lambda side: Box(-3, 3, (5,)),
    "uint8, channels last": lambda side: pixels(side, side + 2, 3),
    "uint8, channels first": lambda side: pixels(3, side + 1, side),
    "uint8, grey": lambda side: pixels(side + 1, side),
    "float": lambda side: Box(-1, 1, (side, side, 2)),
    "Dict": lambda side: Dict(
        {"camera": pixels(side, side, 3), "joints": Box(-1, 1, (3,)), "map": pixels(2, side, side), "mode": Discrete(4)}
    ),
}
MEMORIES = {
    "shared": {"shared_torso": True},
    "separate": {"shared_torso": False},
    "lstm, separate": {"recurrent": "lstm", "recurrent_size": 5, "shared_torso": False},
    "gru, shared": {"recurrent": "gru", "recurrent_size": 6, "shared_torso": True},
}
CASES = [
    (observations, encoder, memory)
    for observations in OBSERVATIONS
    for encoder in (["mlp"] if observations == "vector" else [*SIDES, "mlp"])
    for memory in MEMORIES
    # Nothing in an encoder depends on what follows it: the two quickest meet every memory.
    if encoder in ("mlp", "small") or memory == "lstm, separate"
]


def sampled(space, batch_size, seed=0):
    """Random observations ``[B, ...]``, packed as the networks take them."""
    space.seed(seed)
    packing = ObservationPacking(space)
    return np.stack([packing.pack_one(space.sample()) for _ in range(batch_size)])


def make_pair(space, encoder="auto", action_space=None, num_threads=1, **options):
    """A network in Paddle and one in NumPy on the same memory, with weights large enough for all outputs to matter."""
    options = {"hidden_sizes": (7, 6), "generator": np.random.default_rng(3), **options}
    free = {"conv_layers": encoder} if "x" in encoder else {"encoder": encoder}
    network = ReferenceNetwork(space, action_space or Discrete(4), **free, **options)
    vector = network.parameters.vector
    vector += np.random.default_rng(1).normal(scale=0.05, size=vector.shape).astype(np.float32)
    return network, network.twin(num_threads)


def passes(network, observations, unroll, grads, record=None):
    """Heads, and the gradient by name."""
    outputs, critic_outputs, tape = network.forward(observations, unroll, record)
    heads = outputs.copy(), critic_outputs.copy()
    vector = np.full_like(network.parameters.vector, np.nan)
    views = network.parameters.layout.views(vector)
    network.backward(tape, grads[0].copy(), grads[1].copy(), views)
    return heads, views


def assert_close(found, expected, name):
    """Within ``TOLERANCE``, relative to the norm."""
    assert found.shape == expected.shape and found.dtype == expected.dtype == np.float32, name
    assert np.isfinite(found).all(), name
    assert np.linalg.norm(found - expected) <= TOLERANCE * np.linalg.norm(expected), name


def assert_same(network, twin, space, **values):
    generator = np.random.default_rng(5)
    batch_size = T * N
    state = generator.normal(size=(N, network.state_size)).astype(np.float32)
    unroll = Unroll(state, generator.random((T, N)) < 0.3)
    if not network.state_size:
        unroll = Unroll.of_one_step(np.zeros((batch_size, 0), np.float32))
    observations = sampled(space, batch_size)
    shapes = (batch_size, network.distribution.num_outputs), (batch_size, 4) if network.q_critic else (batch_size,)
    grads = [generator.normal(size=shape).astype(np.float32) for shape in shapes]
    expected_heads, expected = passes(network, observations, unroll, grads)
    for number in (1, 2):  # the second pass uses the memory of the first
        heads, gradient = passes(twin, observations, unroll, grads)
        for name, found, right in zip(("outputs", "values"), heads, expected_heads, strict=True):
            assert_close(found, right, f"{name} of pass {number}")
            assert len(np.unique(found.round(5), axis=0)) > 1, f"{name} do not depend on the observation"
        for name, found in gradient.items():
            assert_close(found, expected[name], f"{name} of pass {number}")
            assert expected[name].any() or name.endswith("actor_log_std"), name
    assert_close(twin.values(observations, unroll), network.values(observations, unroll), "values")
    rows = observations[:N]
    states = [state.copy(), state.copy()]
    acted = [
        policy.act(rows, np.random.default_rng(2), memory)
        for policy, memory in zip((network, twin), states, strict=True)
    ]
    np.testing.assert_allclose(*acted, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(*states, atol=1e-6)


@pytest.mark.parametrize("observations,encoder,memory", CASES)
def test_heads_and_gradients_are_the_same_in_both_backends(observations, encoder, memory):
    space = OBSERVATIONS[observations](SIDES.get(encoder, 5))
    network, twin = make_pair(space, encoder, **MEMORIES[memory])
    assert len(twin.features.image_encoders) == (0 if encoder == "mlp" else 2 if observations == "Dict" else 1)
    assert_same(network, twin, space)


@pytest.mark.parametrize("encoder", SIDES)
def test_threads_that_share_the_rows_change_no_result(encoder):
    assert T * N >= 2 * SMALLEST_PART
    space = OBSERVATIONS["Dict"](SIDES[encoder])
    network, twin = make_pair(space, encoder, num_threads=2, shared_torso=False)
    assert twin.features.image_encoders[0].threads.parts(T * N) == [slice(0, 6), slice(6, 12)]
    assert_same(network, twin, space)


@pytest.mark.parametrize("num_threads,rows", [(1, 2), (2, 2), (2, 8), (3, 12)])
@pytest.mark.parametrize("observations,encoder,memory", [case for case in CASES if case[0] == "Dict"])
def test_what_acting_records_is_what_forward_computes(observations, encoder, memory, num_threads, rows):
    space = OBSERVATIONS[observations](SIDES.get(encoder, 5))
    _, network = make_pair(space, encoder, num_threads=num_threads, **MEMORIES[memory])
    seen = [sampled(space, rows, seed) for seed in range(24 // rows)]
    record = network.make_record(24)
    assert (record is None) == (encoder == "mlp")
    if record is None:
        return
    state = network.initial_state(rows)
    unroll = Unroll(state.copy(), np.zeros((len(seen), rows), np.bool_))
    generator = np.random.default_rng(7)
    for number in (1, 2):  # the second time in the memory of the first
        record.begin()
        memory_of_acting = state.copy()
        for part in [*seen, seen[0]]:  # for the last there is no room
            network.act(part, generator, memory_of_acting, record)
        everything = np.concatenate(seen)
        grads = [generator.normal(size=shape).astype(np.float32) for shape in ((24, 4), (24,))]
        expected_heads, expected = passes(network, everything, unroll, grads)
        for _ in range(2):  # learning leaves the record as it is
            heads, gradient = passes(network, everything, unroll, grads, record)
            for found, right in zip(heads, expected_heads, strict=True):
                assert_close(found, right, f"heads of pass {number}")
            for name, found in gradient.items():
                assert_close(found, expected[name], f"{name} of pass {number}")


@pytest.mark.parametrize("changes", [{}, {"recurrent": "lstm", "recurrent_size": 6}, {"gae_lambda": 0.9}])
def test_updates_with_and_without_a_record_are_the_same(changes):
    values = {"algo": "a2c", "env": "paddle_ac.envs.catch:Catch", "vec": "serial", "num_envs": 8, "num_steps": 4}
    config = make_config({**values, "normalize_observations": False, "learning_rate": 0.01, **changes})
    found = []
    for recorded in (True, False):
        agent = A2C.from_config(config)
        assert agent.gradient_of.record is not None
        if not recorded:
            agent.gradient_of.record = None
        for _ in range(5):
            agent.update()
        found.append(agent.parameters.vector.copy())
        agent.close()
    np.testing.assert_allclose(*found, rtol=1e-3, atol=1e-5)


def test_parts_that_are_timed_learn_from_the_rollout_that_was_played_for_them():
    config = make_config({"algo": "a2c", "env": "paddle_ac.envs.catch:Catch", "vec": "serial", "num_steps": 4})
    agent = A2C.from_config(config)
    agent.update()
    first = agent.gradient_of.record.features.copy()
    agent.phases()
    assert not np.array_equal(agent.gradient_of.record.features, first)
    agent.close()


@pytest.mark.parametrize(
    "algo,changes", [("ppo", {}), ("reinforce", {}), ("a2c", {"num_envs": 16, "num_steps": 17}), ("a2c", {"env": "V"})]
)
def test_nothing_is_recorded_that_would_not_be_used_or_would_take_much_memory(algo, changes):
    values = {"algo": algo, "env": "paddle_ac.envs.catch:Catch", "vec": "serial", **changes}
    values["env"] = {"V": "CartPole-v1"}.get(values["env"], values["env"])
    agent = ALGORITHMS[algo].from_config(make_config(values))
    assert agent.gradient_of.record is None
    agent.close()


@pytest.mark.parametrize(
    "actions,q_critic",
    [
        ("Gaussian", False),
        ("Gaussian by state", False),
        ("MultiDiscrete", False),
        ("MultiBinary", False),
        ("Discrete", False),
        ("Discrete", True),  # only Discrete actions have a critic of Q(s, .)
    ],
)
def test_every_head_behind_an_encoder_is_the_same_in_both_backends(actions, q_critic):
    spaces = {"MultiDiscrete": MultiDiscrete([2, 3]), "MultiBinary": MultiBinary(3), "Discrete": Discrete(4)}
    space, options = pixels(5, 6, 3), {"state_dependent_std": actions == "Gaussian by state", "q_critic": q_critic}
    network, twin = make_pair(space, "auto", spaces.get(actions, Box(-1, 2, (2,))), shared_torso=True, **options)
    assert_same(network, twin, space)


@pytest.mark.parametrize("observations", ["vector", "uint8, channels last", "Dict"])
@pytest.mark.parametrize("q_head", ["plain", "dueling"])
def test_heads_of_q_values_are_the_same_in_both_backends(q_head, observations):
    space = OBSERVATIONS[observations](7)
    network, twin = make_pair(space, q_head=q_head, shared_torso=False)
    names = set(network.parameters.views)
    assert ("critic_head.weight" in names) == ("critic_torso.0.weight" in names) == (q_head == "dueling")
    batch, generator = sampled(space, T * N), np.random.default_rng(5)
    unroll = Unroll.of_one_step(network.initial_state(T * N))
    shape = (T * N,) if q_head == "dueling" else (T * N, 0)
    grads = [generator.normal(size=size).astype(np.float32) for size in ((T * N, 4), shape)]
    expected_heads, expected = passes(network, batch, unroll, grads)
    for number in (1, 2):  # the second pass uses the memory of the first
        for heads in (twin.heads(batch), network.heads(batch)):
            for found, right in zip(heads, expected_heads, strict=True):
                assert_close(found, right, f"heads of pass {number}")
        heads, gradient = passes(twin, batch, unroll, grads)
        assert heads[1].shape == shape
        for name, found in gradient.items():
            assert expected[name].any(), name
            assert_close(found, expected[name], f"{name} of pass {number}")


def convolved(inputs, weight, bias, stride, padding):
    """A convolution by its definition, in float64; ``inputs`` ``[B, H, W, C]``, ``weight`` ``[K, K, C, O]``."""
    margins = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    inputs, weight = np.pad(inputs.astype(np.float64), margins), weight.astype(np.float64)
    kernel = len(weight)
    height, width = ((side - kernel) // stride + 1 for side in inputs.shape[1:3])
    outputs = np.empty((len(inputs), height, width, weight.shape[3]))
    for row in range(height):
        for column in range(width):
            window = inputs[:, row * stride : row * stride + kernel, column * stride : column * stride + kernel]
            outputs[:, row, column] = np.tensordot(window, weight, 3) + bias
    return outputs


CONVOLUTIONS = [(1, 1, 0, 1), (2, 1, 0, 3), (3, 1, 1, 2), (3, 2, 1, 4), (4, 2, 0, 3), (5, 3, 2, 1)]


@pytest.mark.parametrize("block_bytes", [1, numpy_images.BLOCK_BYTES], ids=["one by one", "all at once"])
@pytest.mark.parametrize("kernel,stride,padding,num_channels", CONVOLUTIONS)
def test_convolution_is_that_of_its_definition(monkeypatch, kernel, stride, padding, num_channels, block_bytes):
    monkeypatch.setattr(numpy_images, "BLOCK_BYTES", block_bytes)
    generator = np.random.default_rng(0)
    parameters = {
        "layer.weight": generator.normal(size=(kernel, kernel, num_channels, 3)).astype(np.float32),
        "layer.bias": generator.normal(size=3).astype(np.float32),
    }
    layer = Convolution(parameters, "layer", stride, padding)
    inputs = generator.normal(size=(4, 9, 8, num_channels)).astype(np.float32)
    tape = Tape(defaultdict(list), slice(None))
    outputs = layer.forward(inputs, tape)
    expected = convolved(inputs, *parameters.values(), stride, padding)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)

    grad_outputs = generator.normal(size=outputs.shape).astype(np.float32)
    gradient = {name: np.zeros_like(array) for name, array in parameters.items()}
    grad_inputs = layer.backward(tape, grad_outputs.copy(), gradient, True)
    arrays = {"inputs": (inputs, grad_inputs), **{name: (parameters[name], gradient[name]) for name in parameters}}
    for name, (array, found) in arrays.items():  # linear in each: one difference, as long as one likes, is exact
        direction = generator.normal(size=array.shape)
        moved = {**parameters, "inputs": inputs, name: array + direction}
        change = convolved(moved["inputs"], moved["layer.weight"], moved["layer.bias"], stride, padding) - expected
        assert np.sum(found * direction) == pytest.approx(np.sum(grad_outputs * change), rel=1e-5, abs=1e-4), name


@pytest.mark.parametrize("shape", [(3, 3), (4, 7), (8, 5), (9, 9)])
def test_max_pooling_takes_the_largest_pixel_of_each_window_and_its_gradient_goes_there(shape):
    generator = np.random.default_rng(0)
    inputs = generator.permutation(2 * np.prod(shape) * 3).reshape(2, *shape, 3).astype(np.float32)
    tape = Tape(defaultdict(list), slice(None))
    outputs = MaxPool().forward(inputs, tape)
    grad_outputs = generator.normal(size=outputs.shape).astype(np.float32)
    found = MaxPool().backward(tape, grad_outputs.copy(), {}, True)
    expected, expected_gradient = np.empty_like(outputs), np.zeros_like(inputs)
    for index in np.ndindex(outputs.shape):
        image, row, column, channel = index
        rows, columns = slice(max(2 * row - 1, 0), 2 * row + 2), slice(max(2 * column - 1, 0), 2 * column + 2)
        window = inputs[image, rows, columns, channel]
        expected[index] = window.max()
        expected_gradient[inputs == window.max()] += grad_outputs[index]
    np.testing.assert_array_equal(outputs, expected)
    np.testing.assert_allclose(found, expected_gradient, atol=1e-5)


def test_one_of_several_largest_pixels_gets_the_gradient():
    tape = Tape(defaultdict(list), slice(None))
    MaxPool().forward(np.ones((1, 5, 5, 1), np.float32), tape)
    assert MaxPool().backward(tape, np.ones((1, 3, 3, 1), np.float32), {}, True).sum() == 9


@pytest.mark.parametrize("backend", ["numpy", "paddle"])
@pytest.mark.parametrize("encoder", ["a3c", "impala", "small"])
def test_gradients_are_slopes_of_the_loss(encoder, backend):
    """Central differences along the gradient of each parameter; the step is small, so that few ReLUs change sides."""
    space = OBSERVATIONS["uint8, channels last"](SIDES[encoder])
    network, twin = make_pair(
        space, encoder, recurrent="lstm", recurrent_size=5, activation="tanh", initialization="xavier"
    )
    network = twin if backend == "numpy" else network
    generator = np.random.default_rng(4)
    observations = sampled(space, T * N)
    state = generator.normal(size=(N, network.state_size)).astype(np.float32)
    unroll = Unroll(state, generator.random((T, N)) < 0.3)
    grads = [generator.normal(size=shape).astype(np.float32) for shape in ((T * N, 4), (T * N,))]
    _, gradient = passes(network, observations, unroll, grads)
    vector = network.parameters.vector
    start = vector.copy()

    def loss(position):
        vector[:] = position
        heads = network.forward(observations, unroll)[:2]
        return sum(np.sum(head.astype(np.float64) * grad) for head, grad in zip(heads, grads, strict=True))

    wrong = []
    for name, part in gradient.items():
        direction = np.zeros_like(start)
        network.parameters.layout.views(direction)[name][...] = part / np.linalg.norm(part)
        step = np.float32(3e-4)
        slope = (loss(start + step * direction) - loss(start - step * direction)) / (2 * step)
        if slope != pytest.approx(np.linalg.norm(part), rel=0.03, abs=0.01):
            wrong.append((name, slope, np.linalg.norm(part)))
    vector[:] = start
    assert not wrong


@pytest.mark.parametrize("scale", [images.PIXEL_SCALE, 1.0])
def test_scale_of_pixels_is_that_of_the_images_before_the_first_layer(scale):
    image = images.ImageInput(None, images.ImageShape(5, 5, 2), False, float(scale))
    layers = (images.Convolution(3, 3, relu=False),)
    generator = np.random.default_rng(0)
    parameters = {
        "e.0.weight": generator.normal(size=(3, 3, 2, 3)).astype(np.float32),
        "e.0.bias": generator.normal(size=3).astype(np.float32),
    }
    encoder = ImageEncoder(parameters, "e", layers, image, RowThreads())
    shown = generator.integers(0, 256, (4, 5, 5, 2), np.uint8)
    features = np.empty((4, encoder.num_features), np.float32)
    encoder.forward(shown, features)
    expected = convolved(shown * np.float64(scale), *parameters.values(), 1, 0).reshape(4, -1)
    np.testing.assert_allclose(features, expected, rtol=1e-5, atol=1e-4)


UPDATES = {
    "walk": ("Walk", {}),
    "walk, lstm": ("Walk", {"recurrent": "lstm", "recurrent_size": 6}),
    "walk, gru, shared": ("Walk", {"recurrent": "gru", "recurrent_size": 6, "shared_torso": True}),
    "image": ("Catch", {}),
    "image, lstm": ("Catch", {"recurrent": "lstm", "recurrent_size": 6}),
    "noise, impala": ("Lights", {"encoder": "impala", "hidden_sizes": (8,)}),
    "Q critic": ("Walk", {"algo": "q_ac"}),
    "PPO": ("Walk", {"algo": "ppo", "minibatch_size": 8, "num_epochs": 2}),
}


@pytest.mark.parametrize("num_updates", [1, 4])
@pytest.mark.parametrize("case", UPDATES)
def test_updates_are_the_same_in_both_backends(case, num_updates):
    env, changes = UPDATES[case]
    places = {"Walk": "test/Walk-v0", "Catch": "paddle_ac.envs.catch:Catch", "Lights": "tests.unit.test_images:Lights"}
    values = {
        "algo": "a2c",
        "env": places[env],
        "num_envs": 3,
        "vec": "serial",
        "hidden_sizes": (8,),
        "num_steps": 8,
        **changes,
    }
    vectors = []
    for backend, kind in (("numpy", NumpyActorCritic), ("paddle", BuiltInPaddleNetwork)):
        config = make_config({**values, "backend": backend})
        with ALGORITHMS[config.algo].from_config(config) as agent:
            assert type(agent.policy) is kind
            before = agent.parameters.vector.copy()
            for _ in range(num_updates):
                agent.update()
            vectors.append(agent.parameters.vector.copy())
        assert np.abs(vectors[-1] - before).max() > 1e-4
    np.testing.assert_allclose(*vectors, atol=1e-5 if num_updates == 1 else 1e-4)


def test_auto_takes_numpy_on_the_cpu_and_logs_it(caplog):
    caplog.set_level("INFO", "paddle_ac")
    for backend, kind, logged in (
        ("auto", NumpyActorCritic, "networks compute with numpy (--backend auto)"),
        ("numpy", NumpyActorCritic, "networks compute with numpy (--backend numpy)"),
        ("paddle", BuiltInPaddleNetwork, "networks compute with paddle on cpu (--backend paddle)"),
    ):
        caplog.clear()
        config = make_config({"algo": "a2c", "backend": backend})
        assert type(A2C(config, DummyVecEnv([RandomWalk] * 2)).policy) is kind
        assert [record.getMessage() for record in caplog.records].count(logged) == 1


@pytest.mark.parametrize("device", ["gpu", "gpu:1", "xpu"])
@pytest.mark.skipif(paddle.is_compiled_with_cuda() or paddle.is_compiled_with_xpu(), reason="this build has devices")
def test_device_that_paddle_was_not_built_for_is_one_line(device):
    config = make_config({"algo": "a2c", "device": device})
    assert config.uses_paddle, "auto takes Paddle for devices"
    with pytest.raises(ConfigError, match=f"device {device}: the installed PaddlePaddle .* has no") as caught:
        make_network(config, Box(-1, 1, (3,)), Discrete(2))
    assert "\n" not in str(caught.value) and "use --device cpu" in str(caught.value)


class Apart(PaddleNetwork):
    """A network whose layer keeps copies of the parameters, as on a GPU."""

    def __init__(self, network):
        super().__init__(network.layer, network.parameters, network.encode, network.distribution)
        self.shares_memory = False
        for parameter in self.layer.parameters():
            parameter._share_buffer_to(paddle.zeros_like(parameter))  # off the vector
        self.layer = type(network.layer)(network.layer.description, network.encode)
        self.refresh()


def test_network_on_another_device_follows_the_vector_after_refresh():
    space = Box(-1, 1, (3,))
    network = ReferenceNetwork(space, Discrete(4), (8,), generator=np.random.default_rng(0), initialization="xavier")
    apart, observations = Apart(network), sampled(space, 30)
    unroll = Unroll.of_one_step(np.zeros((30, 0), np.float32))
    twin = network.twin()
    np.testing.assert_allclose(apart.forward(observations, unroll)[0], twin.forward(observations, unroll)[0], atol=1e-6)
    before = apart.forward(observations, unroll)[0]
    apart.parameters.vector *= -2
    np.testing.assert_array_equal(apart.forward(observations, unroll)[0], before), "a copy"
    apart.refresh()
    outputs = twin.forward(observations, unroll)[0]
    np.testing.assert_allclose(apart.forward(observations, unroll)[0], outputs, atol=1e-6)
    np.testing.assert_array_equal(apart.act(observations), outputs.argmax(axis=1))
    np.testing.assert_allclose(apart.values(observations), twin.values(observations), atol=1e-6)
    apart.load_parameters({name: view * 3 for name, view in apart.parameters.views.items()})
    np.testing.assert_allclose(apart.values(observations), twin.values(observations), atol=1e-5)
