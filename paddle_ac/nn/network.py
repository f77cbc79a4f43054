"""The two verbs of a network, and what both backends share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from paddle_ac.action_masks import MASK, mask_outputs
from paddle_ac.nn.actions import ActionDistribution, expected_q
from paddle_ac.nn.encoding import ObservationEncoder
from paddle_ac.nn.parameters import FlatParameters
from paddle_ac.nn.unroll import Unroll


class Network(ABC):
    """A policy and a critic: ``forward`` computes heads, ``backward`` the gradient of a loss of them.

    Args:
        parameters: the parameters that it computes with; an optimiser changes them in place.
        encode: from observations to features; its moments belong to the model.
        distribution: of the actions, given by the actor's outputs.
        q_critic: the critic estimates Q(s, .) of Discrete actions, rather than V(s).
        state_size: S, numbers of the recurrent state of one environment; 0 without a recurrent layer.
        has_mask: observations have a part with an action mask; the outputs of masked actions become ``MASKED_LOGIT``,
            which leaves them a probability and a gradient of 0.
    """

    is_custom = False  # made of a layer of the user's own

    def __init__(
        self,
        parameters: FlatParameters,
        encode: ObservationEncoder,
        distribution: ActionDistribution,
        q_critic: bool,
        state_size: int,
        has_mask: bool = False,
    ):
        self.parameters = parameters
        self.encode = encode
        self.distribution = distribution
        self.q_critic = q_critic
        self.state_size = state_size
        self.has_mask = has_mask

    def act(
        self,
        observations: np.ndarray,
        generator: np.random.Generator | None = None,
        state: np.ndarray | None = None,
        record: Any = None,
    ) -> np.ndarray:
        """Choose actions.

        Args:
            observations: ``[B, *observation_space.shape]``.
            generator: samples the actions from the policy; without one the most probable actions are taken.
            state: ``[B, S]`` float32, recurrent state of each environment, updated in place; that of the first step of
                an episode by default.
            record: of ``make_record``, where to keep what ``forward`` can use.

        Returns:
            actions ``[B, *action_space.shape]``; those of a Box may lie outside its bounds.
        """
        outputs = self.policy_outputs(observations, state, record)
        return self.distribution.mode(outputs) if generator is None else self.distribution.sample(outputs, generator)

    @abstractmethod
    def policy_outputs(
        self, observations: np.ndarray, state: np.ndarray | None = None, record: Any = None
    ) -> np.ndarray:
        """Compute the outputs of the actor, ``[B, distribution.num_outputs]`` float32, to act with.

        Args:
            observations, state, record: as for ``act``.
        """

    @abstractmethod
    def values(self, observations: np.ndarray, unroll: Unroll | None = None) -> np.ndarray:
        """Estimates V(s) of the critic, ``[B]`` float32, for what ``forward`` takes."""

    @abstractmethod
    def heads(self, observations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Compute the heads as ``forward`` of a network without memory, where no gradient is needed."""

    def make_record(self, max_rows: int) -> Any:
        """Make a record in which ``act`` keeps what ``forward`` would compute again, for ``max_rows`` observations.

        Returns:
            a record, which is empty after its ``begin``; ``None`` of a network that computes all again.
        """
        return None

    @abstractmethod
    def forward(
        self, observations: np.ndarray, unroll: Unroll, record: Any = None
    ) -> tuple[np.ndarray, np.ndarray, Any]:
        """Compute the heads for a batch, and the tape that ``backward`` needs.

        Args:
            observations: ``[B, *observation_space.shape]``.
            unroll: how the rows follow one another, for a recurrent network.
            record: of the calls of ``act`` for these observations, with these parameters.

        Returns:
            outputs of the actor ``[B, distribution.num_outputs]``, of the critic ``[B]`` (``[B, A]`` of Q(s, .),
            ``[B, 0]`` without a critic), both float32, and the tape.
        """

    @abstractmethod
    def backward(
        self, tape: Any, grad_outputs: np.ndarray, grad_critic_outputs: np.ndarray, gradient: dict[str, np.ndarray]
    ) -> None:
        """Compute the gradient of a loss with respect to the parameters.

        Args:
            tape: of ``forward``.
            grad_outputs: its gradient with respect to the actor's outputs, ``[B, distribution.num_outputs]``.
            grad_critic_outputs: that with respect to the critic's, ``[B]``, ``[B, A]`` or ``[B, 0]``.
            gradient: name to array in the parameter's shape; overwritten.
        """

    def refresh(self) -> None:  # noqa: B027 (most networks compute on the memory of the parameters)
        """Read the parameters again; to be called when they have changed."""

    def _masked(self, outputs: np.ndarray, observations: np.ndarray) -> np.ndarray:
        """Outputs of the actor under the masks of the observations, if they have some."""
        return mask_outputs(outputs, observations[MASK]) if self.has_mask else outputs

    def initial_state(self, num_envs: int) -> np.ndarray:
        """Recurrent state at the beginning of an episode: zeros ``[N, S]`` float32."""
        return np.zeros((num_envs, self.state_size), np.float32)

    def inspect(self, observations: np.ndarray, state: np.ndarray) -> dict[str, np.ndarray]:
        """Diagnostics of the policy and the critic for a batch; see ``Algorithm.inspect``."""
        outputs, critic_outputs, _ = self.forward(observations, Unroll.of_one_step(state))
        described = {f"policy/{name}": numbers for name, numbers in self.distribution.describe(outputs).items()}
        return {**described, "critic/values": self.values_of(outputs, critic_outputs)}

    def values_of(self, outputs: np.ndarray, critic_outputs: np.ndarray) -> np.ndarray:
        """Estimates V(s) of the critic, ``[B]`` float32, given the heads."""
        return expected_q(outputs, critic_outputs) if self.q_critic else critic_outputs

    def parameter_arrays(self) -> dict[str, np.ndarray]:
        """The parameters by name, copied."""
        return {name: view.copy() for name, view in self.parameters.views.items()}

    def load_parameters(self, values: dict[str, np.ndarray]) -> None:
        """Set the parameters by name; ``ValueError`` if they are those of another network."""
        self.parameters.load(values)
        self.refresh()
