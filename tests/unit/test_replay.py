"""The replay buffer on hand-made streams: the latest transitions and no others, as they were played.

``Stream`` plays episodes whose every number is known and keeps what was played, step by step. A plain loop over that
history is the reference of what a batch must hold.
"""

from __future__ import annotations

import copy
import functools
import resource

import numpy as np
import pytest
import scipy.stats
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary

import paddle_ac
from multiprocessing_env import DummyVecEnv
from paddle_ac import checkpoint, memory
from paddle_ac.checkpoint import load_checkpoint, save_checkpoint
from paddle_ac.envs.make import make_training_envs
from paddle_ac.envs.wrappers import FrameStack
from paddle_ac.errors import CheckpointError, ConfigError
from paddle_ac.learning import replay_storage
from paddle_ac.learning.frames import num_stacked_frames
from paddle_ac.learning.replay import Batch, ReplayBuffer
from paddle_ac.learning.rollout import Rollout, RolloutCollector
from tests.atari_games import BREAKOUT, KINDS
from tests.environments import Counting
from tests.streams import Stream, single

GAMMA = 0.9
FRAMES = Box(0, 255, (3, 2, 2), np.uint8)  # stacks of 3 frames
SPACES = {
    "numbers": (Box(-1e6, 1e6, (2,)), 1),
    "float64": (Box(-1e6, 1e6, (2, 2), np.float64), 1),
    "discrete": (Discrete(10**6), 1),
    "dict": (Dict({"a": Box(-1e6, 1e6, (2,)), "b": MultiBinary(3)}), 1),
    "frames": (FRAMES, 3),
    "masked frames": (Dict({"observation": FRAMES, "action_mask": MultiBinary(3)}), 3),
    "frames of 3 channels, last": (Box(0, 255, (8, 8, 6), np.uint8), 2),
    "vectors, one after the other": (Box(-1e6, 1e6, (6,)), 3),
}


ACTIONS = Box(0, 1000, (2,), np.int64)


def make_buffer(stream, capacity, **changes):
    return ReplayBuffer(
        capacity, stream.space, ACTIONS, stream.num_envs, GAMMA, num_frames=stream.num_frames, **changes
    )


def assert_as_played(batch: Batch, stream: Stream, capacity: int, n: int = 1) -> set[tuple[int, int]]:
    """Compare a batch with a plain loop over the history; returns the steps and environments that were sampled."""
    newest, num_rows = len(stream.history) - 1, capacity // stream.num_envs
    sampled = set()
    for row, place in enumerate(batch.places.tolist()):
        slot, env = divmod(place, stream.num_envs)
        first = next(step for step in range(newest, -1, -1) if step % num_rows == slot)
        sampled.add((first, env))
        total, discount, step = 0.0, 1.0, first
        while True:
            _, _, rewards, terminated, truncated, after = stream.history[step]
            total += discount * float(rewards[env])
            discount *= GAMMA
            if terminated[env] or truncated[env] or step == newest or step == first + n - 1:
                break
            step += 1
        observations, actions = stream.history[first][:2]
        np.testing.assert_array_equal(batch.observations[row], observations[env])
        np.testing.assert_array_equal(batch.actions[row], actions[env])
        assert batch.rewards[row] == pytest.approx(total, rel=1e-5, abs=1e-6)
        assert batch.discounts[row] == pytest.approx(0 if terminated[env] else discount, rel=1e-6)
        if not terminated[env]:
            np.testing.assert_array_equal(batch.next_observations[row], after[env])
    return sampled


@pytest.mark.parametrize("n", [1, 3, 8], ids="{}-step".format)
@pytest.mark.parametrize("space,num_frames", SPACES.values(), ids=SPACES)
@pytest.mark.parametrize("num_steps", [1, 5, 37], ids="{} at a time".format)
def test_the_latest_transitions_are_sampled_as_they_were_played(space, num_frames, num_steps, n):
    stream = Stream(space, num_frames=num_frames)
    replay = make_buffer(stream, 30, num_step_returns=n)
    generator = np.random.default_rng(1)
    for number in range(25 // num_steps + 2):
        replay.add(stream.play(num_steps))
        played = len(stream.history)
        assert replay.size == 3 * min(played, 10)
        sampled = assert_as_played(replay.sample(20, generator), stream, 30, n)
        if number in (0, 25 // num_steps + 1):
            sampled |= assert_as_played(replay.sample(300, generator), stream, 30, n)
            assert sampled == {(step, env) for step in range(max(0, played - 10), played) for env in range(3)}
    batch = replay.sample(5, generator)
    assert batch.observations.dtype == batch.next_observations.dtype == stream.packing.dtype
    assert (batch.rewards.dtype, batch.discounts.dtype, batch.weights.dtype) == (np.float32,) * 3
    np.testing.assert_array_equal(batch.weights, 1)


@pytest.mark.parametrize("space,num_frames", [SPACES["numbers"], SPACES["frames"]], ids=["numbers", "frames"])
def test_every_transition_is_sampled_equally_often(space, num_frames):
    stream = Stream(space, num_frames=num_frames)
    replay = make_buffer(stream, 30)
    for num_steps in (4, 13):
        replay.add(stream.play(num_steps))
        counts = np.bincount(replay.sample(30_000, np.random.default_rng(2)).places, minlength=replay.size)
        assert len(counts) == replay.size
        assert scipy.stats.chisquare(counts).pvalue > 1e-3


NUMBERS = Box(-1000, 1000, (1,))


def by_reward(replay: ReplayBuffer) -> dict[float, tuple]:
    """Of every transition, by its first reward: observation, return, discount and next observation."""
    batch = replay.sample(50 * replay.size, np.random.default_rng(0))
    rows = zip(batch.observations, batch.rewards, batch.discounts, batch.next_observations, strict=True)
    return {float(row[0].ravel()[-1]): row for row in rows}


def test_returns_of_several_steps_are_those_of_the_textbook():
    """Rewards 1, 2, 4, 8; terminated after the third: by hand."""
    replay = ReplayBuffer(10, NUMBERS, Discrete(2), gamma=0.5, num_step_returns=3)
    replay.add(single([[0], [1], [2], [10], [11]], terminated=[2], rewards=[1, 2, 4, 8]))
    found = by_reward(replay)
    assert {key: (row[1], row[2]) for key, row in found.items()} == {
        0: (1 + 0.5 * 2 + 0.25 * 4, 0),
        1: (2 + 0.5 * 4, 0),
        2: (4, 0),
        10: (8, 0.5),  # the newest step: bootstrapped after one reward
    }
    assert found[10][3] == 11
    replay.add(single([[11], [12], [13], [14]], rewards=[16, 32, 64]))
    assert by_reward(replay)[10][1:3] == (8 + 0.5 * 16 + 0.25 * 32, 0.125) and by_reward(replay)[10][3] == 13


def test_truncation_bootstraps_from_the_last_observation_of_its_episode_and_termination_does_not():
    for end, discount in (("terminated", 0), ("truncated", 0.5)):
        replay = ReplayBuffer(10, NUMBERS, Discrete(2), gamma=0.5)
        replay.add(single([[0], [1], [50], [51]], **{end: [1]}, last=[2] if end == "truncated" else None))
        found = by_reward(replay)
        assert [found[key][2] for key in (0, 1, 50)] == [0.5, discount, 0.5]
        assert found[0][3] == 1 and found[50][3] == 51
        if end == "truncated":
            assert found[1][3] == 2  # not 50, which the next episode starts with


def stack(*frames):
    return np.array(frames, np.uint8)[:, np.newaxis, np.newaxis] * np.ones((1, 4, 4), np.uint8)


STACKS = Box(0, 255, (3, 4, 4), np.uint8)


@pytest.mark.parametrize("start", [(0, 0, 7), (7, 7, 7)], ids=["black", "copies"])
def test_no_stack_reaches_across_the_start_of_a_game(start):
    stacks = [stack(0, 0, 1), stack(0, 1, 2), stack(1, 2, 3), stack(*start), stack(start[0], 7, 8), stack(7, 8, 9)]
    replay = ReplayBuffer(10, STACKS, Discrete(2), num_frames=3)
    replay.add(single(stacks, terminated=[2]))
    batch = replay.sample(100, np.random.default_rng(0))
    np.testing.assert_array_equal(batch.observations, np.array(stacks)[batch.places])
    alive = batch.discounts > 0
    assert set(batch.places[~alive]) == {2}
    np.testing.assert_array_equal(batch.next_observations[alive], np.array(stacks)[batch.places[alive] + 1])


def test_a_stack_continues_through_the_loss_of_a_life_and_nothing_is_bootstrapped_there():
    stacks = [stack(0, 0, 1), stack(0, 1, 2), stack(1, 2, 3), stack(2, 3, 4)]
    replay = ReplayBuffer(10, STACKS, Discrete(2), num_frames=3, num_step_returns=2, gamma=0.5)
    replay.add(single(stacks, terminated=[1]))
    batch = replay.sample(100, np.random.default_rng(0))
    np.testing.assert_array_equal(batch.observations, np.array(stacks)[batch.places])
    np.testing.assert_array_equal(batch.rewards, np.float32([1 + 0.5 * 2, 2, 3])[batch.places])
    np.testing.assert_array_equal(batch.discounts, np.float32([0, 0, 0.5])[batch.places])
    assert list(replay._storage._first_frames) == [0], "only the start of the game is stored apart"


def test_the_last_stack_of_a_truncated_game_is_the_one_that_was_seen():
    stacks = [stack(0, 0, 1), stack(0, 1, 2), stack(0, 0, 9), stack(0, 9, 8)]
    replay = ReplayBuffer(10, STACKS, Discrete(2), num_frames=3)
    replay.add(single(stacks, truncated=[1], last=stack(1, 2, 3)))
    batch = replay.sample(100, np.random.default_rng(0))
    expected = np.array([stack(0, 1, 2), stack(1, 2, 3), stack(0, 9, 8)])
    np.testing.assert_array_equal(batch.next_observations, expected[batch.places])


@pytest.mark.parametrize("space,num_frames", [SPACES["numbers"], SPACES["frames"]], ids=["numbers", "frames"])
def test_a_reset_between_two_rollouts_is_a_truncation(space, num_frames):
    """As after a run was resumed with new episodes: the observation before it is still bootstrapped from."""
    stream = Stream(space, num_frames=num_frames, ends=0)
    replay = make_buffer(stream, 300, num_step_returns=3)
    for _ in range(4):
        replay.add(stream.play(5))
        stream.reset()
        *others, (before, actions, rewards, terminated, _, after) = stream.history
        stream.history = [*others, (before, actions, rewards, terminated, np.ones(3, np.bool_), after)]
    replay.add(stream.play(1))
    assert len(assert_as_played(replay.sample(1000, np.random.default_rng(0)), stream, 300, 3)) == 63


def test_rewards_are_scaled_one_by_one_before_they_are_summed():
    replay = ReplayBuffer(10, NUMBERS, Discrete(2), gamma=0.5, num_step_returns=3)
    replay.add(single([[0], [1], [2], [3]], rewards=[-5, 7, 100]))
    batch = replay.sample(30, np.random.default_rng(0), np.sign)
    np.testing.assert_array_equal(batch.rewards, np.float32([-1 + 0.5 + 0.25, 1 + 0.5, 1])[batch.places])


@pytest.mark.parametrize(
    "space,frame_stack,expected",
    [
        (Box(0, 255, (4, 84, 84), np.uint8), 4, 4),
        (Box(0, 255, (84, 84, 12), np.uint8), 4, 4),
        (Box(-1, 1, (4, 3)), 4, 4),
        (Box(-1, 1, (12,)), 4, 4),
        (Box(0, 255, (84, 84), np.uint8), 1, 1),
        (Box(-1, 1, (9,)), 4, 1),
        (Box(-1, 1, ()), 4, 1),
        (SPACES["dict"][0], 4, 1),
        (SPACES["masked frames"][0], 3, 3),
        (Dict({"observation": Box(-1, 1, (9,)), "action_mask": MultiBinary(3)}), 4, 1),
        (Dict({"observation": Discrete(9), "action_mask": MultiBinary(3)}), 4, 1),
    ],
    ids=str,
)
def test_observations_are_split_into_frames_where_they_are_stacks(space, frame_stack, expected):
    assert num_stacked_frames(space, frame_stack) == expected


# ------------------------------------------------------------------------------------------------ real environments


class Played:
    """The history of real environments, as that of ``Stream``."""

    def __init__(self, envs):
        self.num_envs, self.history = envs.num_envs, []

    def add(self, rollout: Rollout) -> None:
        after = [*rollout.observations[1:].copy(), rollout.last_observations.copy()]
        for (step, env), observation in zip(rollout.truncation_places, rollout.truncation_observations, strict=True):
            after[step][env] = observation
        names = ("observations", "actions", "rewards", "terminated", "truncated")
        self.history += zip(*(getattr(rollout, name) for name in names), after, strict=True)


def play_and_compare(envs, num_frames, act, num_steps, capacity, n=1) -> ReplayBuffer:
    """What is sampled while environments play is what the policy saw."""
    collector, played, generator = RolloutCollector(envs, 5), Played(envs), np.random.default_rng(0)
    replay = ReplayBuffer(capacity, envs.observation_space, envs.action_space, envs.num_envs, GAMMA, n, num_frames)
    for _ in range(num_steps // 5):
        rollout = collector.collect(act)
        replay.add(rollout)
        played.add(rollout)
        assert_as_played(replay.sample(20, generator), played, capacity, n)
    return replay


@pytest.mark.parametrize("vec", KINDS)
@pytest.mark.slow
def test_stacks_of_atari_games_are_those_that_the_policy_saw(vec):
    """Games end, are cut and lose lives; ALE starts a stack with black frames, envpool with copies of the first."""
    pytest.importorskip("ale_py")
    if vec == "envpool":
        pytest.importorskip("envpool")
    env = "Breakout-v5" if vec == "envpool" else BREAKOUT
    config = paddle_ac.config.make_config(
        {"algo": "a2c", "env": env, "vec": vec, "num_envs": 2, "env_kwargs": {"max_episode_steps": 150}}
    )
    assert config.frame_stack == 4 and config.terminal_on_life_loss
    generator = np.random.default_rng(0)
    envs = make_training_envs(config)
    try:
        replay = play_and_compare(envs, 4, lambda *_: generator.integers(0, 4, 2), 600, 200, n=3)
    finally:
        envs.close()
    assert replay._storage._observations.shape[1:] == (1, 84, 84)
    assert len(replay._storage._first_frames) < 12


class Pixels(Counting):
    """``Counting``, observing grey images ``[6, 6]`` of which every one is different."""

    def __init__(self, **how_it_ends):
        super().__init__(dtype=np.uint8, shape=(6, 6), **how_it_ends)


def test_stacks_of_frame_stack_are_those_that_the_policy_saw():
    env_fns = [functools.partial(Pixels, terminate_at=4), functools.partial(Pixels, truncate_at=5), Pixels]
    envs = DummyVecEnv([functools.partial(lambda make: FrameStack(make(), 4), make) for make in env_fns])
    envs.seed(0)
    replay = play_and_compare(envs, 4, lambda *_: np.zeros(3, np.int64), 100, 60, n=2)
    assert replay._storage._observations.shape[1:] == (1, 6, 6)
    envs.close()


# ----------------------------------------------------------------------------------------------------------- memory


ATARI = Box(0, 255, (4, 84, 84), np.uint8)


def bytes_needed(monkeypatch, *arguments, **options) -> str:
    """The error of a buffer for which there is no memory."""
    monkeypatch.setattr(memory, "available_memory", lambda: 1)
    with pytest.raises(ConfigError) as caught:
        ReplayBuffer(*arguments, **options)
    return str(caught.value)


def test_a_million_atari_steps_take_at_most_7_6_gigabytes(monkeypatch):
    """With 8 games, of 100 steps each: the rings, and the older frames of a game's first observation."""
    message = bytes_needed(monkeypatch, 10**6, ATARI, Discrete(18), 8, num_frames=4)
    assert message == "buffer_size=1000000 needs at least 6.6 GiB of memory, 1 bytes are available"
    monkeypatch.undo()
    per_step = sum(
        array.nbytes for array in ReplayBuffer(8000, ATARI, Discrete(18), 8, num_frames=4)._storage._arrays.values()
    ) / (8 * 1004)
    assert per_step * (10**6 + 8 * 4) + 10**6 / 100 * 3 * 84 * 84 < 7.6e9


def test_a_buffer_that_does_not_fit_is_an_error_that_names_the_bytes():
    with pytest.raises(ConfigError, match=r"^buffer_size=1000000000 needs at least 6\.\d TiB of memory, .* available$"):
        ReplayBuffer(10**9, ATARI, Discrete(18), num_frames=4)


def test_a_large_buffer_costs_no_memory_until_it_is_used():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    replay = ReplayBuffer(100_000_000, Box(-1, 1, (10,)), Discrete(5))
    replay.add(single(np.zeros((2, 10), np.float32)))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000, "kilobytes, of ten million"


# -------------------------------------------------------------------------------------------------- saved and resumed


CASES = {name: SPACES[name] for name in ("numbers", "dict", "frames", "masked frames")}
SAVED = pytest.mark.parametrize("space,num_frames", CASES.values(), ids=CASES)
PIECE_STEPS = 16


@pytest.fixture
def small_pieces(monkeypatch):
    """Pieces of 16 steps, or a little more or less."""

    def set_size(stream):
        mask = 3 * stream.is_masked
        stack = stream.packing.dtype.itemsize * int(np.prod(stream.packing.shape)) - mask
        frame = stack // stream.num_frames + mask
        row = stream.num_envs * (frame + 16 + 4 + 1 + 2 * (stream.num_frames > 1))
        monkeypatch.setattr(replay_storage, "PIECE_BYTES", PIECE_STEPS * row)

    return set_size


def assert_alike(one: ReplayBuffer, other: ReplayBuffer) -> None:
    """Both sample the same batches from now on."""
    generators = [np.random.default_rng(5), np.random.default_rng(5)]
    for _ in range(3):
        batches = [
            vars(replay.sample(50, generator)) for replay, generator in zip((one, other), generators, strict=True)
        ]
        for name, array in batches[0].items():
            assert array.tobytes() == batches[1][name].tobytes(), name
        for replay in (one, other):
            replay.update_priorities(batches[0]["places"], batches[0]["rewards"])


def save(path, replay):
    save_checkpoint(path, {"algorithm": {"replay": replay.state_dict()}})


def restored(path, stream, capacity, **changes) -> ReplayBuffer:
    replay = make_buffer(stream, capacity, **changes)
    state = load_checkpoint(path)["algorithm"]["replay"]
    replay.check_state_dict(state)
    replay.load_state_dict(state)
    return replay


def files_of(path) -> dict[str, int]:
    """The pieces of a checkpoint by name, with the time of their last change."""
    return {file.name: file.stat().st_mtime_ns for file in path.with_suffix(".pieces").glob("*")}


@SAVED
@pytest.mark.parametrize("priority_exponent", [None, 0.6], ids=["uniform", "prioritised"])
def test_a_restored_buffer_goes_on_as_the_one_that_was_saved(
    space, num_frames, priority_exponent, small_pieces, tmp_path
):
    """At every stage of filling, and through several rounds; once in memory and once through files."""
    stream = Stream(space, num_frames=num_frames)
    small_pieces(stream)
    options = {"num_step_returns": 3, "priority_exponent": priority_exponent}
    replay = make_buffer(stream, 150, **options)
    path = tmp_path / "latest.safetensors"
    save(path, replay)
    assert restored(path, stream, 150, **options).size == 0
    for number in range(1, 20):
        rollout = stream.play(11)
        replay.add(rollout)
        save(path, replay)
        again, in_memory = restored(path, stream, 150, **options), make_buffer(stream, 150, **options)
        in_memory.load_state_dict(replay.state_dict())
        for other in (again, in_memory):
            assert_alike(copy.deepcopy(replay), other)
            assert_as_played(other.sample(20, np.random.default_rng(number)), stream, 150, 3)
        if number % 3 == 0:
            replay = again
    assert len(files_of(path)) == 4  # of 50 steps, at the end of two rounds


@SAVED
def test_a_checkpoint_writes_only_new_pieces_and_removes_old_ones(space, num_frames, small_pieces, tmp_path):
    stream = Stream(space, num_frames=num_frames)
    small_pieces(stream)
    replay, path, before = make_buffer(stream, 150), tmp_path / "latest.safetensors", {}
    sizes = []
    for _ in range(40):
        replay.add(stream.play(5))
        save(path, replay)
        now = files_of(path)
        assert all(now[name] == before[name] for name in now.keys() & before.keys()), "a piece was written again"
        assert len(now.keys() - before.keys()) <= 2
        sizes.append(path.stat().st_size)
        before = now
    newest = sorted(int(name.partition("-")[0]) for name in now)
    assert newest[0] >= 200 - 50 - PIECE_STEPS - 3 and len(newest) in (2, 3, 4)
    assert max(sizes[20:]) < 2.5 * min(sizes[:2]), "the file itself has only the newest steps"


def test_a_small_buffer_has_no_pieces(tmp_path):
    stream = Stream(SPACES["numbers"][0])
    replay = make_buffer(stream, 150)
    for _ in range(3):
        replay.add(stream.play(40))
        save(tmp_path / "latest.safetensors", replay)
    assert [file.name for file in tmp_path.iterdir()] == ["latest.safetensors"]
    assert_alike(restored(tmp_path / "latest.safetensors", stream, 150), replay)


def saved_with_pieces(tmp_path, small_pieces, num_frames=3):
    stream = Stream(FRAMES, num_frames=num_frames)
    small_pieces(stream)
    replay = make_buffer(stream, 150)
    replay.add(stream.play(45))
    path = tmp_path / "latest.safetensors"
    save(path, replay)
    return stream, replay, path


@pytest.mark.parametrize("damage", ["missing", "cut off", "a changed byte", "of another buffer"])
def test_a_damaged_piece_is_one_line_that_names_the_file(damage, small_pieces, tmp_path):
    stream, replay, path = saved_with_pieces(tmp_path, small_pieces)
    first, second = sorted(path.with_suffix(".pieces").iterdir())
    content = bytearray(first.read_bytes())
    if damage == "missing":
        first.unlink()
    elif damage == "cut off":
        first.write_bytes(content[:-9])
    elif damage == "a changed byte":
        content[-9] ^= 1
        first.write_bytes(content)
    else:
        first.write_bytes(second.read_bytes())
    with pytest.raises(ValueError, match="replay buffer" if damage == "of another buffer" else str(first)) as caught:
        restored(path, stream, 150)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, CheckpointError) == (damage != "of another buffer")


@pytest.mark.parametrize("failing", ["piece", "checkpoint", "removal"])
def test_a_failure_between_writes_leaves_the_last_checkpoint(failing, small_pieces, tmp_path, monkeypatch):
    stream, replay, path = saved_with_pieces(tmp_path, small_pieces)
    saved, reference = copy.deepcopy(replay), restored(path, stream, 150)
    replay.add(stream.play(30))
    write, calls = checkpoint.write_atomically, []

    def fail_later(file, content):
        calls.append(file)
        if (file == path) == (failing == "checkpoint") and len(calls) > 1:
            raise OSError(28, "No space left on device")
        write(file, content)

    def fail(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if failing == "removal":
            patch.setattr(checkpoint, "_remove_other_pieces", fail)
        else:
            patch.setattr(checkpoint, "write_atomically", fail_later)
        with pytest.raises((OSError, KeyboardInterrupt)):
            save(path, replay)
    if failing == "removal":
        assert_alike(restored(path, stream, 150), copy.deepcopy(replay))
    else:
        assert_alike(restored(path, stream, 150), saved)
        # Other steps are taken from there than those of the pieces that were left behind.
        stream.generator, stream.history = np.random.default_rng(9), stream.history[:45]
        stream.reset()
        replay = reference
        replay.add(stream.play(30))
    save(path, replay)
    assert_alike(restored(path, stream, 150), replay)
    assert len(files_of(path)) == len(load_checkpoint(path)["algorithm"]["replay"]["pieces"])


def test_a_loaded_state_can_be_saved_elsewhere(small_pieces, tmp_path):
    stream, replay, path = saved_with_pieces(tmp_path, small_pieces)
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "file.safetensors"
    save_checkpoint(other, load_checkpoint(path))
    assert files_of(other).keys() == files_of(path).keys()
    assert_alike(restored(other, stream, 150), replay)
    save_checkpoint(path, load_checkpoint(path))
    assert_alike(restored(path, stream, 150), copy.deepcopy(replay))


def test_a_truncation_by_a_reset_after_resuming_is_saved_too(small_pieces, tmp_path):
    """The newest step of a saved buffer changes: it lies in no piece yet."""
    stream = Stream(FRAMES, num_frames=3, ends=0)
    small_pieces(stream)
    path = tmp_path / "latest.safetensors"
    replay = make_buffer(stream, 600)
    replay.add(stream.play(PIECE_STEPS))
    save(path, replay)
    replay = restored(path, stream, 600)
    stream.reset()
    before, actions, rewards, terminated, _, after = stream.history[-1]
    stream.history[-1] = before, actions, rewards, terminated, np.ones(3, np.bool_), after
    replay.add(stream.play(40))
    save(path, replay)
    assert_as_played(restored(path, stream, 600).sample(500, np.random.default_rng(0)), stream, 600)


def test_what_is_stored_apart_is_forgotten_with_its_steps():
    stream = Stream(FRAMES, num_frames=3)
    replay = make_buffer(stream, 30)
    for _ in range(50):
        replay.add(stream.play(7))
        replay.state_dict()
    oldest = (350 - 10 - 2) * 3
    assert all(key >= oldest for stored, *_ in replay._storage._apart.values() for key in stored)


@pytest.mark.parametrize(
    "other",
    [
        {"capacity": 33},
        {"space": Box(0, 255, (3, 2, 4), np.uint8)},
        {"num_envs": 2, "capacity": 20},
        {"num_frames": 1},
        {"priority_exponent": 0.5},
    ],
    ids=str,
)
def test_the_state_of_another_buffer_is_refused(other):
    values = {"capacity": 30, "space": FRAMES, "num_envs": 3, "num_frames": 3, "priority_exponent": None, **other}
    capacity, priority_exponent = values.pop("capacity"), values.pop("priority_exponent")
    stream = Stream(**values)
    there = make_buffer(stream, capacity, priority_exponent=priority_exponent)
    there.add(stream.play(4))
    here = make_buffer(Stream(FRAMES, num_frames=3), 30)
    with pytest.raises(ValueError, match="replay buffer"):
        here.check_state_dict(there.state_dict())


def test_the_buffer_of_version_01_is_refused_by_name():
    with pytest.raises(ValueError, match=r"replay buffer was written by version 0\.1"):
        make_buffer(Stream(FRAMES), 30).check_state_dict({"rows": np.zeros((3, 9)), "position": 3, "capacity": 30})


def damaged_states():
    """Paths into a state, and what is put there."""
    for key, value in (("num_steps", -1), ("num_steps", 1.0), ("num_steps", 12), ("num_steps", 10**9), ("rest", {})):
        yield (key,), value
    for name in ("pieces", "newest", "rest", "capacity", "priorities"):
        yield (name,), None
    for name in ("observations", "actions", "rewards", "endings", "depths", "first_frames", "last_observations_at"):
        yield ("rest", "1", name), np.zeros(3)
        yield ("rest", "1", name), None
    for value in (-1, 0, 5, 1.0, None):
        yield ("rest", "1", "first"), value


@pytest.mark.parametrize("path,value", list(damaged_states()), ids=str)
def test_a_damaged_state_is_refused(path, value):
    stream = Stream(FRAMES, num_frames=3)
    replay = make_buffer(stream, 30)
    replay.add(stream.play(13))
    state = copy.deepcopy(replay.state_dict())
    assert list(state["rest"]) == ["1", "13"]
    replay.check_state_dict(state)
    *parents, leaf = path
    functools.reduce(dict.__getitem__, parents, state)[leaf] = value
    with pytest.raises(ValueError, match="replay buffer"):
        replay.check_state_dict(state)


@pytest.mark.parametrize("name", ["endings", "depths", "first_frames_at", "last_observations_at"])
def test_a_state_that_lacks_what_sampling_would_look_up_is_refused(name):
    stream = Stream(FRAMES, num_frames=3)
    replay = make_buffer(stream, 300)
    replay.add(stream.play(60))
    state = copy.deepcopy(replay.state_dict())
    (part,) = state["rest"].values()
    part[name][:] = {"endings": 2, "depths": 1}.get(name, -1)
    with pytest.raises(ValueError, match="replay buffer lacks"):
        replay.check_state_dict(state)
    part[name][:] = 99
    with pytest.raises(ValueError, match="replay buffer"):
        replay.check_state_dict(state)
