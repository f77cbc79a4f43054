"""Ids of Atari games: those of ALE, the older ones without frame skip, and those of envpool."""

from __future__ import annotations

import difflib
import functools
import importlib.util
import re
from pathlib import Path

ID = re.compile(r"(?:ale_py:)?(?:ALE/(?P<ale>\w+)-v5|(?P<old>\w+)NoFrameskip-v4|(?P<envpool>\w+)-v5)")
LIKE_ID = re.compile(r"(?:ale_py:)?(?:ALE/)?(?P<game>\w+?)(?:-ram)?(?:Deterministic|NoFrameskip)?(?:-v\d+)?")


def atari_game(env_id: str) -> str | None:
    """The name of the game as in the id of ALE, such as ``"SpaceInvaders"``; ``None`` for other environments.

    ``ALE/Pong-v5`` and ``PongNoFrameskip-v4`` are ids of Atari games, whether or not there is such a game.
    ``Pong-v5``, as envpool has it, is one if an installed package has the game.
    """
    match = ID.fullmatch(env_id)
    if match is None:
        return None
    name = match["ale"] or match["old"]
    if name is None and match["envpool"] in _installed_games():
        return match["envpool"]
    return name


def similar_game(env_id: str) -> str | None:
    """The id of ALE for an id that does not name an Atari game but looks like one, such as ``Pong-v4`` or ``Pongg-v5``.

    ``None`` if no installed game has nearly that name.
    """
    match = LIKE_ID.fullmatch(env_id)
    matches = difflib.get_close_matches(match["game"], _installed_games(), n=1, cutoff=0.8) if match else []
    return f"ALE/{matches[0]}-v5" if matches else None


@functools.cache
def _installed_games() -> frozenset[str]:
    """The games whose ROM comes with ale-py or envpool; neither is imported."""
    roms: list[Path] = []
    for package, folder in (("ale_py", "roms"), ("envpool_assets", "atari/roms")):
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin is not None:
            roms += Path(spec.origin).parent.joinpath(folder).glob("*.bin")
    return frozenset(rom.stem.title().replace("_", "") for rom in roms)
