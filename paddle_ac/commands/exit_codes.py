"""The end of a command: one line for every error that has a name, and exit codes that scripts can rely on."""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from multiprocessing_env import ObservationError, VecEnvError
from paddle_ac.commands.terminal import FittedLog, fit
from paddle_ac.errors import CheckpointError, ConfigError, ExportError, NonFiniteError, RankError, reason_of, shortened
from paddle_ac.process import escape_output, nothing_left_running
from paddle_ac.training.interrupt import Interrupt, interrupts

OF_THE_USER = (ConfigError, CheckpointError, ObservationError)


def code_of(error: BaseException) -> int:
    """The exit code of a command that ends with an error."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    if isinstance(error, KeyboardInterrupt):
        return 130
    if isinstance(error, RankError):
        return error.exit_code
    return 2 if isinstance(error, OF_THE_USER) else 1


def show_log() -> None:
    """Print the log of the package; call it before importing Paddle and VisualDL, which set up logs of their own."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(FittedLog())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("paddle_ac").setLevel(logging.INFO)
    logging.raiseExceptions = False  # where nobody reads on, as after `| head`


@contextmanager
def exit_codes() -> Iterator[Interrupt]:
    """End a command, all of which runs inside, with one line and an exit code.

    2 after bad input, 1 after a fault that has a name, 141 if nobody reads the output, and 130, 143 or 129 after
    Ctrl-C, SIGTERM or SIGHUP, also if nothing was left to be stopped.
    """
    escape_output()
    with nothing_left_running(), interrupts() as interrupt:
        try:
            with _output_written(), _named_errors(), interrupt.at_once():
                yield interrupt
                if interrupt.is_set():
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            sys.exit(interrupt.exit_code)


@contextmanager
def _named_errors() -> Iterator[None]:
    """End with one line and an exit code after an error that has a name."""
    try:
        yield
    except BrokenPipeError:
        sys.exit(141)
    except (*OF_THE_USER, RankError) as error:
        _exit(code_of(error), _printable(str(error)))
    except (VecEnvError, NonFiniteError, ExportError) as error:
        _exit(1, error)
    except OSError as error:  # a full disk, no right to write
        has_file = error.filename and error.errno != errno.EMFILE  # any file would do
        _exit(1, f"{error.filename}: {reason_of(error)}" if has_file else reason_of(error))
    except MemoryError as error:
        _exit(1, f"out of memory: {error}" if str(error) else "out of memory")
    except (ImportError, RuntimeError) as error:
        if "failed to map segment" not in str(error):  # the C library's words for a library that memory has no room for
            raise
        _exit(1, f"out of memory: {shortened(str(error))}")


@contextmanager
def _output_written() -> Iterator[None]:
    """Flush the output: where that fails at the interpreter's end, Python exits with 120 and an obscure message."""
    code: Any = 1  # after a traceback
    try:
        yield
        code = 0
    except SystemExit as ended:
        code = ended.code
        raise
    finally:
        try:
            if sys.stdout is not None and not sys.stdout.closed:  # an environment may have replaced it
                sys.stdout.flush()
        except OSError as error:
            _discard_output(sys.stdout)
            if not code:
                if isinstance(error, BrokenPipeError):
                    sys.exit(141)
                _exit(1, reason_of(error))
        except KeyboardInterrupt:  # nobody reads it, and the interpreter would wait for that again
            _discard_output(sys.stdout)
            raise
        finally:
            try:
                if sys.stderr is not None and not sys.stderr.closed:
                    sys.stderr.flush()
            except OSError:
                _discard_output(sys.stderr)


def _discard_output(stream: Any) -> None:
    """Let what is left in the stream's buffer go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _printable(text: str) -> str:
    """A message as one line, without what a terminal would not print: names of files may hold anything."""
    line = " ".join(text.split())
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in line)


def _exit(code: int, error: Exception | str) -> NoReturn:
    first_line, newline, traceback = f"error: {error}".partition("\n")
    with suppress(OSError):  # nobody reads it
        print(f"{fit(first_line, sys.stderr)}{newline}{traceback}", file=sys.stderr)
    sys.exit(code)
