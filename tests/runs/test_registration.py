"""Environments that a script registers itself, in the script's process and in workers."""

from __future__ import annotations

import dataclasses
import multiprocessing
import subprocess
import sys
import textwrap

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import WrapperSpec

from paddle_ac.config import make_config
from paddle_ac.envs.make import make_training_envs, resolve_vec
from paddle_ac.errors import ConfigError
from tests.paths import ROOT

ROOT = str(ROOT)

SCRIPT = """
    import dataclasses, gymnasium, sys
    import numpy as np
    from gymnasium.utils import RecordConstructorArgs
    from paddle_ac.config import make_config
    from paddle_ac.envs.make import make_training_envs
    from tests.environments import Counting

    @dataclasses.dataclass
    class Level:
        bonus: int

    class Env(Counting):
        def __init__(self, level=None):
            super().__init__(terminate_at=4)
            self.level = level or Level(0)

        def step(self, action):
            observation, reward, *rest = super().step(action)
            return observation, reward + self.level.bonus, *rest

    def make_env(**kwargs):
        return Env(**kwargs)

    class Doubling(gymnasium.RewardWrapper, RecordConstructorArgs):
        def __init__(self, env, factor):
            RecordConstructorArgs.__init__(self, factor=factor)
            gymnasium.RewardWrapper.__init__(self, env)
            self.factor = factor

        def reward(self, reward):
            return self.factor * reward

    gymnasium.register("Plain-v0", "__main__:Env")
    gymnasium.register("Function-v0", "__main__:make_env", max_episode_steps=3)
    gymnasium.register("Level-v0", "__main__:Env", kwargs={"level": Level(10)})
    gymnasium.register("Wrapped-v0", "__main__:Env", kwargs={"level": Level(10)}, additional_wrappers=(
        Doubling.wrapper_spec(factor=3),
    ))
    gymnasium.register("ByClass-v0", Env)

    for env_id in ("Plain-v0", "Function-v0", "Level-v0", "Wrapped-v0", "ByClass-v0"):
        rewards = []
        for vec in ("serial", "subproc"):
            config = make_config({"algo": "a2c", "env": env_id, "num_envs": 2, "num_workers": 2, "vec": vec})
            with make_training_envs(config) as envs:
                envs.reset()
                rewards.append([envs.step([1, 2])[1].tolist() for _ in range(3)])
        assert rewards[0] == rewards[1], rewards
        print(env_id, rewards[0][0])
"""

EXPECTED = """\
Plain-v0 [1.0, 2.0]
Function-v0 [1.0, 2.0]
Level-v0 [11.0, 12.0]
Wrapped-v0 [33.0, 36.0]
ByClass-v0 [1.0, 2.0]
"""


def run(script: str, *flags: str) -> str:
    command = [sys.executable, *flags, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_registrations_of_a_script_work_in_workers_as_in_its_own_process():
    assert run(SCRIPT) == EXPECTED


def test_a3c_trains_in_an_environment_of_the_script(tmp_path):
    script = f"""
        import gymnasium
        from paddle_ac import make_config, train
        from tests.environments import RandomWalk

        class Env(RandomWalk):
            pass

        gymnasium.register("Mine-v0", "__main__:Env")
        small = {{"total_steps": 400, "eval_episodes": 1, "hidden_sizes": (8,), "num_workers": 2}}
        config = make_config({{"algo": "a3c", "env": "Mine-v0", **small}})
        print(train(config, {str(tmp_path / "run")!r}, progress=False)["stopped_by"])
    """
    assert run(script).splitlines()[-1] == "total_steps"


def cartpole(**changes):
    """The id of a registration like ``CartPole-v1`` but for these changes."""
    env_id = f"test/CartPole{len(gymnasium.registry)}-v0"
    spec = dataclasses.replace(gymnasium.spec("CartPole-v1"), id=env_id, **changes)
    gymnasium.registry[spec.id] = spec
    return spec.id


HALF = WrapperSpec("ClipReward", "gymnasium.wrappers:ClipReward", {"min_reward": 0.0, "max_reward": 0.5})


@pytest.mark.parametrize(
    "changes,is_native",
    [
        ({}, True),
        ({"max_episode_steps": 30}, True),
        ({"max_episode_steps": None}, False),
        ({"kwargs": {"sutton_barto_reward": True}}, True),
        ({"kwargs": {"is_slippery": True}}, False),
        ({"additional_wrappers": (HALF,)}, False),
    ],
)
def test_auto_takes_the_vectorised_version_only_where_it_is_the_registered_environment(monkeypatch, changes, is_native):
    monkeypatch.setattr("paddle_ac.envs.make._seconds_of_a_step", lambda config: 1e-6)
    config = make_config({"algo": "a2c", "env": cartpole(**changes), "num_envs": 8})
    assert resolve_vec(config).vec == ("native" if is_native else "serial")


def test_auto_applies_registered_wrappers():
    config = make_config({"algo": "a2c", "env": cartpole(additional_wrappers=(HALF,)), "num_envs": 8})
    with make_training_envs(config) as envs:
        envs.reset()
        assert envs.step(np.zeros(8, int))[1].tolist() == [0.5] * 8


def test_native_environments_with_wrappers_are_rejected_in_one_line():
    env = cartpole(additional_wrappers=(HALF,))
    with pytest.raises(ConfigError, match=r"registered with wrappers.*--vec must be serial, subproc or ray"):
        make_training_envs(make_config({"algo": "a2c", "env": env, "vec": "native"}))


def use_vec(channel, vec):
    """Report what a training of slow environments takes for ``vec`` in this process, and what it logs."""
    import logging

    import paddle_ac.envs.make

    paddle_ac.envs.make._seconds_of_a_step = lambda config: 1.0
    messages = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    logging.getLogger("paddle_ac").addHandler(handler)
    config = make_config({"algo": "a2c", "env": "Acrobot-v1", "num_envs": 2, "num_workers": 2, "vec": vec})
    try:
        with make_training_envs(config) as envs:
            channel.put((type(envs).__name__, messages))
    except ConfigError as error:
        channel.put((str(error), messages))


@pytest.mark.parametrize("vec", ["auto", "subproc"])
def test_a_daemonic_process_steps_environments_itself_or_says_why_it_cannot(vec):
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    process = context.Process(target=use_vec, args=(queue, vec), daemon=True)
    process.start()
    outcome, messages = queue.get()
    process.join()
    if vec == "auto":
        assert outcome == "DummyVecEnv" and len(messages) == 1 and "daemonic" in messages[0]
    else:
        assert "--vec subproc" in outcome and "take --vec serial" in outcome and "\n" not in outcome
