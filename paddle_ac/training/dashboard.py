"""VisualDL over the runs of a folder, in a process of its own."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from pathlib import Path
from typing import Any

from multiprocessing_env import Channel, WorkerDiedError, WorkerProcess
from paddle_ac.process import imports_contained
from paddle_ac.training.interrupt import interrupts

HOST = "127.0.0.1"
SECONDS_CACHED = 2.0  # what was read of the runs, so that curves grow as they are looked at

# VisualDL 2.5.3 shortens a name that is too wide for its axis of the parallel coordinates by taking a letter away and
# adding three dots, for ever: the browser hangs. Here the dots go too, and axes are far enough apart for our names.
PARALLEL_COORDINATES = "ParallelCoordinatesGraph.js"
MENDED = {
    'r.text(r.text().slice(0,-1)+"...")': 'r.text(r.text().replace(/[.]*$/,"").slice(0,-1)+"...")',
    "E=60,": "E=170,",
}


class Dashboard:
    """VisualDL over every run below a folder, on a free port of this machine.

    It is there until it is closed, or until this process is gone, however that came about.

    Args:
        folder: that holds the folders of runs, of which more may come.

    Attributes:
        address: for a browser.

    Raises:
        WorkerDiedError: VisualDL cannot be started.
    """

    def __init__(self, folder: str | Path):
        self._process = WorkerProcess("dashboard", _serve, (str(folder),))
        try:
            port_or_problem = self._process.channel.recv()
        except (EOFError, ConnectionError):
            raise WorkerDiedError(f"VisualDL {self._process.how_it_ended()}") from None
        if isinstance(port_or_problem, str):
            raise WorkerDiedError(f"VisualDL cannot be started: {port_or_problem}")
        self.address = f"http://{HOST}:{port_or_problem}/"

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


def _serve(channel: Channel, folder: str) -> None:
    """What the process does: it tells its port and answers browsers, until the other end of the channel is closed."""
    try:
        server = _make_server(folder)
    except (Exception, SystemExit) as error:
        channel.send(f"{type(error).__name__}: {error}")
        return
    channel.send(server.server_port)
    threading.Thread(target=_shut_down_after, args=(channel, server), daemon=True).start()
    server.serve_forever(poll_interval=0.1)


def _make_server(folder: str) -> Any:
    with imports_contained():
        from flask import Response, request
        from visualdl.server import lib
        from visualdl.server.app import create_app
        from visualdl.server.args import ParseArgs
        from werkzeug.serving import make_server

    # Both log on the terminal, where the training is: every request, and every run that has no evaluation yet.
    for name in ("werkzeug", "vdl_logger"):
        logging.getLogger(name).setLevel(logging.CRITICAL)

    find_indicators = lib.get_hparam_indicator

    def find_what_differs(reader: Any) -> dict[str, Any]:
        """Of the hyper-parameters, forty and more, those that runs can be compared by."""
        indicators = find_indicators(reader)
        differing = [indicator for indicator in indicators["hparams"] if len(indicator["values"]) > 1]
        return {**indicators, "hparams": differing or indicators["hparams"]}

    lib.get_hparam_indicator = find_what_differs
    app = create_app(ParseArgs(logdir=[folder], host=HOST, telemetry=False, cache_timeout=SECONDS_CACHED))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # which create_app undoes

    @app.after_request
    def mend(response: Response) -> Response:
        if request.path.endswith(PARALLEL_COORDINATES):
            script = response.get_data(as_text=True)
            for faulty, sound in MENDED.items():
                script = script.replace(faulty, sound)
            response.set_data(script)
        return response

    return make_server(HOST, 0, app)


def _shut_down_after(channel: Channel, server: Any) -> None:
    with contextlib.suppress(EOFError, ConnectionError):
        channel.recv()
    server.shutdown()
