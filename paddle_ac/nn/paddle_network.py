"""The ``paddle`` backend: any Paddle layer with the signature of an actor-critic, on any device of Paddle."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle

from paddle_ac.errors import ConfigError
from paddle_ac.nn.actions import ActionDistribution, expected_q
from paddle_ac.nn.encoding import ObservationEncoder
from paddle_ac.nn.network import Network
from paddle_ac.nn.numpy_network import NumpyActorCritic
from paddle_ac.nn.paddle_layers import ActorCritic
from paddle_ac.nn.paddle_parameters import share_memory, take_gradients
from paddle_ac.nn.parameters import FlatParameters
from paddle_ac.nn.unroll import Unroll


class PaddleNetwork(Network):
    """Acts and learns with a Paddle layer.

    On the CPU the layer computes on the memory of ``parameters``. On other devices its parameters are copies, which
    ``refresh`` brings up to date.

    Args:
        layer: from observations and state to outputs of the actor, of the critic, and the new state.
        parameters: those of the layer, by the same names; the layer takes their values.
        encode: that the layer uses.
        distribution: of the actions, given by the actor's outputs.
        q_critic: the critic estimates Q(s, .) of Discrete actions.
        device: name of a device, as Paddle knows it.
        has_mask: as in ``Network``.
    """

    def __init__(
        self,
        layer: Any,
        parameters: FlatParameters,
        encode: ObservationEncoder,
        distribution: ActionDistribution,
        q_critic: bool = False,
        device: str = "cpu",
        has_mask: bool = False,
    ):
        super().__init__(parameters, encode, distribution, q_critic, layer.state_size, has_mask)
        self.layer = layer
        self.is_custom = not isinstance(layer, ActorCritic)
        self.shares_memory = device == "cpu"
        if self.shares_memory:
            share_memory(layer, parameters.views)
        else:
            self.refresh()

    def policy_outputs(
        self, observations: np.ndarray, state: np.ndarray | None = None, record: None = None
    ) -> np.ndarray:
        """As ``Network.policy_outputs``."""
        state = self.initial_state(len(observations)) if state is None else state
        with paddle.no_grad():
            outputs, _, new_state = self.layer(observations, paddle.to_tensor(state))
        if self.state_size:
            state[...] = new_state.numpy()
        return self._masked(outputs.numpy(), observations)

    def values(self, observations: np.ndarray, unroll: Unroll | None = None) -> np.ndarray:
        """As ``Network.values``."""
        unroll = unroll or Unroll.of_one_step(self.initial_state(len(observations)))
        with paddle.no_grad():
            outputs, critic_outputs = self._arrays(*self._unrolled(observations, unroll))
        return expected_q(self._masked(outputs, observations), critic_outputs) if self.q_critic else critic_outputs

    def heads(self, observations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As ``Network.heads``."""
        unroll = Unroll.of_one_step(self.initial_state(len(observations)))
        with paddle.no_grad():
            outputs, critic_outputs = self._arrays(*self._unrolled(observations, unroll))
        return self._masked(outputs, observations), critic_outputs

    def forward(
        self, observations: np.ndarray, unroll: Unroll, record: None = None
    ) -> tuple[np.ndarray, np.ndarray, tuple[paddle.Tensor, paddle.Tensor | None]]:
        """As ``Network.forward``; the tape is Paddle's."""
        tape = self._unrolled(observations, unroll)
        outputs, critic_outputs = self._arrays(*tape)
        return self._masked(outputs, observations), critic_outputs, tape

    def backward(
        self,
        tape: tuple[paddle.Tensor, paddle.Tensor | None],
        grad_outputs: np.ndarray,
        grad_critic_outputs: np.ndarray,
        gradient: dict[str, np.ndarray],
    ) -> None:
        """As ``Network.backward``, by Paddle's automatic differentiation."""
        heads = zip(tape, (grad_outputs, grad_critic_outputs), strict=True)
        tensors, grads = zip(*((head, paddle.to_tensor(grad)) for head, grad in heads if head is not None), strict=True)
        paddle.autograd.backward(list(tensors), list(grads))
        take_gradients(self.layer, gradient)

    def refresh(self) -> None:
        """Copy the parameters to the device, where the layer does not compute on their memory."""
        if not self.shares_memory:
            for name, parameter in self.layer.named_parameters():
                parameter.set_value(self.parameters.views[name])

    @staticmethod
    def _arrays(outputs: paddle.Tensor, critic_outputs: paddle.Tensor | None) -> tuple[np.ndarray, np.ndarray]:
        """The heads in NumPy, ``[B, 0]`` without a critic."""
        no_critic = np.empty((len(outputs), 0), np.float32)
        return outputs.numpy(), no_critic if critic_outputs is None else critic_outputs.numpy()

    def _unrolled(self, observations: np.ndarray, unroll: Unroll) -> tuple[paddle.Tensor, paddle.Tensor | None]:
        """Heads of T steps of N environments; without a recurrent state all rows are computed at once."""
        if not self.state_size:
            outputs, critic_outputs, _ = self.layer(observations, paddle.zeros([len(observations), 0]))
            return outputs, critic_outputs
        num_envs = unroll.episode_starts.shape[1]
        state = paddle.to_tensor(unroll.state)
        kept = paddle.to_tensor(~unroll.episode_starts[..., np.newaxis]).astype("float32")
        steps = []
        for step, keep in enumerate(kept):
            rows = slice(step * num_envs, (step + 1) * num_envs)
            *heads, state = self.layer(observations[rows], state * keep)
            steps.append(heads)
        outputs, critic_outputs = (paddle.concat(list(parts)) for parts in zip(*steps, strict=True))
        return outputs, critic_outputs


class BuiltInPaddleNetwork(PaddleNetwork):
    """Learns with Paddle, and acts with the NumPy network on the same memory where the device is the CPU.

    Args:
        layer: a built-in network.
        parameters, encode, distribution, q_critic, device, has_mask: as in ``PaddleNetwork``.
    """

    def __init__(
        self,
        layer: ActorCritic,
        parameters: FlatParameters,
        encode: ObservationEncoder,
        distribution: ActionDistribution,
        q_critic: bool = False,
        device: str = "cpu",
        has_mask: bool = False,
    ):
        super().__init__(layer, parameters, encode, distribution, q_critic, device, has_mask)
        if self.shares_memory:
            acting = NumpyActorCritic(layer.description, parameters, encode, distribution)
            self.policy_outputs, self.values = acting.policy_outputs, acting.values  # type: ignore[method-assign]


def layer_of(network: Network) -> Any:
    """The Paddle layer of a network; one on the same memory is made for a network in NumPy."""
    if isinstance(network, PaddleNetwork):
        return network.layer
    assert isinstance(network, NumpyActorCritic)
    layer = ActorCritic(network.description, network.encode)
    share_memory(layer, network.parameters.views)
    return layer


def use_device(device: str) -> None:
    """Let Paddle compute on a device from here on.

    Args:
        device: ``"cpu"``, ``"gpu"``, ``"gpu:N"`` or ``"xpu"``.

    Raises:
        ConfigError: this build of Paddle does not support it, or the machine does not have it.
    """
    kind, _, index = device.partition(":")
    built = {"cpu": True, "gpu": paddle.is_compiled_with_cuda(), "xpu": paddle.is_compiled_with_xpu()}
    if not built[kind]:
        package = "paddlepaddle-gpu" if kind == "gpu" else f"a build of PaddlePaddle with {kind} support"
        raise ConfigError(
            f"device {device}: the installed PaddlePaddle {paddle.__version__} has no {kind} support; "
            f"install {package}, or use --device cpu"
        )
    if kind == "gpu" and not 0 <= int(index or 0) < paddle.device.cuda.device_count():
        raise ConfigError(
            f"device {device}: this machine has {paddle.device.cuda.device_count()} GPUs that PaddlePaddle can use; "
            "use --device cpu, or gpu:N with N from 0"
        )
    if kind != "cpu" or not paddle.get_device().startswith("cpu"):
        paddle.set_device(device)
