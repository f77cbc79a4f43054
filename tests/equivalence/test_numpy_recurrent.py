"""The recurrent layers in NumPy are Paddle's cells, begun anew where an episode begins."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn

from paddle_ac.nn.numpy_recurrent import GRU, LSTM
from paddle_ac.nn.paddle_parameters import flatten_parameters, take_gradients

T, N, I, H = 9, 4, 3, 5  # noqa: E741


class Case:
    """A Paddle cell, its NumPy twin on the same memory, and a sequence with episodes that begin anywhere."""

    def __init__(self, twin, cell):
        paddle.seed(3)
        self.cell = cell(I, H)
        self.layer = nn.LayerDict({"recurrent": self.cell})
        self.flat = flatten_parameters(self.layer)
        self.flat.vector *= 2
        self.twin = twin(self.flat.views, "recurrent")
        generator = np.random.default_rng(1)
        self.inputs = generator.normal(size=(T, N, I)).astype(np.float32)
        self.state = generator.normal(size=(N, self.twin.state_size)).astype(np.float32)
        self.grad_outputs = generator.normal(size=(T, N, H)).astype(np.float32)
        self.episode_starts = generator.random((T, N)) < 0.3
        self.episode_starts[0] = [True, False, True, False]
        self.episode_starts[1:, 1] = False  # one environment whose episode goes on all the time
        for array in (self.inputs, self.state, self.grad_outputs, self.episode_starts):
            array.flags.writeable = False

    def forward(self, **changed):
        given = {"inputs": self.inputs, "state": self.state, "episode_starts": self.episode_starts, **changed}
        return self.twin.forward(**given)

    def backward(self, grad_outputs=None, **changed):
        """The gradient at the parameters as one vector, and that at the inputs."""
        gradient = np.full_like(self.flat.vector, np.nan)
        grad_outputs = self.grad_outputs if grad_outputs is None else grad_outputs
        grad_inputs = self.twin.backward(self.forward(**changed), grad_outputs, self.flat.layout.views(gradient))
        return gradient, grad_inputs

    def paddle_forward(self, inputs):
        """Outputs and final state by Paddle's cell, one step after the other."""
        state, outputs = paddle.to_tensor(self.state), []
        for step in range(T):
            state = paddle.where(
                paddle.to_tensor(self.episode_starts[step, :, np.newaxis]), paddle.zeros_like(state), state
            )
            parts = tuple(paddle.split(state, 2, axis=-1)) if isinstance(self.cell, nn.LSTMCell) else state
            output, parts = self.cell(inputs[step], parts)
            state = paddle.concat(parts, axis=-1) if isinstance(self.cell, nn.LSTMCell) else parts
            outputs.append(output)
        return paddle.stack(outputs), state


@pytest.fixture(params=[(LSTM, nn.LSTMCell), (GRU, nn.GRUCell)], ids=["lstm", "gru"])
def case(request):
    return Case(*request.param)


def test_outputs_and_state_are_those_of_paddles_cell(case):
    for _ in range(2):
        tape = case.forward()
        outputs, state = case.paddle_forward(paddle.to_tensor(case.inputs))
        np.testing.assert_allclose(tape.outputs, outputs.numpy(), atol=1e-6)
        np.testing.assert_allclose(tape.states[-1], state.numpy(), atol=1e-6)
        assert tape.outputs.dtype == tape.states[-1].dtype == np.float32
        case.flat.vector *= -1  # both read their parameters at every call


def test_gradients_are_those_of_automatic_differentiation(case):
    gradient, grad_inputs = case.backward()
    inputs = paddle.to_tensor(case.inputs, stop_gradient=False)
    (case.paddle_forward(inputs)[0] * paddle.to_tensor(case.grad_outputs)).sum().backward()
    expected = np.empty_like(gradient)
    take_gradients(case.layer, case.flat.layout.views(expected))
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=5e-6)
    np.testing.assert_allclose(grad_inputs, inputs.grad.numpy(), rtol=1e-4, atol=2e-6)
    assert gradient.dtype == grad_inputs.dtype == np.float32


def test_gradients_are_those_of_finite_differences(case):
    def loss(**changed):
        return float(np.sum(case.forward(**changed).outputs * case.grad_outputs, dtype=np.float64))

    gradient, grad_inputs = case.backward()
    generator, width = np.random.default_rng(4), 1e-2
    for _ in range(5):
        for array, found in ((case.flat.vector, gradient), (case.inputs.copy(), grad_inputs)):
            direction = generator.normal(size=array.shape).astype(np.float32)
            direction /= np.linalg.norm(direction)
            losses = []
            here = array.copy()
            for sign in (1, -1):
                array[...] = here + sign * width * direction
                losses.append(loss() if array is case.flat.vector else loss(inputs=array))
            array[...] = here
            assert (losses[0] - losses[1]) / (2 * width) == pytest.approx(np.sum(found * direction), rel=5e-3, abs=5e-3)


def test_a_sequence_is_its_steps(case):
    tape = case.forward()
    state = case.state
    for step in range(T):
        state = np.where(case.episode_starts[step, :, np.newaxis], np.float32(0), state)
        state.flags.writeable = False  # a step leaves it as it was
        output, state = case.twin.step(case.inputs[step], state)
        assert output.shape == (N, H) and state.shape == (N, case.twin.state_size)
        np.testing.assert_allclose(tape.outputs[step], output, atol=1e-6)
    np.testing.assert_allclose(tape.states[-1], state, atol=1e-6)


def test_nothing_crosses_the_beginning_of_an_episode(case):
    episode_starts = np.zeros((T, N), bool)
    episode_starts[5] = True
    outputs = case.forward(episode_starts=episode_starts).outputs
    _, grad_inputs = case.backward(episode_starts=episode_starts)

    earlier = case.inputs.copy()
    earlier[:5] += 1
    np.testing.assert_array_equal(case.forward(episode_starts=episode_starts, inputs=earlier).outputs[5:], outputs[5:])
    np.testing.assert_array_equal(case.backward(episode_starts=episode_starts, inputs=earlier)[1][5:], grad_inputs[5:])
    later, at_later = case.inputs.copy(), case.grad_outputs.copy()
    later[5:] += 1
    at_later[5:] = np.inf
    with np.errstate(invalid="ignore"):
        found = case.backward(episode_starts=episode_starts, inputs=later, grad_outputs=at_later)[1]
    np.testing.assert_array_equal(found[:5], grad_inputs[:5])
    episode_starts[0] = True
    np.testing.assert_array_equal(
        case.forward(episode_starts=episode_starts).outputs,
        case.forward(episode_starts=episode_starts, state=np.zeros_like(case.state)).outputs,
    )


def test_the_state_is_carried_within_an_episode(case):
    episode_starts = np.zeros((T, N), bool)
    outputs = case.forward(episode_starts=episode_starts).outputs
    _, grad_inputs = case.backward(episode_starts=episode_starts)
    episode_starts[5, 0] = True  # in one environment: the others know nothing of it
    np.testing.assert_array_equal(case.forward(episode_starts=episode_starts).outputs[:, 1:], outputs[:, 1:])
    np.testing.assert_array_equal(case.backward(episode_starts=episode_starts)[1][:, 1:], grad_inputs[:, 1:])
    assert np.all(case.forward(episode_starts=episode_starts).outputs[5:, 0] != outputs[5:, 0])
    assert np.all(case.backward(episode_starts=episode_starts)[1][:5, 0] != grad_inputs[:5, 0])
    another_state = case.forward(episode_starts=np.zeros((T, N), bool), state=np.zeros_like(case.state)).outputs
    assert np.all(another_state != outputs)


def test_a_sequence_in_two_halves_is_the_whole(case):
    whole = case.forward()
    first = case.forward(inputs=case.inputs[:4], episode_starts=case.episode_starts[:4])
    second = case.forward(inputs=case.inputs[4:], episode_starts=case.episode_starts[4:], state=first.states[-1])
    np.testing.assert_allclose(np.concatenate([first.outputs, second.outputs]), whole.outputs, atol=1e-6)
    np.testing.assert_allclose(second.states[-1], whole.states[-1], atol=1e-6)


@pytest.mark.filterwarnings("error")
def test_no_input_is_too_large(case):
    gradient, grad_inputs = case.backward(inputs=case.inputs * np.float32(1e6))
    assert np.isfinite(gradient).all() and np.isfinite(grad_inputs).all()
