"""Small environments whose every answer is known, and some that misbehave."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import random
import signal
import sys
import time

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Text, Tuple

FAULTS_OF_A_RUN = (
    "raise in __init__",
    "raise in reset",
    "raise in step",
    "killed",
    "interrupt",
    "stuck",
    "nan observation",
    "nan reward",
    "huge reward",
)


def misbehaving_id(fault: str) -> str:
    return f"test/{fault.title().replace(' ', '').replace('_', '')}-v0"


class Counting(gymnasium.Env):
    """Observes [seed or -1, step of the episode]; terminates or is cut at a given step; the reward is the action."""

    def __init__(self, terminate_at=None, truncate_at=None, dtype=np.float32, shape=(2,)):
        self.observation_space = Box(0, 255, shape, dtype)
        self.action_space = Discrete(5)
        self.terminate_at, self.truncate_at = terminate_at, truncate_at

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.seed_given = -1 if seed is None else seed
        self.count = 0
        return self._observe(), {"seed_given": self.seed_given}

    def step(self, action):
        self.count += 1
        terminated, truncated = self.count == self.terminate_at, self.count == self.truncate_at
        return self._observe(), float(action), terminated, truncated, {"count": self.count}

    def _observe(self):
        observation = np.zeros(self.observation_space.shape, self.observation_space.dtype)
        observation.flat[:2] = max(self.seed_given, 0) % 256, self.count
        return observation

    def render(self):
        return np.full((2, 3, 3), self.count, np.uint8)

    def reset_task(self):
        return self._observe() + 7


class Paying(Counting):
    """Pays 1 a step and terminates at a given step, or never."""

    def step(self, action):
        return super().step(1)


class RandomWalk(gymnasium.Env):
    """Noise from the environment's own generator, with ends at random: any slip in seeding shows."""

    def __init__(self, dtype=np.float32, shape=(3,), spaces="box"):
        self.observation_space = Box(0, 255, shape, dtype)
        spaces_by_name = {
            "box": Discrete(4),
            "multi": MultiDiscrete([3, 4]),
            "continuous": Box(-1, 1, (2,)),
            "binary": MultiBinary(40),
            "from one": Discrete(4, start=1),
            "dict": Dict({"move": Discrete(2)}),
        }
        self.action_space = spaces_by_name[spaces]

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._observe(), {}

    def step(self, action):
        end = self.np_random.random()
        reward = float(np.sum(action) + self.np_random.normal())
        return self._observe(), reward, end < 0.1, end > 0.9, {"noise": self.np_random.random()}

    def _observe(self):
        values = self.np_random.uniform(0, 255, self.observation_space.shape)
        return values.astype(self.observation_space.dtype)


class Filmed(RandomWalk):
    """Can be seen: its pictures are twelve shades lighter with every step of an episode, below a row of all shades.

    An episode's return is its number of steps and a thousandth of the actions, which must be in their space.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 25}  # noqa: RUF012

    def __init__(self, render_mode=None, spaces="box"):
        super().__init__(spaces=spaces)
        self.render_mode = render_mode

    def reset(self, *, seed=None, options=None):
        self.count = 0
        return super().reset(seed=seed)

    def step(self, action):
        assert self.action_space.contains(action)
        self.count += 1
        observation, _, *rest = super().step(action)
        return observation, 1 + float(np.sum(action)) / 1000, *rest

    def render(self):
        picture = np.full((33, 51, 3), 12 * self.count, np.uint8)
        picture[0] = 12 * (np.arange(51)[:, np.newaxis] % 22)
        return picture


class Identity(gymnasium.Env):
    """The right action is the number of the observation among ``codes``; an episode is cut after 20 steps."""

    codes = np.arange(3)

    def __init__(self, observation_space=None):
        self.observation_space = observation_space or Discrete(3)
        self.action_space = Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return self._draw(), {}

    def step(self, action):
        reward = float(action == self.wanted)
        self.count += 1
        return self._draw(), reward, False, self.count == 20, {}

    def _draw(self):
        self.wanted = int(self.np_random.integers(self.action_space.n))
        return self.codes[self.wanted]


class Aiming(gymnasium.Env):
    """The best action is where in the action's Box the observation says, -1 to 1; an episode is cut after 20 steps."""

    observation_space = Box(-1, 1, (1,), np.float32)

    def __init__(self, low=-1, high=1):
        self.action_space = Box(low, high, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return self._draw(), {}

    def step(self, action):
        low, high = self.action_space.low[0], self.action_space.high[0]
        reward = -float(((action[0] - low) / (high - low) * 2 - 1 - self.target) ** 2)
        self.count += 1
        return self._draw(), reward, False, self.count == 20, {}

    def _draw(self):
        self.target = self.np_random.uniform(-1, 1)
        return np.array([self.target], np.float32)


class Repeating(gymnasium.Env):
    """The right action, of any space of whole numbers, is what is observed; each part that is right is paid for."""

    def __init__(self, action_space):
        self.action_space = action_space
        self.observation_space = Box(0, 10, action_space.shape, np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return self._draw(), {}

    def step(self, action):
        reward = float(np.sum(action == self.wanted))
        self.count += 1
        return self._draw(), reward, False, self.count == 20, {}

    def _draw(self):
        most = getattr(self.action_space, "nvec", 2)
        self.wanted = self.np_random.integers(0, most, self.action_space.shape)
        return self.wanted.astype(np.float32)


class Recall(gymnasium.Env):
    """A coin is seen in the first step alone; two steps later it pays to say which side it showed."""

    observation_space = Discrete(3)
    action_space = Discrete(2)
    nothing = 2

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.coin = int(self.np_random.integers(2))
        self.steps = 0
        return self.coin, {}

    def step(self, action):
        self.steps += 1
        done = self.steps == 3
        return self.nothing, float(done and action == self.coin), done, False, {}


class Corridor(gymnasium.Env):
    """Of 20 actions only one is allowed in each state, and any other ends the episode; 10 allowed ones give 10.

    Args:
        masks: ``"info"`` (in the infos), ``"method"`` (``action_masks()``) or ``"none"``.
        multi: MultiDiscrete actions, two choices of 20.
    """

    def __init__(self, masks="info", multi=False):
        self.observation_space = Box(0, 1, (4,), np.float32)
        self.action_space = MultiDiscrete([20, 20]) if multi else Discrete(20)
        self.multi = multi
        if masks == "method":
            self.action_masks = self._mask
        self._gives_info = masks == "info"

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return self._observe(), self._info()

    def step(self, action):
        is_allowed = self._mask()[action] if not self.multi else self._mask()[action + [0, 20]].all()
        self.count += 1
        is_over = not is_allowed or self.count == 10
        return self._observe(), float(is_allowed), bool(is_over), False, self._info()

    def _mask(self):
        mask = np.zeros(20, np.int8)
        mask[self.allowed] = 1
        return np.concatenate([mask, mask[::-1]]) if self.multi else mask

    def _info(self):
        return {"action_mask": self._mask()} if self._gives_info else {}

    def _observe(self):
        self.allowed = int(self.np_random.integers(20))
        return self.np_random.random(4).astype(np.float32)


class Fuse(gymnasium.Env):
    """An episode of 60 steps with a reward of 1 each; the observation is the part of it that is over."""

    observation_space = Box(0, 1, (1,))
    action_space = Discrete(2)

    def reset(self, *, seed=None, options=None):
        self.count = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.count += 1
        return np.full(1, self.count / 60, np.float32), 1.0, self.count == 60, False, {}


class OneStepChain(gymnasium.Env):
    """One state, a reward of 1, and an episode of one step that is ``"terminated"`` or ``"truncated"``."""

    observation_space = Box(0, 1, (1,))
    action_space = Discrete(2)

    def __init__(self, how_it_ends):
        self.how_it_ends = how_it_ends

    def reset(self, *, seed=None, options=None):
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), 1.0, self.how_it_ends == "terminated", self.how_it_ends == "truncated", {}


class ContinuousIdentity(gymnasium.Env):
    """The right action is the observation, which is drawn anew each step; an episode is cut after 20 steps."""

    observation_space = Box(-1, 3, (2,))
    action_space = Box(-1, 3, (2,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return self._draw(), {}

    def step(self, action):
        reward = -float(np.square(action - self.wanted).sum())
        self.count += 1
        return self._draw(), reward, False, self.count == 20, {}

    def _draw(self):
        self.wanted = self.np_random.uniform(-1, 3, 2).astype(np.float32)
        return self.wanted


class Misbehaving(Counting):
    """Does what ``fault`` says at a step of its first episode, if the environment variable FAULTS is not ``off``."""

    def __init__(self, fault, at_step=3):
        super().__init__(truncate_at=10)
        self.fault = "" if os.environ.get("FAULTS") == "off" else fault
        self.at_step, self.steps_in_all = at_step, 0
        if self.fault == "raise in __init__":
            raise RuntimeError("no display here")

    def reset(self, *, seed=None, options=None):
        if self.fault == "raise in reset":
            raise RuntimeError("lost the level file")
        return super().reset(seed=seed, options=options)

    def step(self, action):
        observation, reward, terminated, truncated, info = super().step(action)
        self.steps_in_all += 1
        if self.steps_in_all == self.at_step:
            if self.fault == "raise in step":
                raise RuntimeError("the wheel came off")
            if self.fault == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.fault == "interrupt" and Misbehaving.is_first_to_interrupt():
                os.kill(os.getppid() if multiprocessing.parent_process() else os.getpid(), signal.SIGINT)
            if self.fault == "stuck":
                time.sleep(3600)
            if self.fault == "stuck with Python's lock":
                ctypes.PyDLL(None).sleep(3600)
            if self.fault == "nan observation":
                observation = observation * np.nan
            if self.fault == "nan reward":
                reward = float("nan")
            if self.fault == "huge reward":
                reward = 1e38
            if self.fault == "unpicklable info":
                info = {"lock": (lambda: 0)}
            if self.fault == "wrong shape":
                observation = observation[:1]
        return observation, reward, terminated, truncated, info

    interrupted = False

    @classmethod
    def is_first_to_interrupt(cls):
        """True once in a training: in the training's own process, or in its first worker."""
        first = not cls.interrupted and not multiprocessing.current_process().name.startswith("worker 1")
        cls.interrupted = True
        return first


class Panic(BaseException):
    """An exception that is no ``Exception``, such as the panic of an environment written in Rust."""


class Raising(Counting):
    """Raises an exception in a method, ``at_call`` being the first call that raises; not if FAULTS is ``off``."""

    EXCEPTIONS = {  # noqa: RUF012
        "runtime": RuntimeError("the cable is loose"),
        "exit": SystemExit(0),
        "exit with text": SystemExit("no licence"),
        "panic": Panic("index out of bounds"),
    }

    def __init__(self, where, what, at_call=1):
        super().__init__(truncate_at=10)
        self.where, self.what, self.calls_left = where, what, at_call
        self._maybe_raise("__init__")

    def reset(self, **arguments):
        self._maybe_raise("reset")
        return super().reset(**arguments)

    def step(self, action):
        self._maybe_raise("step")
        return super().step(action)

    def close(self):
        self._maybe_raise("close")

    def _maybe_raise(self, where):
        if where == self.where and os.environ.get("FAULTS") != "off":
            self.calls_left -= 1
            if self.calls_left <= 0:
                raise self.EXCEPTIONS[self.what]


class SlowEndless(Counting):
    """Episodes without an end, of steps that take a while."""

    def step(self, action):
        time.sleep(0.01)
        self.count %= 200
        return super().step(action)


class Slow(RandomWalk):
    """Steps that take longer than all of the tests' others."""

    def step(self, action):
        time.sleep(0.4)
        return super().step(action)


class OldGym:
    """An environment as gym before 0.26 had them: four results, ``seed``, and observations alone from ``reset``."""

    def __init__(self):
        self.observation_space = Box(0, 255, (2,), np.float32)
        self.action_space = Discrete(2)
        self.given = -1

    def seed(self, seed):
        self.given = seed

    def reset(self):
        self.count = 0
        return np.array([max(self.given, 0), 0], np.float32)

    def step(self, action):
        self.count += 1
        info = {"TimeLimit.truncated": True} if self.count == 4 else {}
        return np.array([max(self.given, 0), self.count], np.float32), 1.0, self.count == 4, info

    def close(self):
        pass


class Structured(RandomWalk):
    """Observes a Dict with a nested Dict and Tuple, and leaves of every kind, from the environment's own generator."""

    def __init__(self, spaces="box"):
        super().__init__(spaces=spaces)
        self.observation_space = Dict(
            {
                "camera": Box(0, 255, (4, 4, 1), np.uint8),
                "robot": Dict({"joints": Box(-1, 1, (3,)), "mode": Discrete(3, start=1)}),
                "switches": Tuple([MultiBinary(2), MultiDiscrete([2, 3])]),
            }
        )

    def _observe(self):
        draw = self.np_random
        robot = {"joints": draw.uniform(-1, 1, 3), "mode": int(draw.integers(1, 4))}
        switches = draw.integers(0, 2, 2), draw.integers(0, [2, 3])
        return {"camera": draw.integers(0, 256, (4, 4, 1), np.uint8), "robot": robot, "switches": switches}

    def reset_task(self):
        return self._observe()


class StructuredFilmed(Structured):
    """Can be seen: its pictures are black."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 25}  # noqa: RUF012

    def __init__(self, render_mode=None):
        super().__init__()
        self.render_mode = render_mode

    def render(self):
        return np.zeros((4, 4, 3), np.uint8)


class Restructuring(Structured):
    """Its observations do not belong to their space from a given observation on; its episodes do not end."""

    FAULTS = {  # noqa: RUF012
        "missing": lambda seen: {key: part for key, part in seen.items() if key != "camera"},
        "extra": lambda seen: {**seen, "radar": np.zeros(2)},
        "other": lambda seen: {"kamera" if key == "camera" else key: part for key, part in seen.items()},
        "nested": lambda seen: {**seen, "robot": {"joints": np.zeros(3)}},
        "length": lambda seen: {**seen, "switches": seen["switches"][:1]},
        "array": lambda seen: np.zeros(3, np.float32),
        "no tuple": lambda seen: {**seen, "switches": {"0": 1, "1": 2}},
        "dtype": lambda seen: {**seen, "camera": np.zeros((4, 4, 1))},
        "shape": lambda seen: {**seen, "robot": {**seen["robot"], "joints": np.zeros(4)}},
        "range": lambda seen: {**seen, "robot": {**seen["robot"], "mode": 4}},
        "nan": lambda seen: {**seen, "robot": {**seen["robot"], "joints": np.full(3, np.nan)}},
    }

    def __init__(self, fault="missing", at=10):
        super().__init__()
        self.fault, self.at, self.num_seen = fault, at, 0

    def step(self, action):
        observation, reward, *_ = super().step(action)
        return observation, reward, False, False, {}

    def _observe(self):
        self.num_seen += 1
        seen = super()._observe()
        return seen if self.num_seen < self.at else self.FAULTS[self.fault](seen)


class Asking(gymnasium.Env):
    """Has a text in its observation, which no array can hold."""

    observation_space = Dict({"position": Box(0, 1, (2,)), "question": Text(10)})
    action_space = Discrete(2)


class Noisy(gymnasium.Env):
    """Observes noise of a ``source``; an episode is cut after 30 steps."""

    observation_space = Box(0, 1, (2,), np.float32)  # of the class: all instances share it
    action_space = Discrete(2)

    def __init__(self, source="space"):
        self.source = source

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return self._observe(), {}

    def step(self, action):
        self.count += 1
        return self._observe(), float(action), False, self.count == 30, {}

    def _observe(self):
        if self.source == "space":
            return self.observation_space.sample()
        if self.source == "global":
            return np.array([np.random.rand(), random.random()], np.float32)
        if self.source == "system":
            return np.frombuffer(os.urandom(2), np.uint8).astype(np.float32) / 255
        return self.np_random.random(2, np.float32)


class NoPaddle(RandomWalk):
    """Refuses to be played in a process that has imported Paddle."""

    def step(self, action):
        assert "paddle" not in sys.modules
        return super().step(action)


gymnasium.register("test/Identity-v0", Identity)
gymnasium.register("test/Raising-v0", Raising)
gymnasium.register("test/NoPaddle-v0", NoPaddle)
gymnasium.register("test/Deadly-v0", Misbehaving, kwargs={"fault": "killed", "at_step": 50})
gymnasium.register("test/Walk-v0", RandomWalk)
gymnasium.register("test/Slow-v0", Slow)
gymnasium.register("test/Endless-v0", Counting)
gymnasium.register("test/SlowEndless-v0", SlowEndless)
gymnasium.register("test/Filmed-v0", Filmed)
gymnasium.register("test/FilmedContinuous-v0", Filmed, kwargs={"spaces": "continuous"})
gymnasium.register("test/Asking-v0", Asking)
gymnasium.register("test/ActingDict-v0", RandomWalk, kwargs={"spaces": "dict"})
gymnasium.register("test/Structured-v0", Structured)
gymnasium.register("test/StructuredContinuous-v0", Structured, kwargs={"spaces": "continuous"})
gymnasium.register("test/StructuredFilmed-v0", StructuredFilmed)
gymnasium.register("test/Restructuring-v0", Restructuring)
gymnasium.register("test/Continuous-v0", RandomWalk, kwargs={"spaces": "continuous"})
gymnasium.register("test/Binary-v0", RandomWalk, kwargs={"spaces": "binary"})
gymnasium.register("test/FromOne-v0", RandomWalk, kwargs={"spaces": "from one"})
for fault in FAULTS_OF_A_RUN:
    gymnasium.register(misbehaving_id(fault), Misbehaving, kwargs={"fault": fault, "at_step": 503})
for source in ("space", "global", "system", "own"):
    gymnasium.register(f"test/Noisy-{source}-v0", Noisy, kwargs={"source": source})
