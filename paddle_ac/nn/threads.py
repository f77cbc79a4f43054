"""Parts of a batch side by side in threads: NumPy's copies and matrix products release the GIL."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from paddle_ac.process_settings import BlasThreadLimit

Item = TypeVar("Item")

SMALLEST_PART = 4  # rows; handing fewer to another thread costs more than it saves


class RowThreads:
    """Calls a function for parts of a range of rows, in as many threads as it has.

    While it has several, matrix products of the whole process compute with one thread each: threads of the BLAS library
    and of this class would wait for one another.

    Args:
        num_threads: the calling thread is one of them.
    """

    def __init__(self, num_threads: int = 1):
        self.num_threads = num_threads
        self._blas = BlasThreadLimit(1, of_agent=False) if num_threads > 1 else None
        self._executor = ThreadPoolExecutor(num_threads - 1, "rows") if num_threads > 1 else None

    def parts(self, num_rows: int) -> list[slice]:
        """One slice for each thread that gets rows."""
        num_parts = max(min(self.num_threads, num_rows // SMALLEST_PART), 1)
        bounds = [num_rows * part // num_parts for part in range(num_parts + 1)]
        return [slice(first, last) for first, last in itertools.pairwise(bounds)]

    def run(self, function: Callable[[slice], None], num_rows: int) -> None:
        """Call ``function`` with every slice of ``parts``; an exception of one call is raised."""
        self.share(function, self.parts(num_rows))

    def share(self, function: Callable[[Item], None], items: Sequence[Item]) -> None:
        """Call ``function`` with each of at most ``num_threads`` items, each in a thread; an exception is raised."""
        first, *others = items
        futures = [self._executor.submit(function, item) for item in others] if self._executor is not None else []
        try:
            function(first)
        finally:
            for future in futures:
                future.exception()
        for future in futures:
            future.result()
