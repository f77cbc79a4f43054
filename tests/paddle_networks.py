"""Built-in networks in Paddle, whose automatic differentiation is the reference of the NumPy backend."""

from __future__ import annotations

import numpy as np

from paddle_ac.nn.actions import action_distribution
from paddle_ac.nn.description import describe_network
from paddle_ac.nn.encoding import ObservationEncoder
from paddle_ac.nn.numpy_network import NumpyActorCritic
from paddle_ac.nn.paddle_layers import ActorCritic
from paddle_ac.nn.paddle_network import PaddleNetwork, layer_of
from paddle_ac.nn.paddle_parameters import take_gradients, values_of
from paddle_ac.nn.parameters import FlatParameters
from paddle_ac.nn.unroll import Unroll


def built_in_layer(observation_space, action_space, generator=None, normalize_observations=False, **options):
    """The built-in network in Paddle for an environment's spaces, with initial weights."""
    description = describe_network(observation_space, action_space, **options)
    layer = ActorCritic(
        description, ObservationEncoder(observation_space, normalize_observations, images=description.images)
    )
    values = description.initial_parameters(generator or np.random.default_rng())
    for name, parameter in layer.named_parameters():
        parameter.set_value(values[name])
    return layer


class ReferenceNetwork(PaddleNetwork):
    """A built-in network in Paddle, called for tensors that can be differentiated."""

    def __init__(self, observation_space, action_space, hidden_sizes=None, **options):
        self.action_space = action_space
        layer = built_in_layer(observation_space, action_space, hidden_sizes=hidden_sizes, **options)
        distribution = action_distribution(action_space)
        parameters = FlatParameters(values_of(layer))
        super().__init__(layer, parameters, layer.encode, distribution, layer.description.q_critic)

    @classmethod
    def of(cls, network):
        """A built-in network of either backend, on its own memory."""
        reference = cls.__new__(cls)
        PaddleNetwork.__init__(
            reference, layer_of(network), network.parameters, network.encode, network.distribution, network.q_critic
        )
        return reference

    def __call__(self, observations, unroll=None):
        return self._unrolled(observations, unroll or Unroll.of_one_step(self.initial_state(len(observations))))

    def twin(self, num_threads=1):
        """The same network in NumPy, on the same memory."""
        return NumpyActorCritic(self.layer.description, self.parameters, self.encode, self.distribution, num_threads)

    def weights(self):
        """The parameters of the Paddle layer by name."""
        return values_of(self.layer)

    def take_gradient(self):
        """The gradient ``[P]`` that ``backward`` of a Paddle loss left; 0 where it left none."""
        for parameter in self.layer.parameters():
            if parameter.grad is None:
                (parameter * 0).sum().backward()
        gradient = np.empty_like(self.parameters.vector)
        take_gradients(self.layer, self.parameters.layout.views(gradient))
        return gradient
