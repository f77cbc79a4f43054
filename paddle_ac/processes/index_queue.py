"""Queues of indices between processes: operating-system pipes that carry 4 bytes for each index.

Writes of 4 bytes are atomic, and a read returns all that is pending up to a limit, so a reader gets batches that grow
with the load. The operating system wakes readers, and nothing is pickled or copied besides the indices.
"""

from __future__ import annotations

import contextlib
import os
import select
import struct
from multiprocessing import reduction
from typing import Any

import numpy as np

STOP = -1  # the index in a stopped queue
CAPACITY = 16_384  # indices that Linux lets wait in a pipe (64 KiB); a writer to a full one would block


class QueueWriter:
    """The end of a queue that indices are put into; it is pickled only to start a process.

    Args:
        descriptor: of a pipe.
    """

    def __init__(self, descriptor: int):
        self._descriptor = descriptor

    def put(self, index: int) -> None:
        """Add an index."""
        os.write(self._descriptor, struct.pack("i", index))

    def close(self) -> None:
        """Close this end."""
        os.close(self._descriptor)

    def __getstate__(self) -> Any:
        return reduction.DupFd(self._descriptor)

    def __setstate__(self, duplicate: Any) -> None:
        self._descriptor = duplicate.detach()


class QueueReader:
    """The end of a queue that indices are taken from; it is pickled only to start a process.

    Args:
        descriptor: of a pipe.
    """

    def __init__(self, descriptor: int):
        self._open(descriptor)

    def _open(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)

    def get(self, max_count: int) -> np.ndarray | None:
        """Wait for indices and return them in order, 1 to ``max_count``; ``None`` if the queue is stopped.

        Several threads may wait: each index is returned to one of them.
        """
        data = os.read(self._descriptor, 4 * max_count)
        indices = np.frombuffer(data, np.int32)
        return None if not len(indices) or (indices == STOP).any() else indices

    def wait(self, timeout: float) -> np.ndarray:
        """Return the indices that are pending after up to ``timeout`` seconds; none if there are none by then.

        Raises:
            EOFError: the process with the other end has ended.
        """
        if not self._poll.poll(timeout * 1000):
            return np.empty(0, np.int32)
        data = os.read(self._descriptor, 4 * CAPACITY)
        if not data:
            raise EOFError
        return np.frombuffer(data, np.int32)

    def close(self) -> None:
        """Close this end."""
        os.close(self._descriptor)

    def __getstate__(self) -> Any:
        return reduction.DupFd(self._descriptor)

    def __setstate__(self, duplicate: Any) -> None:
        self._open(duplicate.detach())


class IndexQueue:
    """A queue of indices of at most ``CAPACITY``; each end is passed to the process that uses it.

    Attributes:
        reader: the end to take indices from.
        writer: the end to put them into.
    """

    def __init__(self) -> None:
        read_end, write_end = os.pipe()
        self.reader, self.writer = QueueReader(read_end), QueueWriter(write_end)
        self._is_open = True

    def get(self, max_count: int) -> np.ndarray | None:
        """As ``QueueReader.get``; a stopped queue returns ``None`` to every thread, and its indices are lost."""
        indices = self.reader.get(max_count)
        if indices is None:
            self.writer.put(STOP)  # for the next thread
        return indices

    def stop(self) -> None:
        """Make ``get`` return ``None`` in every thread."""
        self.writer.put(STOP)

    def close(self) -> None:
        """Close both ends in this process; may be called twice. No thread may wait in ``get``."""
        if self._is_open:
            self._is_open = False
            self.reader.close()
            with contextlib.suppress(OSError):
                self.writer.close()
