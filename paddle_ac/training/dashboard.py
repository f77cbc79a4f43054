"""VisualDL over the runs of a folder, in a process of its own."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import stat
import sys
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from multiprocessing_env import Channel, WorkerDiedError, WorkerProcess
from paddle_ac.errors import ConfigError, shortened
from paddle_ac.process import imports_contained
from paddle_ac.training.interrupt import interrupts

HOST = "127.0.0.1"
MAX_RECORD_BYTES = 2**30  # of a log; an image has some hundred thousand
SECONDS_CACHED = 2.0  # for which data of the runs are kept, so that curves grow as they are looked at

# VisualDL 2.5.3 shortens a name that is too wide for its axis of the parallel coordinates by taking a letter away and
# adding three dots, for ever: the browser hangs. Here the dots go too, and axes are far enough apart for our names.
PARALLEL_COORDINATES = "ParallelCoordinatesGraph.js"
MENDED = {
    'r.text(r.text().slice(0,-1)+"...")': 'r.text(r.text().replace(/[.]*$/,"").slice(0,-1)+"...")',
    "E=60,": "E=170,",
}


class Dashboard:
    """VisualDL over every run below a folder, in a process of its own.

    It serves until it is closed, or until this process ends in whatever way. A log that is damaged is left out from
    the damage on, and named on standard error. Requests whose Host header is neither this machine's own name for
    itself nor the address they came to are rejected, because a web page whose name resolves to this machine (DNS
    rebinding) could read the runs otherwise.

    Args:
        folder: holds the folders of runs; more may be added.
        host: address to listen at; only this machine reaches the default.
        port: to listen at; 0 for a free one.

    Attributes:
        address: for a browser.

    Raises:
        ConfigError: the address cannot be listened at.
        WorkerDiedError: VisualDL cannot be started.
    """

    def __init__(self, folder: str | Path, host: str = HOST, port: int = 0):
        self._process = WorkerProcess("dashboard", _serve, (str(folder), host, port))
        try:
            port_or_problem = self._process.channel.recv()
        except (EOFError, ConnectionError):
            raise WorkerDiedError(f"VisualDL {self._process.how_it_ended()}") from None
        if not isinstance(port_or_problem, int):
            self.close()
            raise port_or_problem
        self.address = f"http://{f'[{host}]' if ':' in host else host}:{port_or_problem}/"

    def stay(self) -> None:
        """Wait for Ctrl-C.

        Raises:
            KeyboardInterrupt: SIGTERM or SIGHUP came instead.
            WorkerDiedError: VisualDL has ended by itself.
        """
        with interrupts() as interrupt:
            try:
                while self._process.process.is_alive():
                    self._process.process.join(1.0)  # without a limit, Ctrl-C would have no effect on Windows
            except KeyboardInterrupt:
                if interrupt.number not in (None, signal.SIGINT):
                    raise
                interrupt.clear()
                return
        raise WorkerDiedError(f"VisualDL {self._process.how_it_ended()}")

    def close(self) -> None:
        """End it."""
        self._process.channel.close()
        self._process.end(patience=2.0)

    def __enter__(self) -> Dashboard:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _serve(channel: Channel, folder: str, host: str, port: int) -> None:
    """Send the port, or what is wrong, and answer browsers until the other end of the channel is closed."""
    try:
        listener = _listen(host, port)
        server = _make_server(folder, host, listener)
    except ConfigError as error:
        channel.send(error)
        return
    except (Exception, SystemExit) as error:
        channel.send(WorkerDiedError(f"VisualDL cannot be started: {type(error).__name__}: {error}"))
        return
    channel.send(server.port)
    threading.Thread(target=_shut_down_after, args=(channel, server), daemon=True).start()
    server.serve_forever(poll_interval=0.1)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except (OSError, UnicodeError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).partition(" (while")[0]
        raise ConfigError(f"cannot listen at --host {shortened(host)} --port {port}: {reason}") from None


def _make_server(folder: str, host: str, listener: socket.socket) -> Any:
    with imports_contained():
        from flask import Response, request
        from visualdl.reader import reader as log_reader
        from visualdl.server import lib
        from visualdl.server.app import create_app
        from visualdl.server.args import ParseArgs
        from visualdl.server.data_manager import Reservoir
        from werkzeug.serving import make_server

    # Both log on the terminal, where the training is: every request, and every run that has no evaluation yet.
    for name in ("werkzeug", "vdl_logger"):
        logging.getLogger(name).setLevel(logging.CRITICAL)

    find_indicators = lib.get_hparam_indicator

    def find_what_differs(reader: Any) -> dict[str, Any]:
        """Indicators without the hyper-parameters, of over forty, that are the same in all runs (unless all are)."""
        indicators = find_indicators(reader)
        differing = [indicator for indicator in indicators["hparams"] if len(indicator["values"]) > 1]
        return {**indicators, "hparams": differing or indicators["hparams"]}

    read_items = Reservoir.get_items

    def read_latest_hyper_parameters(reservoir: Any, run: str, tag: str) -> list[Any]:
        """Items of a tag; of hyper-parameters only those since the last resume, where VisualDL would read the first."""
        items = read_items(reservoir, run, tag)
        return items[-1:] if tag == "hparam" else items

    Reservoir.get_items = read_latest_hyper_parameters
    lib.get_hparam_indicator = find_what_differs
    log_reader.RecordReader = _RecordReader
    app = create_app(ParseArgs(logdir=[folder], host=host, telemetry=False, cache_timeout=SECONDS_CACHED))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # which create_app undoes

    @app.before_request
    def check_host() -> Response | None:
        arrived_at = request.environ["werkzeug.socket"].getsockname()[0].removeprefix("::ffff:")
        if _name_of(request.headers.get("Host", "")) in {"localhost", "127.0.0.1", "::1", host.lower(), arrived_at}:
            return None
        return Response(f"This dashboard answers at http://{arrived_at}:{server.port}/ only.\n", 403)

    @app.after_request
    def mend(response: Response) -> Response:
        if request.path.endswith(PARALLEL_COORDINATES):
            script = response.get_data(as_text=True)
            for faulty, sound in MENDED.items():
                script = script.replace(faulty, sound)
            response.set_data(script)
        return response

    server = make_server(host, listener.getsockname()[1], app, fd=listener.fileno())
    return server


def _name_of(host_header: str) -> str | None:
    """The host of a Host header, without its port and brackets."""
    try:
        return urlsplit(f"//{host_header}").hostname
    except ValueError:
        return None


class _RecordReader:
    """Reads the records of a VisualDL log, in place of VisualDL's own, which one damaged log ends for all runs.

    Args:
        filepath: the log.
        dir: the run's folder, as VisualDL has it.
    """

    def __init__(self, filepath: str, dir: str | None = None):
        self.dir = dir
        self._path = filepath
        self._position = 0
        self._is_damaged = False

    def get_remain(self) -> list[bytes]:
        """The records since the last call; one that is still being written is left for the next."""
        records: list[bytes] = []
        try:
            if not self._is_damaged:
                self._read_into(records)
        except (OSError, ValueError) as error:
            self._is_damaged = True
            told = getattr(error, "strerror", None) or error
            print(f"left out: {self._path} from byte {self._position:,} on: {told}", file=sys.stderr, flush=True)
        return records

    def _read_into(self, records: list[bytes]) -> None:
        status = os.stat(self._path)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is no regular file")
        self._position = min(self._position, status.st_size)  # a run that resumes cuts its log back to a checkpoint
        with open(self._path, "rb") as file:
            file.seek(self._position)
            while len(head := file.read(8)) == 8:
                length = int.from_bytes(head, "little")
                if length > MAX_RECORD_BYTES:
                    raise ValueError("it is damaged")
                if self._position + 8 + length > status.st_size:
                    return
                data = file.read(length)
                _check_record(data)
                records.append(data)
                self._position += 8 + length


def _check_record(data: bytes) -> None:
    from google.protobuf.message import DecodeError
    from visualdl.proto.record_pb2 import Record

    try:
        values = Record.FromString(data).values
    except DecodeError:
        values = []
    if not (len(values) and values[0].tag and values[0].WhichOneof("one_value")):
        raise ValueError("it is damaged")


def _shut_down_after(channel: Channel, server: Any) -> None:
    with contextlib.suppress(EOFError, ConnectionError):
        channel.recv()
    server.shutdown()
