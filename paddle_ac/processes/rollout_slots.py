"""Rollouts of many agents in shared memory: filled by agents, acted for by predictors, gathered by trainers.

A slot holds one rollout. Each agent owns ``SLOTS_PER_AGENT`` slots, so memory and queues are bounded: an agent without
a free slot waits. An observation is written once, by its agent, into its slot. The only copies after that are the
gathers: of one step of many slots into a prediction batch, and of whole slots into a training batch.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from multiprocessing_env import SharedArray
from paddle_ac.learning.rollout import Rollout, RolloutArrays, rollout_bytes
from paddle_ac.memory import require_memory
from paddle_ac.packing import ObservationPacking
from paddle_ac.processes.index_queue import STOP, IndexQueue, QueueReader, QueueWriter

SLOTS_PER_AGENT = 2  # one is filled while the other waits for a trainer
SLOT_IS_FREE = STOP - 1  # to an agent that may wait for a slot
FREE, FILLING, QUEUED, TAKEN = range(4)  # states of a slot


class RolloutSlots:
    """The shared memory of A agents with T steps of E environments in each slot.

    Args:
        num_agents: ``A``.
        num_steps: ``T``.
        num_envs: E, environments of an agent.
        observation_space: of one environment.
        action_space: of one environment.
        state_size: S, numbers of the recurrent state of one environment.

    Attributes:
        observations: ``[slots, T, E, *observation_space.shape]``, packed as in ``Rollout``; likewise the others:
        actions, log_probs, rewards, terminated, truncated: ``[slots, T, E, ...]``.
        versions: ``[slots, T]`` int64, updates of the policy that chose the actions of a step.
        last_observations, policy_state, last_policy_state: ``[slots, E, ...]``.
        states: ``[slots]`` int8, ``FREE``, ``FILLING``, ``QUEUED`` or ``TAKEN``.
        agent_states: ``[A, E, S]`` float32, the recurrent state of every environment now.
        requests: ``[A]`` int32, number of the last request of each agent for actions.
        places: ``[A, 2]`` int32, slot and step that the last request of each agent is for.
        active: ``[1]`` int32, agents with an index below it play.
    """

    def __init__(
        self,
        num_agents: int,
        num_steps: int,
        num_envs: int,
        observation_space: Any,
        action_space: Any,
        state_size: int,
    ):
        self.num_agents, self.num_steps, self.num_envs = num_agents, num_steps, num_envs
        slots, packing = SLOTS_PER_AGENT * num_agents, ObservationPacking(observation_space)
        row = rollout_bytes(observation_space, action_space)
        require_memory(slots * num_steps * num_envs * row, f"num_agents={num_agents}, num_steps={num_steps}")
        steps, envs = (slots, num_steps, num_envs), (slots, num_envs)
        layout: dict[str, tuple[tuple[int, ...], Any]] = {
            "observations": ((*steps, *packing.shape), packing.dtype),
            "actions": ((*steps, *action_space.shape), action_space.dtype),
            "log_probs": (steps, np.float32),
            "rewards": (steps, np.float32),
            "terminated": (steps, np.bool_),
            "truncated": (steps, np.bool_),
            "versions": ((slots, num_steps), np.int64),
            "last_observations": ((*envs, *packing.shape), packing.dtype),
            "policy_state": ((*envs, state_size), np.float32),
            "last_policy_state": ((*envs, state_size), np.float32),
            # The operating system provides memory for these two where a truncation writes to it.
            "truncation_observations": ((*steps, *packing.shape), packing.dtype),
            "truncation_policy_states": ((*steps, state_size), np.float32),
            "states": ((slots,), np.int8),
            "agent_states": ((num_agents, num_envs, state_size), np.float32),
            "requests": ((num_agents,), np.int32),
            "places": ((num_agents, 2), np.int32),
            "active": ((1,), np.int32),
        }
        self._shared = {name: SharedArray(shape, dtype) for name, (shape, dtype) in layout.items()}
        self._make_views()
        self.active[0] = num_agents

    def _make_views(self) -> None:
        """Make this process's arrays on the memory."""
        arrays = {name: shared.array for name, shared in self._shared.items()}
        self.observations, self.actions, self.log_probs = (
            arrays[name] for name in ("observations", "actions", "log_probs")
        )
        self.rewards, self.terminated, self.truncated = (
            arrays[name] for name in ("rewards", "terminated", "truncated")
        )
        self.versions, self.last_observations = arrays["versions"], arrays["last_observations"]
        self.policy_state, self.last_policy_state = arrays["policy_state"], arrays["last_policy_state"]
        self.truncation_observations = arrays["truncation_observations"]
        self.truncation_policy_states = arrays["truncation_policy_states"]
        self.states, self.agent_states = arrays["states"], arrays["agent_states"]
        self.requests, self.places, self.active = arrays["requests"], arrays["places"], arrays["active"]

    def __getstate__(self) -> dict[str, Any]:
        names = ("num_agents", "num_steps", "num_envs", "_shared")
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
        self._make_views()

    def of_agent(self, agent: int) -> range:
        """The slots of an agent."""
        return range(agent * SLOTS_PER_AGENT, (agent + 1) * SLOTS_PER_AGENT)

    def arrays(self, slot: int) -> RolloutArrays:
        """Arrays of a slot for an agent to collect into, without flags of ended episodes."""
        self.terminated[slot] = False
        self.truncated[slot] = False
        return RolloutArrays(
            self.observations[slot], self.actions[slot], self.rewards[slot], self.terminated[slot], self.truncated[slot]
        )

    def complete(self, slot: int, rollout: Rollout) -> None:
        """Write the rest of a rollout that was collected into the arrays of a slot."""
        self.last_observations[slot] = rollout.last_observations
        self.policy_state[slot] = rollout.policy_state
        self.last_policy_state[slot] = rollout.last_policy_state
        cut = zip(rollout.truncation_places, rollout.truncation_observations, strict=True)
        for (place, observation), state in zip(cut, rollout.truncation_policy_states, strict=True):
            self.truncation_observations[slot][place] = observation
            self.truncation_policy_states[slot][place] = state

    def requested(self, agents: np.ndarray) -> np.ndarray:
        """Copy the observations that K agents ask actions for, ``[K * E, *observation_space.shape]``."""
        slot, step = self.places[agents].T
        observations = self.observations[slot, step]
        return observations.reshape(-1, *observations.shape[2:])

    def gather(self, slots: np.ndarray, with_log_probs: bool) -> Rollout:
        """Copy the rollouts of K slots side by side, into one of ``N = K * E`` environments.

        Args:
            slots: ``[K]``.
            with_log_probs: include the log-probabilities of the actions.
        """
        truncated = self._side_by_side(self.truncated, slots)
        places = [(int(step), int(env)) for step, env in np.argwhere(truncated)]
        sources = [(slots[env // self.num_envs], step, env % self.num_envs) for step, env in places]
        return Rollout(
            observations=self._side_by_side(self.observations, slots),
            actions=self._side_by_side(self.actions, slots),
            rewards=self._side_by_side(self.rewards, slots),
            terminated=self._side_by_side(self.terminated, slots),
            truncated=truncated,
            last_observations=np.concatenate([self.last_observations[slot] for slot in slots]),
            policy_state=np.concatenate([self.policy_state[slot] for slot in slots]),
            last_policy_state=np.concatenate([self.last_policy_state[slot] for slot in slots]),
            truncation_places=places,
            truncation_observations=[self.truncation_observations[source].copy() for source in sources],
            truncation_policy_states=[self.truncation_policy_states[source].copy() for source in sources],
            log_probs=self._side_by_side(self.log_probs, slots) if with_log_probs else None,
        )

    @staticmethod
    def _side_by_side(array: np.ndarray, slots: np.ndarray) -> np.ndarray:
        """``[slots, T, E, ...]`` of some slots as ``[T, K * E, ...]``, copied once."""
        return np.concatenate([array[slot] for slot in slots], axis=1)


def next_number(number: int) -> int:
    """The number of the request after the one with this number."""
    return (int(number) + 1) % 2**30


class AgentSlots:
    """An agent's view of its slots: it asks for actions, and hands over the rollouts that it has filled.

    Args:
        slots: of all agents.
        agent: index of this one.
        answers: read by the agent: numbers of answered requests, and ``SLOT_IS_FREE``.
        prediction_queue: of the predictors, for indices of agents with a request.
        training_queue: of the trainers, for indices of filled slots.
    """

    def __init__(
        self,
        slots: RolloutSlots,
        agent: int,
        answers: QueueReader,
        prediction_queue: QueueWriter,
        training_queue: QueueWriter,
    ):
        self.slots = slots
        self.agent = agent
        self._answers = answers
        self._prediction_queue, self._training_queue = prediction_queue, training_queue

    def take(self) -> int | None:
        """Take a free slot of the agent; ``None`` if there is none."""
        states = self.slots.states
        for slot in self.slots.of_agent(self.agent):
            if states[slot] == FREE:
                states[slot] = FILLING
                return slot
        return None

    def wait(self, timeout: float) -> None:
        """Wait up to ``timeout`` seconds for a message, such as that a slot is free."""
        self._answers.wait(timeout)

    def request(self, slot: int, step: int) -> int:
        """Ask for the actions of a step whose observations are in a slot; return the number of the request."""
        slots, agent = self.slots, self.agent
        slots.places[agent] = slot, step
        number = next_number(slots.requests[agent])
        slots.requests[agent] = number
        self._prediction_queue.put(agent)
        return number

    def is_answered(self, number: int, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds for the answer to a request; return whether it is there."""
        return number in self._answers.wait(timeout)

    def hand_over(self, slot: int) -> None:
        """Queue a filled slot for the trainers."""
        self.slots.states[slot] = QUEUED
        self._training_queue.put(slot)


class SlotQueues:
    """The side of the predictors and trainers, which are threads of one process: queues of requests and of full slots.

    An agent that is killed may leave an index in a queue, and be replaced by an agent with the same slots. The index
    is then ignored, or counts as that of a request or a rollout of the new agent.

    Args:
        slots: of all agents.
    """

    def __init__(self, slots: RolloutSlots):
        self.slots = slots
        self._prediction_queue, self._training_queue = IndexQueue(), IndexQueue()
        self._answers = [IndexQueue() for _ in range(slots.num_agents)]
        self._answered = np.zeros(slots.num_agents, np.int32)  # number of the last request that a predictor took
        self._lock = threading.Lock()  # between the threads of this process

    def of_agent(self, agent: int) -> AgentSlots:
        """Return the view of an agent that starts or is replaced; slots are free unless a trainer has taken them.

        Rollouts of the agent before it that no trainer has taken are lost with it.
        """
        with self._lock:
            for slot in self.slots.of_agent(agent):
                if self.slots.states[slot] != TAKEN:
                    self.slots.states[slot] = FREE
            self.slots.requests[agent] = next_number(self.slots.requests[agent])  # no request of before is answered now
            self._answered[agent] = self.slots.requests[agent]
        ends = self._answers[agent].reader, self._prediction_queue.writer, self._training_queue.writer
        return AgentSlots(self.slots, agent, *ends)

    @property
    def prediction_queue_length(self) -> int:
        """Requests that no predictor has taken."""
        return int(np.count_nonzero(self.slots.requests != self._answered))

    @property
    def training_queue_length(self) -> int:
        """Rollouts that no trainer has taken."""
        return int(np.count_nonzero(self.slots.states == QUEUED))

    def get_requests(self, max_count: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Wait for agents that want actions.

        Returns:
            indices of agents and numbers of their requests, ``[K]`` each, none if they have been served already;
            ``None`` if the queue is stopped.
        """
        agents = self._prediction_queue.get(max_count)
        if agents is None:
            return None
        with self._lock:
            agents = agents[self.slots.requests[agents] != self._answered[agents]]
            if len(agents) > 1:
                agents = np.unique(agents)
            numbers = self.slots.requests[agents]
            self._answered[agents] = numbers
        return agents, numbers

    def answer(
        self,
        agents: np.ndarray,
        numbers: np.ndarray,
        actions: np.ndarray,
        log_probs: np.ndarray | None,
        states: np.ndarray,
        version: int,
    ) -> None:
        """Write actions into the slots of the agents that asked for them, and wake these.

        An agent that has been replaced since it asked gets none, and its successor's slots are left alone.

        Args:
            agents, numbers: ``[K]``, as of ``get_requests``.
            actions: ``[K * E, *action_space.shape]``.
            log_probs: ``[K * E]`` float32, of the actions, if trainers need them.
            states: ``[K * E, S]`` float32, of the policy after the actions.
            version: updates of the policy.
        """
        slots, by_agent = self.slots, (len(agents), self.slots.num_envs)
        with self._lock:
            wanted = slots.requests[agents] == numbers
            agents = agents[wanted]
            slot, step = slots.places[agents].T
            slots.actions[slot, step] = actions.reshape(*by_agent, *actions.shape[1:])[wanted]
            if log_probs is not None:
                slots.log_probs[slot, step] = log_probs.reshape(by_agent)[wanted]
            slots.agent_states[agents] = states.reshape(*by_agent, -1)[wanted]
            slots.versions[slot, step] = version
        for agent, number in zip(agents.tolist(), numbers[wanted].tolist(), strict=True):
            self._answers[agent].writer.put(number)

    def get_rollouts(self, count: int) -> np.ndarray | None:
        """Wait for so many full slots, take and return them; ``None`` if the queue is stopped.

        One thread at a time may wait: if two each held a part of a batch, neither would get the rest.
        """
        taken: list[int] = []
        while len(taken) < count:
            slots = self._training_queue.get(count - len(taken))
            if slots is None:
                return None
            with self._lock:
                for slot in slots.tolist():
                    if self.slots.states[slot] == QUEUED:
                        self.slots.states[slot] = TAKEN
                        taken.append(slot)
        return np.array(taken)

    def free(self, slots: np.ndarray) -> None:
        """Give slots back to their agents."""
        for slot in slots.tolist():
            self.slots.states[slot] = FREE
            self._answers[slot // SLOTS_PER_AGENT].writer.put(SLOT_IS_FREE)

    def stop(self) -> None:
        """Make ``get_requests`` and ``get_rollouts`` return ``None`` in every thread."""
        self._prediction_queue.stop()
        self._training_queue.stop()

    def close(self) -> None:
        """Close the queues; no thread may use them any more."""
        for queue in (self._prediction_queue, self._training_queue, *self._answers):
            queue.close()
