"""The protocol of Atari games: the same ids, screens, rewards, lives and ends of games in every kind of environment."""

from __future__ import annotations

import importlib.util
import itertools
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import AtariPreprocessing, ClipReward, FrameStackObservation

from multiprocessing_env import DummyVecEnv
from paddle_ac import atari_ids
from paddle_ac.atari_ids import atari_game
from paddle_ac.config import base, change_config, make_config
from paddle_ac.envs import atari
from paddle_ac.envs.make import (
    find_unrepeatable,
    log_vec,
    make_evaluation_envs,
    make_rendered_env,
    make_training_envs,
    resolve_vec,
    worker_envs_fn,
)
from paddle_ac.envs.native import NativeVecEnv
from paddle_ac.errors import ConfigError
from paddle_ac.learning.rewards import scale_and_clip
from paddle_ac.learning.rollout import RolloutCollector
from tests.atari_games import BREAKOUT, KINDS, PONG, atari_config, play, play_from, random_actions

ale_py = pytest.importorskip("ale_py")
pytest.importorskip("cv2")

needs_envpool = pytest.mark.skipif(importlib.util.find_spec("envpool") is None, reason="needs envpool")
IN_ONE_PROCESS = ["serial", "native", pytest.param("envpool", marks=needs_envpool)]
EVERY_KIND = ["serial", "native", pytest.param("subproc", marks=pytest.mark.slow)]
EVERY_KIND.append(pytest.param("envpool", marks=[needs_envpool, pytest.mark.slow]))


@pytest.fixture
def nothing_installed(monkeypatch):
    """Neither ale-py nor envpool can be imported."""
    find_spec = importlib.util.find_spec
    hidden = ("ale_py", "envpool", "envpool_assets")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name in hidden else find_spec(name))
    atari_ids._installed_games.cache_clear()
    yield
    atari_ids._installed_games.cache_clear()


# Ids


@pytest.mark.parametrize(
    "env_id,game",
    [
        ("ALE/Pong-v5", "Pong"),
        ("ale_py:ALE/SpaceInvaders-v5", "SpaceInvaders"),
        ("BreakoutNoFrameskip-v4", "Breakout"),
        ("ale_py:BreakoutNoFrameskip-v4", "Breakout"),
        ("ALE/NoSuchGame-v5", "NoSuchGame"),
        ("MsPacman-v5", "MsPacman"),
        ("Pong-v4", None),  # ALE's older ids with frame skip of their own
        ("PongDeterministic-v4", None),
        ("Pong-ram-v5", None),
        ("HalfCheetah-v5", None),
        ("Ant-v5", None),
        ("CartPole-v1", None),
        ("other:ALE/Pong-v5", None),
        ("gym:Pong-v5", None),
    ],
)
def test_ids_name_atari_games(env_id, game):
    assert atari_game(env_id) == game
    assert make_config({"algo": "a2c", "env": env_id}).frame_stack == (1 if game is None else 4)


def test_without_packages_ids_of_ale_name_atari_games_and_those_of_envpool_do_not(nothing_installed):
    assert atari_game("ALE/Pong-v5") == atari_game("PongNoFrameskip-v4") == "Pong"
    assert atari_game("Pong-v5") is None


def test_every_game_of_ale_and_envpool_is_recognised_by_envpools_id():
    gymnasium.register_envs(ale_py)
    games = {env_id[4:-3] for env_id in gymnasium.registry if env_id.startswith("ALE/")}
    assert len(games) > 100
    assert {game for game in games if atari_game(f"{game}-v5") != game} == set()


@pytest.mark.parametrize("env_id", [PONG, f"ale_py:{PONG}", "PongNoFrameskip-v4", "Pong-v5"])
@pytest.mark.parametrize("vec", EVERY_KIND)
def test_every_id_plays_in_every_kind_of_environment(vec, env_id):
    first, (step,) = play(np.zeros((1, 2), np.int64), env=env_id, vec=vec)
    assert first.shape == step.observations.shape == (2, 4, 84, 84) and first.dtype == np.uint8
    assert step.infos == [{"lives": 0, **info} for info in step.infos]


# The four kinds, frame by frame


@pytest.fixture(scope="module")
def played():
    """Several games of Breakout and Pong, in each kind, from the same number of frames without action."""
    cache = {}

    def play_once(vec, env_id, noop_max, **changes):
        key = (vec, env_id, noop_max, *changes.items())
        if key not in cache:
            actions = random_actions(900, 2, 4) if env_id == BREAKOUT else random_actions(2300, 1, 6)
            with pytest.MonkeyPatch.context() as patch:
                cache[key] = play_from(patch, noop_max, actions, env=env_id, vec=vec, **changes)
        return cache[key]

    return play_once


def assert_same_games(one, other, num_games):
    """Equal to the pixel, but for the last screen of a game."""
    (first, steps), (other_first, other_steps) = one, other
    np.testing.assert_array_equal(first, other_first)
    assert sum(int(not any(lost)) for lost in _ends(steps, "life_lost")) >= num_games
    for number, (step, other_step) in enumerate(zip(steps, other_steps, strict=True)):
        _assert_same_step(step, other_step, number)
        np.testing.assert_array_equal(step.observations, other_step.observations, err_msg=f"step {number}")


def _ends(steps, name):
    return [[step.infos[env].get(name)] for step in steps for env in np.flatnonzero(step.dones)]


def _assert_same_step(step, other, number):
    assert step.rewards.dtype == other.rewards.dtype == np.float32
    assert step.rewards.tolist() == other.rewards.tolist(), number
    assert step.dones.tolist() == other.dones.tolist(), number
    for name in ("life_lost", "TimeLimit.truncated"):
        assert step.values(name) == other.values(name), (number, name)
    for env, (info, other_info) in enumerate(zip(step.infos, other.infos, strict=True)):
        if not step.dones[env] or info.get("life_lost"):
            assert info["lives"] == other_info["lives"], number
        if step.dones[env]:
            last, other_last = info["terminal_observation"], other_info["terminal_observation"]
            assert last.dtype == other_last.dtype == np.uint8
            np.testing.assert_array_equal(last[:-1], other_last[:-1])
            if info.get("life_lost"):
                np.testing.assert_array_equal(last, other_last)


@pytest.mark.slow
@pytest.mark.parametrize("env_id,num_games", [(BREAKOUT, 6), (PONG, 2)])
@pytest.mark.parametrize("vec,noop_max", [("native", 0), ("subproc", 30)])
def test_kinds_agree_to_the_pixel_over_several_games(played, vec, noop_max, env_id, num_games):
    """With the same seed workers also draw the same number of frames without action."""
    assert_same_games(played(vec, env_id, noop_max), played("serial", env_id, noop_max), num_games)


@needs_envpool
@pytest.mark.slow
@pytest.mark.parametrize("env_id,num_games", [(BREAKOUT, 6), (PONG, 2)])
def test_envpool_agrees_to_the_pixel_but_for_the_screens_before_a_games_first(played, env_id, num_games):
    first, steps = played("envpool", env_id, 1)
    expected_first, expected = played("serial", env_id, 1)
    age = np.ones(len(first), np.int64)  # screens of the running game
    assert (first == first[:, -1:]).all(), "copies of the first one"
    assert (expected_first[:, :-1] == 0).all(), "black"
    np.testing.assert_array_equal(first[:, -1], expected_first[:, -1])
    num_ends = 0
    for number, (step, other) in enumerate(zip(steps, expected, strict=True)):
        _assert_same_step_of_envpool(step, other, number, age)
        over = step.dones & ~np.array([bool(lost) for lost in step.values("life_lost")])
        num_ends += over.sum()
        age = np.where(over, 1, age + 1)
        for env, screens in enumerate(np.minimum(age, 4)):
            np.testing.assert_array_equal(step.observations[env, -screens:], other.observations[env, -screens:])
            assert (step.observations[env, :-screens] == step.observations[env, -screens]).all() or screens == 4
    assert num_ends >= num_games


def _assert_same_step_of_envpool(step, other, number, age):
    if (age > 3).all():
        _assert_same_step(step, other, number)
    assert step.rewards.tolist() == other.rewards.tolist() and step.dones.tolist() == other.dones.tolist(), number


@pytest.mark.parametrize("vec", EVERY_KIND[1:])
def test_a_game_is_cut_after_the_same_number_of_steps_whatever_its_start(vec):
    """Frames without action, 0 to 30 here, do not count. The last screen of ALE's vector environment is another one."""
    changes = {"env_kwargs": {"max_episode_steps": 12}}
    for kind in ("serial", vec):
        _, steps = play(np.zeros((24, 4), np.int64), vec=kind, **changes)
        assert [bool(step.dones.all()) for step in steps] == ([False] * 11 + [True]) * 2
        assert not any(step.dones.any() for step in steps[:11])
        assert all(step.values("TimeLimit.truncated") == [True] * 4 for step in (steps[11], steps[23]))
        assert {info["lives"] for step in steps for info in step.infos} == {5}


@pytest.mark.parametrize("vec,noop_max", [("native", 0), pytest.param("envpool", 1, marks=needs_envpool)])
def test_the_last_screen_of_a_game_that_is_cut(monkeypatch, vec, noop_max):
    actions, changes = random_actions(10, 2, 4), {"env_kwargs": {"max_episode_steps": 10}}
    _, steps = play_from(monkeypatch, noop_max, actions, vec=vec, **changes)
    _, expected = play_from(monkeypatch, noop_max, actions, **changes)
    for info, right in zip(steps[-1].infos, expected[-1].infos, strict=True):
        last, right_last = info["terminal_observation"], right["terminal_observation"]
        np.testing.assert_array_equal(last[:-1], right_last[:-1])
        assert np.array_equal(last, right_last) == (vec == "envpool")


def test_a_game_is_cut_after_108000_frames():
    for vec in ("serial", "envpool"):
        assert atari.game_arguments(atari_config(vec=vec))["max_num_frames_per_episode"] == 108_000


@pytest.mark.parametrize(
    "vec,expected",
    [("serial", {1, 2, 3}), ("native", {0, 1, 2}), pytest.param("envpool", {1, 2, 3}, marks=needs_envpool)],
)
def test_games_start_with_a_random_number_of_frames_without_action(monkeypatch, vec, expected):
    """The number is read from the first screen: the cars of Freeway move in every frame."""
    import cv2

    game = gymnasium.make("ALE/Freeway-v5", frameskip=1, repeat_action_probability=0.0, obs_type="grayscale")
    frames = [game.reset(seed=0)[0], *(game.step(0)[0] for _ in range(3))]
    game.close()
    screens = [cv2.resize(frame, (84, 84), interpolation=cv2.INTER_AREA).tobytes() for frame in frames]
    assert len(set(screens)) == 4 and atari.NOOP_MAX == 30
    monkeypatch.setattr(atari, "NOOP_MAX", 3)
    with make_training_envs(atari_config(env="ALE/Freeway-v5", vec=vec, num_envs=12)) as envs:
        assert {screens.index(stack[-1].tobytes()) for stack in envs.reset()} == expected


@pytest.mark.parametrize("vec,noop_max", [("native", 0), pytest.param("envpool", 1, marks=needs_envpool)])
def test_fire_starts_games_in_the_same_way(monkeypatch, vec, noop_max):
    actions = random_actions(120, 2, 4) * (np.arange(120) > 30)[:, None]  # the ball is lost, and nobody else fires
    first, steps = play_from(monkeypatch, noop_max, actions, vec=vec, fire_on_reset=True)
    expected_first, expected = play_from(monkeypatch, 0, actions, fire_on_reset=True)
    np.testing.assert_array_equal(first[:, -1], expected_first[:, -1])
    for step, other in zip(steps, expected, strict=True):
        assert step.values("lives") == other.values("lives")
        np.testing.assert_array_equal(step.observations[:, -1], other.observations[:, -1])
    assert steps[29].infos[0]["lives"] == 4, "the ball flew"
    _, idle = play_from(monkeypatch, 0, actions[:30])
    assert idle[29].infos[0]["lives"] == 5


def test_fire_is_pressed_only_where_a_game_has_it(monkeypatch):
    freeway = "ALE/Freeway-v5"
    with_fire, without = (
        play_from(monkeypatch, 1, np.ones((3, 1), np.int64), env=freeway, fire_on_reset=fire) for fire in (True, False)
    )
    np.testing.assert_array_equal(with_fire[1][-1].observations, without[1][-1].observations)


@pytest.mark.parametrize("vec", IN_ONE_PROCESS)
def test_sticky_actions_repeat_actions_at_random(monkeypatch, vec):
    """Two games with the same actions part if actions are sticky, and stay together if not."""
    actions = np.repeat(random_actions(60, 1, 4, seed=1), 2, axis=1)
    for sticky_actions in (0.0, 0.5):
        noop_max = 1 if vec == "envpool" else 0
        first, steps = play_from(monkeypatch, noop_max, actions, vec=vec, sticky_actions=sticky_actions)
        np.testing.assert_array_equal(first[0], first[1])
        together = [np.array_equal(*step.observations[:, -1]) for step in steps]
        assert all(together) == (sticky_actions == 0.0)


@pytest.mark.slow
def test_sticky_actions_reach_workers():
    actions = random_actions(60, 2, 4)
    _, in_workers = play(actions, vec="subproc", sticky_actions=0.5)
    _, sticky = play(actions, sticky_actions=0.5)
    _, plain = play(actions)
    np.testing.assert_array_equal(in_workers[-1].observations, sticky[-1].observations)
    assert not np.array_equal(sticky[-1].observations, plain[-1].observations)


@pytest.mark.parametrize("vec", EVERY_KIND)
def test_other_numbers_of_frames_are_the_last_of_the_4(vec):
    actions = random_actions(6, 2, 4)
    first, steps = play(actions, vec=vec)
    for num_frames in (1, 2):
        fewer_first, fewer = play(actions, vec=vec, frame_stack=num_frames)
        assert fewer_first.shape == (2, num_frames, 84, 84)
        np.testing.assert_array_equal(fewer_first, first[:, -num_frames:])
        for step, all_four in zip(fewer, steps, strict=True):
            np.testing.assert_array_equal(step.observations, all_four.observations[:, -num_frames:])


@pytest.mark.parametrize("vec", EVERY_KIND)
def test_rewards_of_environments_are_points(vec):
    _, steps = play(random_actions(100, 2, 6), env="ALE/SpaceInvaders-v5", vec=vec)
    assert max(step.rewards.max() for step in steps) >= 5


# The preprocessing


def test_a_screen_is_the_maximum_of_the_last_two_of_4_frames(monkeypatch):
    import cv2

    actions = random_actions(40, 1, 4)
    first, steps = play_from(monkeypatch, 0, actions)
    game = gymnasium.make(BREAKOUT, frameskip=1, repeat_action_probability=0.0, obs_type="grayscale")
    frame, _ = game.reset(seed=0)
    screens = [np.zeros((84, 84), np.uint8)] * 3 + [cv2.resize(frame, (84, 84), interpolation=cv2.INTER_AREA)]
    np.testing.assert_array_equal(first[0], screens)
    for (action,), step in zip(actions, steps, strict=True):
        frames, rewards, *_ = zip(*[game.step(action) for _ in range(4)], strict=True)
        screens.append(cv2.resize(np.maximum(*frames[-2:]), (84, 84), interpolation=cv2.INTER_AREA))
        np.testing.assert_array_equal(step.observations[0], screens[-4:])
        assert step.rewards == [sum(rewards)]
    game.close()


def test_screens_are_those_of_gymnasiums_wrappers(monkeypatch):
    actions = random_actions(200, 1, 4)
    first, steps = play_from(monkeypatch, 0, actions, terminal_on_life_loss=False)
    game = gymnasium.make("ALE/Breakout-v5", frameskip=1, repeat_action_probability=0.0)
    wrapped = FrameStackObservation(AtariPreprocessing(game, noop_max=0), 4, padding_type="zero")
    np.testing.assert_array_equal(first[0], wrapped.reset(seed=0)[0])
    for (action,), step in zip(actions, steps, strict=True):
        observation, reward, terminated, truncated, _ = wrapped.step(action)
        assert (step.rewards[0], step.dones[0]) == (reward, terminated or truncated)
        if terminated or truncated:
            np.testing.assert_array_equal(step.infos[0]["terminal_observation"], observation)
            observation, _ = wrapped.reset()
        np.testing.assert_array_equal(step.observations[0], observation)
    wrapped.close()


def test_the_first_life_ends_where_gymnasiums_wrapper_ends_it(monkeypatch):
    for seed in range(3):
        actions = random_actions(200, 1, 4, seed)
        _, steps = play_from(monkeypatch, 0, actions)
        game = gymnasium.make(BREAKOUT, frameskip=1, repeat_action_probability=0.0)
        wrapped = AtariPreprocessing(game, noop_max=0, terminal_on_life_loss=True)
        wrapped.reset(seed=0)
        for (action,), step in zip(actions, steps, strict=True):
            _, reward, terminated, *_ = wrapped.step(action)
            assert (step.rewards[0], step.dones[0]) == (reward, terminated)
            if terminated:
                break
        wrapped.close()
        assert terminated and step.infos[0]["life_lost"]


def test_learned_rewards_are_those_of_gymnasiums_wrapper(monkeypatch):
    env_id, actions = "ALE/SpaceInvaders-v5", random_actions(150, 1, 6)
    _, steps = play_from(monkeypatch, 0, actions, env=env_id)
    points = np.array([step.rewards[0] for step in steps])
    game = gymnasium.make(env_id, frameskip=1, repeat_action_probability=0.0)
    clipped = ClipReward(AtariPreprocessing(game, noop_max=0), -1.0, 1.0)
    clipped.reset(seed=0)
    expected = [clipped.step(action)[1] for (action,) in actions]
    clipped.close()
    learned = scale_and_clip(points, atari_config(env=env_id))
    assert learned.tolist() == expected == np.sign(points).tolist() and points.max() > 1


# Lives


def test_losing_a_life_ends_an_episode_in_training_and_not_in_evaluation():
    config = atari_config(vec="native", fire_on_reset=True)
    actions = np.ones((200, 2), np.int64)  # FIRE
    with make_training_envs(config) as envs:
        envs.reset()
        steps = [envs.step(chosen) for chosen in actions]
    lost = [(infos[0]["lives"], infos[0].get("life_lost")) for _, _, dones, infos in steps if dones[0]]
    assert [lives for lives, is_lost in lost if is_lost][:4] == [4, 3, 2, 1]
    assert lost[4][1] is None, "the last life ends the game"
    for whole in (
        make_evaluation_envs(config, 0, 2),
        make_training_envs(change_config(config, {"terminal_on_life_loss": False})),
    ):
        with whole as envs:
            envs.reset()
            infos = [envs.step(chosen)[3][0] for chosen in actions]
        assert not any("life_lost" in info for info in infos)
        assert len([info for info in infos if "terminal_observation" in info]) == len(
            [is_lost for _, is_lost in lost if is_lost is None]
        )


class Invaders:
    """SpaceInvaders, in which shooting at random earns 5 to 30 points."""

    config = atari_config(env="ALE/SpaceInvaders-v5", num_steps=400, num_envs=2)
    actions = random_actions(400, 2, 6)

    def __init__(self):
        self.seen = []

    def act(self, observations, state):
        self.seen.append(state.copy())
        state += 1
        return self.actions[len(self.seen) - 1]


def test_a_lost_life_is_a_termination_that_resets_the_memory_and_not_the_score():
    game = Invaders()
    with make_training_envs(game.config) as envs:
        rollout = RolloutCollector(envs, 400, state_size=3).collect(game.act)
    _, steps = play(game.actions, env=game.config.env)
    lost = np.array([[bool(lost) for lost in step.values("life_lost")] for step in steps])
    dones = np.array([step.dones for step in steps])
    np.testing.assert_array_equal(rollout.terminated, dones)
    assert not rollout.truncated.any() and lost.sum() >= 4
    ages = np.array(game.seen)[:, :, 0]  # the state counts the steps of an episode
    assert (ages[1:][dones[:-1]] == 0).all() and (ages[1:][~dones[:-1]] > 0).all()
    rewards = np.array([step.rewards for step in steps])
    assert rewards.max() > 1, "points, not clipped"
    scores = []
    for step, env in np.argwhere(dones & ~lost):
        before = np.flatnonzero((dones & ~lost)[:step, env])
        start = before[-1] + 1 if len(before) else 0
        scores.append((rewards[start : step + 1, env].sum(), step + 1 - start))
    assert len(scores) >= 1
    assert list(zip(rollout.episode_returns, rollout.episode_lengths, strict=True)) == scores


@pytest.mark.parametrize("algo", ["a2c", "a3c", "ppo", "paac", "td_ac", "q_ac"])
def test_rewards_are_clipped_to_their_sign_by_default(algo):
    assert make_config({"algo": algo, "env": PONG}).reward_clip == 1.0
    assert make_config({"algo": algo, "env": PONG, "reward_clip": None}).reward_clip is None
    assert make_config({"algo": algo, "env": "CartPole-v1"}).reward_clip is None


# Resuming


def test_lives_and_screens_are_restored_in_mid_game():
    config = atari_config(vec="serial")
    actions = random_actions(160, 2, 4)
    with make_training_envs(config) as envs:
        envs.reset()
        for chosen in actions[:100]:
            envs.step(chosen)
        state = envs.get_state()
        assert (state["lives"] < 5).any()
        expected = [envs.step(chosen) for chosen in actions[100:]]
    with make_training_envs(config) as envs:
        envs.reset()
        envs.set_state(state)
        found = [envs.step(chosen) for chosen in actions[100:]]
    assert any(info.get("life_lost") for *_, infos in expected for info in infos)
    for (observations, rewards, dones, infos), right in zip(found, expected, strict=True):
        np.testing.assert_array_equal(observations, right[0])
        assert (rewards.tolist(), dones.tolist()) == (right[1].tolist(), right[2].tolist())
        assert [info.get("life_lost") for info in infos] == [info.get("life_lost") for info in right[3]]


def test_games_repeat_themselves(monkeypatch):
    config = atari_config(sticky_actions=0.25)
    with make_training_envs(config) as envs:
        observations = envs.reset()
        for chosen in random_actions(30, 2, 4):
            observations, *_ = envs.step(chosen)
        state = envs.get_state()
        assert find_unrepeatable(config, state, observations, 1000) is None
        assert find_unrepeatable(config, state, observations + 1, 1000)
    with make_training_envs(atari_config(vec="native")) as envs:
        observations = envs.reset()
        assert find_unrepeatable(atari_config(vec="native"), envs.get_state(), observations, 1000) is None


def test_a_state_without_lives_is_rejected():
    with make_training_envs(atari_config(terminal_on_life_loss=False)) as envs:
        envs.reset()
        state = envs.get_state()
    with make_training_envs(atari_config()) as envs, pytest.raises(ValueError, match="losing a life"):
        envs.reset()
        envs.set_state(state)


# Options and mistakes


@pytest.mark.parametrize(
    "name,value", [("sticky_actions", 0.25), ("fire_on_reset", True), ("terminal_on_life_loss", False)]
)
def test_options_of_atari_games_are_rejected_for_other_environments(name, value):
    with pytest.raises(ConfigError, match=rf"{name}.*Atari games, such as ALE/Pong-v5.*CartPole-v1"):
        make_config({"algo": "a2c", name: value})


def test_reinforce_takes_whole_games_alone():
    assert make_config({"algo": "reinforce", "env": PONG}).terminal_on_life_loss is False
    with pytest.raises(ConfigError, match=r"terminal_on_life_loss.*whole games"):
        make_config({"algo": "reinforce", "env": PONG, "terminal_on_life_loss": True})


def test_a_mode_and_a_difficulty_are_of_single_environments():
    config = atari_config(env=PONG, env_kwargs={"mode": 1, "difficulty": 2}, vec="auto", num_envs=1)
    assert resolve_vec(config).vec != "native"
    with make_training_envs(change_config(config, {"vec": "serial"})) as envs:
        (game,) = envs.unwrapped.envs
        assert (game.unwrapped._game_mode, game.unwrapped._game_difficulty) == (1, 2)
    for vec in ("native", "envpool"):
        with pytest.raises(ConfigError, match=r"(mode|difficulty).*--vec must be serial, subproc or ray"):
            make_training_envs(change_config(config, {"vec": vec}))


@pytest.mark.parametrize("vec", IN_ONE_PROCESS)
def test_the_full_action_space_is_taken_in_every_kind(vec):
    with make_training_envs(atari_config(env_kwargs={"full_action_space": True}, vec=vec)) as envs:
        assert envs.action_space.n == 18


@pytest.mark.parametrize("name", ["frameskip", "repeat_action_probability", "obs_type", "noop_max", "stack_num"])
@pytest.mark.parametrize("vec", KINDS)
def test_arguments_that_the_protocol_sets_are_rejected(vec, name):
    with pytest.raises(ConfigError) as error:
        make_training_envs(atari_config(env_kwargs={name: 1}, vec=vec))
    assert f"not {name!r}" in str(error.value) and "--sticky-actions" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("vec", KINDS)
@pytest.mark.parametrize(
    "kwargs,message",
    [
        ({"mode": 99}, "env_kwargs: mode of ALE/Pong-v5 must be one of 0, 1, got 99"),
        ({"difficulty": "abc"}, "env_kwargs: difficulty of ALE/Pong-v5 must be one of 0, 1, 2, 3, got 'abc'"),
        ({"full_action_space": "no"}, "env_kwargs: full_action_space must be true or false, got 'no'"),
    ],
)
def test_arguments_that_the_game_does_not_have_are_reported_with_those_it_has(vec, kwargs, message):
    with pytest.raises(ConfigError) as error:
        make_training_envs(atari_config(env=PONG, env_kwargs=kwargs, vec=vec))
    of_envpool = "envpool's Atari games take no" if vec == "envpool" and "full" not in message else None
    assert str(error.value).startswith(of_envpool or message)


@pytest.mark.parametrize(
    "env_id", ["Pong-v4", "PongDeterministic-v4", "Pong-ramNoFrameskip-v4", "Pongg-v5", "ALE/Pong"]
)
def test_an_id_like_that_of_a_game_is_answered_with_the_game(monkeypatch, env_id):
    monkeypatch.delitem(gymnasium.registry, env_id, raising=False)  # as before ale-py is imported
    for vec in ("auto", "serial", "native"):
        with pytest.raises(ConfigError) as error:
            make_training_envs(make_config({"algo": "a2c", "env": env_id, "vec": vec}))
        assert str(error.value) == f"environment {env_id!r}: there is no such id (did you mean 'ALE/Pong-v5'?)"


@pytest.mark.parametrize("cores,expected", [(1, 1), (2, 2), (64, 4)])
def test_the_network_has_as_many_threads_as_cores_where_one_process_learns(monkeypatch, cores, expected):
    monkeypatch.setattr(base, "usable_cores", lambda: cores)
    for algo in ("a2c", "ppo", "dqn", "soft_q"):
        assert make_config({"algo": algo, "env": PONG}).num_threads == expected
        assert make_config({"algo": algo, "env": PONG, "num_threads": 3}).num_threads == 3
        assert make_config({"algo": algo}).num_threads == 1
    for algo in ("a3c", "ga3c", "async_q"):
        assert make_config({"algo": algo, "env": PONG}).num_threads == 1


@pytest.mark.parametrize("max_steps", [0, 1.5, True, "many"])
def test_a_limit_of_steps_is_a_whole_number(max_steps):
    with pytest.raises(ConfigError, match="max_episode_steps must be a whole number of at least 1"):
        make_training_envs(atari_config(env_kwargs={"max_episode_steps": max_steps}))


@pytest.mark.parametrize("env_id", ["ALE/Braekout-v5", "BraekoutNoFrameskip-v4"])
@pytest.mark.parametrize("vec", ["auto", "serial", "native"])
def test_a_misspelt_game_is_answered_with_the_nearest(vec, env_id):
    with pytest.raises(ConfigError, match=r"ALE has no such game.*ALE/Breakout-v5") as error:
        make_training_envs(atari_config(env=env_id, vec=vec))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("vec", ["auto", "serial", "subproc", "native"])
def test_missing_ale_is_answered_with_what_to_install(nothing_installed, vec):
    with pytest.raises(ConfigError, match=r"ALE/Pong-v5.*pip install ale-py opencv-python-headless$"):
        make_training_envs(atari_config(env=PONG, vec=vec))


def test_missing_opencv_is_answered_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ConfigError, match=r"ALE/Pong-v5.*: pip install opencv-python-headless") as error:
        make_training_envs(atari_config(env=PONG))
    assert "\n" not in str(error.value)
    play(np.zeros((1, 2), np.int64), vec="native")  # does without


def test_auto_takes_ales_vector_environment(caplog):
    config = atari_config(env=PONG, vec="auto", num_envs=1)
    assert resolve_vec(config).vec == "native"
    caplog.set_level("INFO", "paddle_ac")
    log_vec(config)
    assert "ALE's vector environment" in caplog.text
    assert resolve_vec(change_config(config, {"frame_stack": 2})).vec == "native"


@pytest.mark.parametrize("algo", ["a3c", "ga3c", "async_q"])
def test_workers_take_ales_vector_environment_where_it_has_what_is_asked(algo):
    for changes, kind in (
        ({}, NativeVecEnv),
        ({"frame_stack": 1, "fire_on_reset": True}, NativeVecEnv),
        ({"env_kwargs": {"mode": 1}}, DummyVecEnv),
        ({"wrappers": ("gymnasium.wrappers:RecordEpisodeStatistics",)}, DummyVecEnv),
    ):
        config = make_config({"algo": algo, "env": PONG, "num_envs": 2, **changes})
        with worker_envs_fn(config)() as envs:
            assert type(envs) is kind
            assert envs.reset().shape == (2, config.frame_stack, 84, 84)


def test_no_two_workers_play_the_same_games():
    config = make_config({"algo": "a3c", "env": BREAKOUT, "num_envs": 4})
    first_screens = []
    for index, start in ((0, 0), (1, 0), (0, 1), (0, 0)):
        with worker_envs_fn(config, index, start)() as envs:
            envs.reset()
            first_screens.append(np.stack([envs.step(np.full(4, action))[0] for action in (1, 2, 3, 2)]))
    *different, again = first_screens
    np.testing.assert_array_equal(again, different[0])
    for one, other in itertools.combinations(different, 2):
        assert (one != other).any()


@pytest.mark.parametrize("vec", ["auto", "serial", "native", "envpool"])
def test_pictures_are_the_games_own(vec):
    env = make_rendered_env(atari_config(vec=vec), "rgb_array")
    observation, _ = env.reset(seed=0)
    assert observation.shape == (4, 84, 84)
    assert env.render().shape == (210, 160, 3)
    env.close()
