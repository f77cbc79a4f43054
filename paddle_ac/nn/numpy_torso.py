"""Layers between the features and a head: hidden layers and, optionally, a recurrent layer after them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from paddle_ac.nn.numpy_layers import HiddenLayers
from paddle_ac.nn.numpy_recurrent import RECURRENT_LAYERS, Tape
from paddle_ac.nn.threads import RowThreads
from paddle_ac.nn.unroll import Unroll


@dataclass(frozen=True)
class TorsoTape:
    """A batch as it went forward.

    Attributes:
        hidden: the features ``[B, F]`` and what each hidden layer made of them.
        memory: the recurrent layer's tape, if there is one.
    """

    hidden: list[np.ndarray]
    memory: Tape | None

    @property
    def outputs(self) -> np.ndarray:
        """``[B, H]``."""
        if self.memory is None:
            return self.hidden[-1]
        return self.memory.outputs.reshape(-1, self.memory.outputs.shape[-1])


class Torso:
    """The hidden layers ``WHOSE_torso`` and the recurrent layer ``WHOSE_memory`` of a network.

    Args:
        parameters: name to array; read at every call and never copied.
        whose: ``"actor"`` or ``"critic"``.
        activation: ``"tanh"`` or ``"relu"``, of the hidden layers.
        recurrent: ``"none"``, ``"lstm"`` or ``"gru"``.
        first_of_state: where its part of the network's state begins.
        threads: that share the rows of a batch, if there are several.

    Attributes:
        state_size: numbers of that part; 0 without a recurrent layer.
    """

    def __init__(
        self,
        parameters: dict[str, np.ndarray],
        whose: str,
        activation: str,
        recurrent: str,
        first_of_state: int = 0,
        threads: RowThreads | None = None,
    ):
        self.hidden = HiddenLayers(parameters, f"{whose}_torso", activation, threads)
        self.memory = None if recurrent == "none" else RECURRENT_LAYERS[recurrent](parameters, f"{whose}_memory")
        self.state_size = self.memory.state_size if self.memory else 0
        self._part = slice(first_of_state, first_of_state + self.state_size)

    def step(self, features: np.ndarray, state: np.ndarray) -> np.ndarray:
        """Features ``[N, F]`` to outputs ``[N, H]``; its part of the state ``[N, S]`` is brought up to date."""
        hidden = self.hidden(features)[-1]
        if self.memory is None:
            return hidden
        outputs, state[:, self._part] = self.memory.step(hidden, state[:, self._part])
        return outputs

    def forward(self, features: np.ndarray, unroll: Unroll) -> TorsoTape:
        """The B rows of an unroll ``[B, F]``."""
        hidden = self.hidden(features)
        if self.memory is None:
            return TorsoTape(hidden, None)
        inputs = hidden[-1].reshape(*unroll.episode_starts.shape, -1)
        return TorsoTape(hidden, self.memory.forward(inputs, unroll.state[:, self._part], unroll.episode_starts))

    def backward(
        self,
        tape: TorsoTape,
        grad_outputs: np.ndarray,
        gradient: dict[str, np.ndarray],
        wants_inputs: bool = False,
    ) -> np.ndarray:
        """Compute the gradient with respect to the parameters; see ``HiddenLayers.backward``.

        ``grad_outputs`` ``[B, H]`` may be overwritten.
        """
        if self.memory is not None and tape.memory is not None:
            grad_outputs = self.memory.backward(tape.memory, grad_outputs.reshape(tape.memory.outputs.shape), gradient)
            grad_outputs = grad_outputs.reshape(tape.hidden[-1].shape)
        return self.hidden.backward(tape.hidden, grad_outputs, gradient, wants_inputs)
