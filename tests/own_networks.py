"""Networks of a user's own, right and wrong."""

from __future__ import annotations

import paddle
from gymnasium.spaces import Dict
from paddle import nn


class Own(nn.Layer):
    """A policy and a critic behind one hidden layer."""

    def __init__(self, observation_space, action_space, num_units=16):
        super().__init__()
        self.hidden = nn.Linear(observation_space.shape[0], num_units)
        self.policy = nn.Linear(num_units, int(action_space.n))
        self.critic = nn.Linear(num_units, 1)

    def features(self, observations):
        return self.hidden(observations).tanh()

    def forward(self, observations, state):
        features = self.features(observations)
        return self.policy(features), self.critic(features).squeeze(-1), None


class Buffered(Own):
    """Has a constant that is no parameter."""

    def __init__(self, *spaces):
        super().__init__(*spaces)
        self.register_buffer("scale", paddle.full([1], 0.5))

    def features(self, observations):
        return super().features(observations * self.scale)


class Frozen(Own):
    """Its hidden layer does not learn."""

    def __init__(self, *spaces):
        super().__init__(*spaces)
        for parameter in self.hidden.parameters():
            parameter.stop_gradient = True


class Remembering(nn.Layer):
    """The built-in network with one shared LSTM and no hidden layer."""

    state_size = 12

    def __init__(self, observation_space, action_space):
        super().__init__()
        self.actor_memory = nn.LSTMCell(observation_space.shape[0], 6)
        self.actor_head = nn.Linear(6, int(action_space.n))
        self.critic_head = nn.Linear(6, 1)

    def forward(self, observations, state):
        output, parts = self.actor_memory(observations, tuple(paddle.split(state, 2, axis=-1)))
        return self.actor_head(output), self.critic_head(output).squeeze(-1), paddle.concat(parts, axis=-1)


class OfParts(nn.Layer):
    """Reads the parts of ``tests.environments.Structured``."""

    def __init__(self, observation_space, action_space):
        super().__init__()
        assert isinstance(observation_space, Dict)
        self.policy, self.critic = nn.Linear(4 * 4 + 3, int(action_space.n)), nn.Linear(4 * 4 + 3, 1)

    def forward(self, observations, state):
        assert observations["camera"].dtype == paddle.uint8
        features = [observations["camera"].astype("float32").flatten(1) / 255, observations["robot/joints"]]
        features = paddle.concat(features, axis=-1)
        return self.policy(features), self.critic(features).squeeze(-1), None


class Raising(Own):
    def __init__(self, *spaces):
        raise RuntimeError("no such layer\nsecond line")


class RaisingInForward(Own):
    def forward(self, observations, state):
        raise RuntimeError("cannot compute")


class Listing(Own):
    def forward(self, observations, state):
        return list(super().forward(observations, state))


class TwoResults(Own):
    def forward(self, observations, state):
        return super().forward(observations, state)[:2]


class WideOutputs(Own):
    def __init__(self, *spaces):
        super().__init__(*spaces)
        self.policy = nn.Linear(16, 7)


class ColumnOfValues(Own):
    def forward(self, observations, state):
        outputs, values, state = super().forward(observations, state)
        return outputs, values.unsqueeze(-1), state


class DoubleOutputs(Own):
    def forward(self, observations, state):
        outputs, values, state = super().forward(observations, state)
        return outputs.astype("float64"), values, state


class ArrayOfValues(Own):
    def forward(self, observations, state):
        outputs, values, state = super().forward(observations, state)
        return outputs, values.numpy(), state


class Ignoring(Own):
    def __init__(self, *spaces):
        super().__init__(*spaces)
        self.spare = nn.Linear(2, 2)


class Squeezing(Own):
    """Loses the axis of a batch of one observation."""

    def forward(self, observations, state):
        features = self.features(observations)
        return self.policy(features), self.critic(features).squeeze(), None


class Dropping(Own):
    """Drops features at random."""

    def __init__(self, *spaces):
        super().__init__(*spaces)
        self.dropout = nn.Dropout(0.5)


class Normalizing(Own):
    def __init__(self, *spaces):
        super().__init__(*spaces)
        self.norm = nn.BatchNorm1D(16)


class WrongState(Remembering):
    state_size = 11

    def forward(self, observations, state):
        return super().forward(observations, paddle.zeros([len(observations), 12]))


class AllFrozen(Own):
    def __init__(self, *spaces):
        super().__init__(*spaces)
        for parameter in self.parameters():
            parameter.stop_gradient = True


class NegativeState(Own):
    state_size = -1


class NoLayer:
    pass
