"""Recurrent layers in NumPy, forward and backward through time, on parameters that somebody else holds.

The equations, names and shapes are those of Paddle's ``nn.LSTMCell`` and ``nn.GRUCell``: tests compare the two.
Episodes may begin anywhere in a sequence: the state is zeroed before an episode's first step, and no gradient goes back
from there. Nor does any go into the state that a sequence starts from, which is data (truncated backpropagation through
time; Williams and Peng 1990).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Tape:
    """A sequence as it went forward: what came out, and what the way back needs. All float32 but ``episode_starts``.

    Args:
        inputs: ``[T, N, I]``.
        episode_starts: ``[T, N]`` bool.
        outputs: ``[T, N, H]``.
        states: ``[T + 1, N, S]``; the first T are those that the steps started from, zeroed where an episode begins.
        gates: ``[T, N, G * H]``, after their activations.
        hidden_products: ``[T, N, G * H]``, ``h @ weight_hh.T + bias_hh``.
    """

    inputs: np.ndarray
    episode_starts: np.ndarray
    outputs: np.ndarray
    states: np.ndarray
    gates: np.ndarray
    hidden_products: np.ndarray


class RecurrentLayer(ABC):
    """H units with G gates each, and a state of S numbers, of which the first H are the output.

    Args:
        parameters: name to array; ``NAME.weight_ih`` ``[G * H, I]``, ``NAME.weight_hh`` ``[G * H, H]``,
            ``NAME.bias_ih`` and ``NAME.bias_hh`` ``[G * H]`` are read at every call, never copied to be kept.
        name: of the layer.

    Attributes:
        state_size: ``S``.
    """

    state_parts = 1  # S / H

    def __init__(self, parameters: dict[str, np.ndarray], name: str):
        self.name = name
        self.weight_ih, self.weight_hh = parameters[f"{name}.weight_ih"], parameters[f"{name}.weight_hh"]
        self.bias_ih, self.bias_hh = parameters[f"{name}.bias_ih"], parameters[f"{name}.bias_hh"]
        self.num_units = self.weight_hh.shape[1]
        self.state_size = self.state_parts * self.num_units

    def step(self, inputs: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Inputs ``[N, I]`` and state ``[N, S]`` to outputs ``[N, H]``, a view of the new state, and the new state."""
        gates = _few_rows_product(inputs, self.weight_ih, self.bias_ih)
        hidden_products = _few_rows_product(state[:, : self.num_units], self.weight_hh, self.bias_hh)
        new_state = np.empty_like(state)
        self._advance(gates, hidden_products, state, new_state)
        return new_state[:, : self.num_units], new_state

    def forward(self, inputs: np.ndarray, state: np.ndarray, episode_starts: np.ndarray) -> Tape:
        """A sequence of steps; to rounding what ``step`` gives.

        Args:
            inputs: ``[T, N, I]`` float32.
            state: ``[N, S]`` float32, before the first step.
            episode_starts: ``[T, N]`` bool: this input is the first of an episode.
        """
        num_steps, num_envs, _ = inputs.shape
        gates = (_rows(inputs) @ self.weight_ih.T).reshape(num_steps, num_envs, -1)
        gates += self.bias_ih
        hidden_products = np.empty_like(gates)
        outputs = np.empty((num_steps, num_envs, self.num_units), np.float32)
        states = np.empty((num_steps + 1, num_envs, self.state_size), np.float32)
        states[0] = state
        weight = np.ascontiguousarray(self.weight_hh.T)  # see _few_rows_product; a copy pays over a sequence of steps
        for step in range(num_steps):
            states[step][episode_starts[step]] = 0
            np.matmul(states[step, :, : self.num_units], weight, out=hidden_products[step])
            hidden_products[step] += self.bias_hh
            self._advance(gates[step], hidden_products[step], states[step], states[step + 1])
            outputs[step] = states[step + 1, :, : self.num_units]
        return Tape(inputs, episode_starts, outputs, states, gates, hidden_products)

    def backward(self, tape: Tape, grad_outputs: np.ndarray, gradient: dict[str, np.ndarray]) -> np.ndarray:
        """The gradient at the parameters, whose arrays it overwrites, and at the inputs.

        Args:
            tape: as ``forward`` gave it, with parameters that have not changed since.
            grad_outputs: the gradient at the outputs, ``[T, N, H]`` float32.
            gradient: name to array in the parameter's shape.

        Returns:
            the gradient at the inputs, ``[T, N, I]`` float32.
        """
        grad_input_products, grad_hidden_products = map(_rows, self._grad_products(tape, grad_outputs))
        hidden = _rows(tape.states[:-1])[:, : self.num_units]
        np.matmul(grad_input_products.T, _rows(tape.inputs), out=gradient[f"{self.name}.weight_ih"])
        np.matmul(grad_hidden_products.T, hidden, out=gradient[f"{self.name}.weight_hh"])
        np.sum(grad_input_products, axis=0, out=gradient[f"{self.name}.bias_ih"])
        np.sum(grad_hidden_products, axis=0, out=gradient[f"{self.name}.bias_hh"])
        return (grad_input_products @ self.weight_ih).reshape(tape.inputs.shape)

    @abstractmethod
    def _advance(
        self, gates: np.ndarray, hidden_products: np.ndarray, state: np.ndarray, new_state: np.ndarray
    ) -> None:
        """The arithmetic of a step.

        Args:
            gates: ``[N, G * H]``, ``inputs @ weight_ih.T + bias_ih``; the activated gates are written over it.
            hidden_products: ``[N, G * H]``, ``h @ weight_hh.T + bias_hh``.
            state: ``[N, S]``.
            new_state: ``[N, S]``, to be written.
        """

    @abstractmethod
    def _grad_products(self, tape: Tape, grad_outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The gradients at ``inputs @ weight_ih.T + bias_ih`` and ``h @ weight_hh.T + bias_hh``, ``[T, N, G * H]``."""


class LSTM(RecurrentLayer):
    """Long short-term memory (Hochreiter and Schmidhuber 1997) with forget gates (Gers et al. 2000).

    With ``a = x @ weight_ih.T + bias_ih + h @ weight_hh.T + bias_hh`` in four parts, in this order::

        i = sigmoid(a_i)    f = sigmoid(a_f)    g = tanh(a_g)    o = sigmoid(a_o)
        c' = f * c + i * g
        h' = o * tanh(c')

    The state ``[N, 2 * H]`` is h and c side by side.
    """

    state_parts = 2

    def __init__(self, parameters: dict[str, np.ndarray], name: str):
        super().__init__(parameters, name)
        # sigmoid(a) = tanh(a / 2) / 2 + 1 / 2, which never overflows: one tanh does for all four gates.
        self.scale = np.repeat(np.array([0.5, 0.5, 1, 0.5], np.float32), self.num_units)
        self.offset = 1 - self.scale

    def _advance(
        self, gates: np.ndarray, hidden_products: np.ndarray, state: np.ndarray, new_state: np.ndarray
    ) -> None:
        gates += hidden_products
        gates *= self.scale
        np.tanh(gates, out=gates)
        gates *= self.scale
        gates += self.offset
        i, f, g, o = _parts(gates, 4)
        h, c = _parts(new_state, 2)
        np.multiply(f, _parts(state, 2)[1], out=c)
        c += i * g
        np.tanh(c, out=h)
        h *= o

    def _grad_products(self, tape: Tape, grad_outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # Terms that do not depend on later steps are computed for all steps at once: the derivatives of c' and h' with
        # respect to each a, and of h' with respect to c'.
        i, f, g, o = _parts(tape.gates, 4)
        c = _parts(tape.states[:-1], 2)[1]
        tanh_c = np.tanh(f * c + i * g)
        dh_dc = o * (1 - tanh_c * tanh_c)
        dc_difg = np.stack([g * i * (1 - i), c * f * (1 - f), i * (1 - g * g)], axis=2)
        dh_do = tanh_c * o * (1 - o)

        num_steps, num_envs, num_units = grad_outputs.shape
        grad_gates = np.empty((num_steps, num_envs, 4, num_units), np.float32)
        grad_state = np.zeros((2, num_envs, num_units), np.float32)
        grad_h, grad_c = grad_state
        for step in reversed(range(num_steps)):
            grad_h += grad_outputs[step]
            grad_c += grad_h * dh_dc[step]
            np.multiply(grad_c[:, np.newaxis], dc_difg[step], out=grad_gates[step, :, :3])
            np.multiply(grad_h, dh_do[step], out=grad_gates[step, :, 3])
            np.matmul(grad_gates[step].reshape(num_envs, -1), self.weight_hh, out=grad_h)
            grad_c *= f[step]
            grad_state[:, tape.episode_starts[step]] = 0
        grad_products = grad_gates.reshape(tape.gates.shape)
        return grad_products, grad_products


class GRU(RecurrentLayer):
    """Gated recurrent unit (Cho et al. 2014), with the reset gate after the product as in cuDNN and Paddle.

    With ``a = x @ weight_ih.T + bias_ih`` and ``b = h @ weight_hh.T + bias_hh`` in three parts each, in this order::

        r = sigmoid(a_r + b_r)    z = sigmoid(a_z + b_z)    n = tanh(a_n + r * b_n)
        h' = z * h + (1 - z) * n

    The state ``[N, H]`` is h.
    """

    def _advance(
        self, gates: np.ndarray, hidden_products: np.ndarray, state: np.ndarray, new_state: np.ndarray
    ) -> None:
        r_and_z = gates[:, : 2 * self.num_units]
        r_and_z += hidden_products[:, : 2 * self.num_units]
        r_and_z *= 0.5  # sigmoid(a) = tanh(a / 2) / 2 + 1 / 2, which never overflows
        np.tanh(r_and_z, out=r_and_z)
        r_and_z *= 0.5
        r_and_z += 0.5
        r, z, n = _parts(gates, 3)
        n += r * _parts(hidden_products, 3)[2]
        np.tanh(n, out=n)
        np.subtract(state, n, out=new_state)
        new_state *= z
        new_state += n

    def _grad_products(self, tape: Tape, grad_outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # Terms that do not depend on later steps are computed for all steps at once: the derivatives of h' with respect
        # to each a and b.
        r, z, n = _parts(tape.gates, 3)
        dh_da_n = (1 - z) * (1 - n * n)
        dh_dz = (tape.states[:-1] - n) * z * (1 - z)
        dh_dr = dh_da_n * _parts(tape.hidden_products, 3)[2] * r * (1 - r)
        dh_db = np.stack([dh_dr, dh_dz, dh_da_n * r], axis=2)

        num_steps, num_envs, num_units = grad_outputs.shape
        grad_b = np.empty_like(dh_db)
        grad_h = np.empty_like(grad_outputs)  # each step's, for a_n below
        from_later = np.zeros((num_envs, num_units), np.float32)
        for step in reversed(range(num_steps)):
            np.add(grad_outputs[step], from_later, out=grad_h[step])
            np.multiply(grad_h[step][:, np.newaxis], dh_db[step], out=grad_b[step])
            np.matmul(grad_b[step].reshape(num_envs, -1), self.weight_hh, out=from_later)
            from_later += grad_h[step] * z[step]
            from_later[tape.episode_starts[step]] = 0
        grad_a = grad_b.copy()
        np.multiply(grad_h, dh_da_n, out=grad_a[:, :, 2])
        return grad_a.reshape(tape.gates.shape), grad_b.reshape(tape.gates.shape)


RECURRENT_LAYERS: dict[str, type[RecurrentLayer]] = {"lstm": LSTM, "gru": GRU}


def _rows(array: np.ndarray) -> np.ndarray:
    """``[T, N, X]`` as ``[T * N, X]``."""
    return array.reshape(-1, array.shape[-1])


def _few_rows_product(rows: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """``rows @ weight.T + bias``; with few rows BLAS is up to three times slower on a transposed view of a weight."""
    return np.add((weight @ np.ascontiguousarray(rows.T)).T, bias, order="C")


def _parts(array: np.ndarray, number: int) -> list[np.ndarray]:
    """``[..., G * H]`` as G views ``[..., H]``."""
    size = array.shape[-1] // number
    return [array[..., part * size : (part + 1) * size] for part in range(number)]
