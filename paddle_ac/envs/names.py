"""Names for environments that are passed as objects: a configuration holds a name, which a run folder can record."""

from __future__ import annotations

import dataclasses
import itertools
import re
import sys
from collections.abc import Callable
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec

from multiprocessing_env import VecEnv
from paddle_ac.errors import ConfigError, quoted

NAMESPACE = "python"  # of the ids of objects that no other process can import
# Classes of environments side by side, and the value of ``vec`` in their place.
KINDS = {"SyncVectorEnv": "serial", "DummyVecEnv": "serial", "AsyncVectorEnv": "subproc", "SubprocVecEnv": "subproc"}


def name_env(env: str | EnvSpec | Callable[..., Any]) -> str:
    """Return the name that a configuration takes for an environment.

    Args:
        env: a name, which is returned as it is; a specification of Gymnasium; or a class or function that returns an
            environment.

    Returns:
        the id of a specification that is registered; ``module:name`` of a class or function that other processes can
        import; else ``python/Name-v0``, an id that is registered in this process for the object, with the next free
        version if another object has the name.

    Raises:
        ConfigError: anything else.
    """
    if isinstance(env, str):
        return env
    if isinstance(env, EnvSpec):
        return env.id if gymnasium.registry.get(env.id) == env else _register(env, env.name)
    if not callable(env) or _is_vectorised(env):
        hint = _what_to_write(env)
        raise ConfigError(f"env must be a name, a gymnasium EnvSpec, a class or a function{hint} (got {quoted(env)})")
    module, name = getattr(env, "__module__", None), getattr(env, "__qualname__", "")
    if module not in (None, "__main__") and find_attribute(sys.modules.get(module), name) is env:
        return f"{module}:{name}"
    return _register(env, getattr(getattr(env, "func", env), "__name__", type(env).__name__))


def _is_vectorised(env: Any) -> bool:
    return isinstance(env, type) and issubclass(env, (VecEnv, gymnasium.vector.VectorEnv))


def _what_to_write(env: Any) -> str:
    """The arguments in place of an environment, or of environments side by side, that exist already."""
    if isinstance(env, (list, tuple)) and env and all(map(callable, env)):
        name = getattr(env[0], "__name__", "make_env")
        return f"; agents make their environments themselves: write env={name}, num_envs={len(env)}"
    if isinstance(env, type):
        return f"; agents make their environments themselves: write env=..., vec={KINDS.get(env.__name__, 'auto')!r}"
    classic = getattr(env, "spec", None) or env  # gym.make(id), or gym.spec(id)
    if type(classic).__module__ == "gym.envs.registration":
        return f"; write env='gym:{classic.id}'"
    num_envs = getattr(env, "num_envs", None)
    if num_envs is None and not isinstance(env, gymnasium.Env):
        return ""
    spec = getattr(env, "spec", None) if num_envs is not None else env.unwrapped.spec
    if isinstance(spec, EnvSpec) and spec.id in gymnasium.registry:
        name, where = repr(spec.id), ""
    elif num_envs is None:
        name, where = type(env.unwrapped).__name__, ""
    else:
        name, where = "make_env", ", where make_env() returns one environment"
    vec = KINDS.get(type(env).__name__)
    side_by_side = "" if num_envs is None else f", num_envs={num_envs}" + (f", vec={vec!r}" if vec else "")
    return f"; agents make their environments themselves: write env={name}{side_by_side}{where}"


def find_attribute(module: Any, name: str) -> Any:
    """The attribute of a module by a dotted name, ``None`` if it has none."""
    for part in name.split("."):
        module = getattr(module, part, None)
    return module


def defined_in_script(name: str) -> bool:
    """Whether a name of a configuration is of an object that only this script or notebook has."""
    return name.startswith(("__main__:", f"{NAMESPACE}/"))


def registration_hint(env_id: str) -> str:
    """Hint to register the object of an id that is not registered, to end an error message; empty for other ids."""
    if not env_id.startswith(f"{NAMESPACE}/"):
        return ""
    return (
        "; it was passed from Python as an object, which this process does not know: call "
        f"gymnasium.register({env_id!r}, entry_point=...) with the object first"
    )


def _register(env: EnvSpec | Callable[..., Any], name: str) -> str:
    name = re.sub(r"\W", "", name) or "Env"
    for version in itertools.count():
        env_id = f"{NAMESPACE}/{name}-v{version}"
        spec = dataclasses.replace(env, id=env_id) if isinstance(env, EnvSpec) else EnvSpec(env_id, entry_point=env)
        if gymnasium.registry.setdefault(env_id, spec) == spec:
            return env_id
    raise AssertionError("versions never end")
