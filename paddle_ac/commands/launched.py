"""A command that ``paddle.distributed.launch`` started in several processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager

from paddle_ac.commands.exit_codes import code_of
from paddle_ac.errors import RankError
from paddle_ac.process import stop_with_parent
from paddle_ac.processes.linked_ranks import LinkedRanks
from paddle_ac.processes.links import Links, place_of_launch
from paddle_ac.processes.ranks import ALONE, Ranks
from paddle_ac.training.interrupt import interrupts


@contextmanager
def ranks_of_launch(arguments: list[str]) -> Iterator[Ranks]:
    """The ranks that a launch started, or ``ALONE`` without one. A rank stops when its launcher ends.

    An error ends all ranks, and rank 0 prints it. Mistakes of the user, which all ranks have in common, are not printed
    by the others.

    Args:
        arguments: of the command.
    """
    place = place_of_launch(os.environ)
    if place is None:
        yield ALONE
        return
    stop_with_parent()  # a launcher that is killed leaves no ranks behind
    os.environ.setdefault("GLOG_minloglevel", "2")  # Paddle's C++ code would log each connection
    with interrupts() as interrupt, closing(Links(place, arguments)) as links:
        try:
            yield LinkedRanks(links)
        except BaseException as error:
            code = interrupt.exit_code if isinstance(error, KeyboardInterrupt) else code_of(error)
            is_printed = links.report(error, code) or isinstance(error, RankError)
            if links.rank and is_printed and code in (0, 2):
                raise SystemExit(code) from None
            raise
