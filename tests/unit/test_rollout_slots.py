"""Rollouts in shared memory, and the queues of their indices."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete

from multiprocessing_env import DummyVecEnv
from paddle_ac.learning.rollout import RolloutCollector
from paddle_ac.processes.index_queue import IndexQueue, QueueReader
from paddle_ac.processes.rollout_slots import (
    FREE,
    QUEUED,
    SLOT_IS_FREE,
    SLOTS_PER_AGENT,
    TAKEN,
    RolloutSlots,
    SlotQueues,
)
from tests.environments import Counting, RandomWalk

NUM_STEPS, NUM_ENVS, STATE_SIZE = 4, 2, 3


def make_slots(num_agents=2, state_size=STATE_SIZE, observation_space=None):
    observation_space = observation_space or Box(0, 255, (2,), np.uint8)
    return RolloutSlots(num_agents, NUM_STEPS, NUM_ENVS, observation_space, Discrete(5), state_size)


@pytest.fixture
def queues():
    made = SlotQueues(make_slots())
    yield made
    made.close()


@pytest.fixture
def queue():
    made = IndexQueue()
    yield made
    made.close()


# ------------------------------------------------------------------------------------------------------------- queues


def test_a_queue_returns_all_that_is_pending_up_to_a_limit_in_order(queue):
    for index in range(5):
        queue.writer.put(index)
    assert queue.get(3).tolist() == [0, 1, 2]
    assert queue.get(100).tolist() == [3, 4]


def test_a_stopped_queue_releases_every_waiting_thread(queue):
    results = []
    threads = [threading.Thread(target=lambda: results.append(queue.get(8))) for _ in range(3)]
    for thread in threads:
        thread.start()
    queue.stop()
    for thread in threads:
        thread.join(10)
    assert results == [None, None, None]


def test_indices_of_many_writers_arrive_once_each(queue):
    def write(first):
        for index in range(first, first + 1000):
            queue.writer.put(index)

    writers = [threading.Thread(target=write, args=(1000 * number,)) for number in range(3)]
    received = []
    readers = [threading.Thread(target=lambda: received.extend(read_all(queue))) for _ in range(2)]
    for thread in (*writers, *readers):
        thread.start()
    for thread in writers:
        thread.join()
    queue.stop()
    for thread in readers:
        thread.join()
    assert len(received) == len(set(received))  # a reader that meets the stop drops what it has just read
    assert set(received) <= set(range(3000))


def read_all(queue):
    while (indices := queue.get(7)) is not None:
        yield from indices.tolist()


def test_waiting_ends_at_its_deadline_and_when_the_writer_is_gone():
    read_end, write_end = os.pipe()
    reader = QueueReader(read_end)
    assert len(reader.wait(0.01)) == 0
    os.close(write_end)
    with pytest.raises(EOFError):
        reader.wait(0.01)
    reader.close()


# -------------------------------------------------------------------------------------------------------------- slots


def fill(own, seed, make_env=lambda: Counting(truncate_at=3, dtype=np.uint8)):
    """Collect a rollout into a slot of an agent, and hand it over; returns the slot and a copy of the rollout."""
    slot = own.take()
    slots = own.slots
    envs = DummyVecEnv([make_env for _ in range(NUM_ENVS)])
    envs.seed(seed)
    collector = RolloutCollector(envs, NUM_STEPS, STATE_SIZE)
    collector.policy_state = slots.agent_states[own.agent]
    generator = np.random.default_rng(seed)

    def act(observations, state):
        state += 1
        return generator.integers(5, size=NUM_ENVS)

    rollout = collector.collect_into(slots.arrays(slot), act)
    slots.log_probs[slot] = seed
    slots.complete(slot, rollout)
    own.hand_over(slot)
    return slot, rollout


def test_gathered_rollouts_are_those_of_the_agents_side_by_side(queues):
    filled = [fill(queues.of_agent(agent), seed=agent + 7) for agent in range(2)]
    taken = queues.get_rollouts(2)
    assert taken.tolist() == [slot for slot, _ in filled]
    gathered = queues.slots.gather(taken, with_log_probs=True)
    for name in ("observations", "actions", "rewards", "terminated", "truncated"):
        expected = np.concatenate([getattr(rollout, name) for _, rollout in filled], axis=1)
        np.testing.assert_array_equal(getattr(gathered, name), expected)
    for name in ("last_observations", "policy_state", "last_policy_state"):
        expected = np.concatenate([getattr(rollout, name) for _, rollout in filled])
        np.testing.assert_array_equal(getattr(gathered, name), expected)
    assert gathered.truncated.any() and gathered.last_policy_state.any()
    assert gathered.truncation_places == [(2, env) for env in range(4)]
    cut = [observation for _, rollout in filled for observation in rollout.truncation_observations]
    np.testing.assert_array_equal(gathered.truncation_observations, cut)
    states = [state for _, rollout in filled for state in rollout.truncation_policy_states]
    np.testing.assert_array_equal(gathered.truncation_policy_states, states)
    assert (gathered.log_probs == np.repeat([7, 8], NUM_ENVS)).all()


def test_a_gathered_rollout_does_not_change_when_its_slot_is_filled_again(queues):
    own = queues.of_agent(0)
    slot, _ = fill(own, seed=1)
    gathered = queues.slots.gather(queues.get_rollouts(1), with_log_probs=False)
    before = gathered.observations.copy()
    queues.free(np.array([slot]))
    assert fill(own, seed=2)[0] == slot
    np.testing.assert_array_equal(gathered.observations, before)
    assert gathered.log_probs is None


def test_an_agent_has_no_free_slot_until_a_trainer_frees_one(queues):
    own = queues.of_agent(1)
    slots = [fill(own, seed=0)[0] for _ in range(SLOTS_PER_AGENT)]
    assert own.take() is None and queues.training_queue_length == SLOTS_PER_AGENT
    taken = queues.get_rollouts(1)
    assert own.take() is None, "a trainer has it"
    queues.free(taken)
    assert own.take() == taken[0] == slots[0]


def test_packed_observations_and_policies_without_a_state_fit():
    space = Dict({"pixels": Box(0, 255, (2, 2), np.uint8), "speed": Box(-1, 1, (1,), np.float32)})
    slots = make_slots(state_size=0, observation_space=space)
    assert slots.observations.dtype.names == ("pixels", "speed") and slots.agent_states.shape == (2, NUM_ENVS, 0)
    slots.observations["speed"][1] = 0.5
    gathered = slots.gather(np.array([1, 0]), with_log_probs=False)
    assert gathered.observations["speed"][:, :, 0].tolist() == [[0.5, 0.5, 0, 0]] * NUM_STEPS


# ----------------------------------------------------------------------------------------------------------- requests


def answer(queues, agents, numbers, action=1):
    """Answer requests as a predictor does; the state after the action is as large as the action."""
    rows = len(agents) * NUM_ENVS
    states = np.full((rows, STATE_SIZE), action, np.float32)
    queues.answer(agents, numbers, np.full(rows, action), np.full(rows, -1.0, np.float32), states, version=action)


def test_an_agent_gets_the_answer_to_its_own_request(queues):
    own, other = queues.of_agent(0), queues.of_agent(1)
    number = own.request(0, 3)
    assert queues.prediction_queue_length == 1
    assert not own.is_answered(number, 0.0)
    agents, numbers = queues.get_requests(8)
    assert agents.tolist() == [0] and queues.slots.places[0].tolist() == [0, 3]
    assert numbers.tolist() == [number] and queues.prediction_queue_length == 0
    answer(queues, agents, numbers)
    assert own.is_answered(number, 1.0)
    assert not other.is_answered(number, 0.0)


def test_a_free_slot_is_no_answer_to_a_request(queues):
    own = queues.of_agent(0)
    slot, _ = fill(own, seed=0)
    queues.get_rollouts(1)
    number = own.request(1, 0)
    queues.free(np.array([slot]))
    assert SLOT_IS_FREE < 0 and not own.is_answered(number, 0.0)


def test_requests_and_rollouts_of_a_lost_agent_are_served_once_at_most(queues):
    """Its successor asks in its place; the index that it left in the queue changes nothing."""
    lost = queues.of_agent(0)
    lost.request(0, 2)
    fill(lost, seed=0)
    queues.get_rollouts(1)
    assert lost.take() == 1, "it was filling the other one"
    successor = queues.of_agent(0)
    assert queues.slots.states[:SLOTS_PER_AGENT].tolist() == [TAKEN, FREE]
    number = successor.request(1, 0)
    agents, numbers = queues.get_requests(8)
    answer(queues, agents, numbers)
    assert agents.tolist() == [0] and queues.slots.places[0].tolist() == [1, 0]
    assert successor.is_answered(number, 1.0) and queues.prediction_queue_length == 0


@pytest.mark.parametrize("has_asked", [False, True])
def test_answer_to_a_lost_agent_changes_nothing_of_its_successor(queues, has_asked):
    """One of two predictors computes for an agent that is lost while the other one serves its successor."""
    lost, other = queues.of_agent(0), queues.of_agent(1)
    lost.request(0, 2)
    other_number = other.request(2, 1)
    held = queues.get_requests(8)
    successor = queues.of_agent(0)
    assert queues.prediction_queue_length == 0
    if has_asked:
        number = successor.request(0, 0)
        agents, numbers = queues.get_requests(8)
        answer(queues, *held, action=3)
        assert not successor.is_answered(number, 0.0)
        answer(queues, agents, numbers, action=4)
        assert successor.is_answered(number, 1.0)
    else:
        answer(queues, *held, action=3)
    slots, expected = queues.slots, 4 if has_asked else 0
    assert (slots.actions[0, 0] == expected).all() and (slots.actions[0, 1:] == 0).all()
    assert (slots.agent_states[0] == expected).all() and slots.versions[0, 0] == expected
    assert other.is_answered(other_number, 1.0), "of the same batch"
    assert (slots.actions[2, 1] == 3).all() and (slots.agent_states[1] == 3).all()
    assert (slots.log_probs[2, 1] == -1).all() and slots.versions[2, 1] == 3


def test_a_rollout_that_a_lost_agent_handed_over_is_not_learned_from_twice(queues):
    fill(queues.of_agent(0), seed=0)  # lost with its agent, but its index is in the queue
    successor = queues.of_agent(0)
    assert queues.training_queue_length == 0
    slot, rollout = fill(successor, seed=5)
    fill(queues.of_agent(1), seed=6)
    taken = queues.get_rollouts(2)
    assert taken.tolist() == [slot, SLOTS_PER_AGENT] and (queues.slots.states[taken] == TAKEN).all()
    np.testing.assert_array_equal(queues.slots.observations[slot], rollout.observations)
    assert not (queues.slots.states == QUEUED).any()


def test_a_collector_writes_into_given_arrays_what_it_returns_otherwise():
    rollouts = []
    slots = make_slots(observation_space=Box(0, 255, (3,), np.float32))
    for into_slot in (False, True):
        envs = DummyVecEnv([RandomWalk, RandomWalk])
        envs.seed(3)
        collector, generator = RolloutCollector(envs, NUM_STEPS), np.random.default_rng(0)

        def act(observations, state, generator=generator):
            return generator.integers(4, size=NUM_ENVS)

        for _ in range(5):
            rollout = collector.collect_into(slots.arrays(0), act) if into_slot else collector.collect(act)
        rollouts.append(rollout)
    apart, in_slot = rollouts
    assert np.shares_memory(in_slot.observations, slots.observations)
    for name in ("observations", "actions", "rewards", "terminated", "truncated", "last_observations"):
        np.testing.assert_array_equal(getattr(apart, name), getattr(in_slot, name))
    assert apart.episode_returns == in_slot.episode_returns
