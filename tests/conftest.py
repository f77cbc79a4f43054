"""What every test can count on: nothing it started outlives it; and a browser for those that look at pages."""

from __future__ import annotations

import os
import shutil
import signal
import uuid
from collections.abc import Iterator

import psutil
import pytest
from selenium import webdriver

from paddle_ac.training import plotting
from tests.leftovers import leaked_shared_memory, shared_memory

# A shell starts its background jobs with SIGINT ignored, and the commands that tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

BROWSER_OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1500,1000",
)


def pytest_xdist_auto_num_workers() -> int:
    """Half as many workers again as there are cores, for many tests wait for processes that they have started."""
    return (os.cpu_count() or 1) * 3 // 2


@pytest.fixture(autouse=True)
def nothing_is_left_behind(monkeypatch):
    """No process that a test started, however indirectly, and no shared memory outlives it."""
    marker = uuid.uuid4().hex
    monkeypatch.setenv("STARTED_BY_TEST", marker)
    memory_before = shared_memory()
    yield
    _, alive = psutil.wait_procs(processes_started_by(marker), timeout=5)
    assert not alive, f"left running: {alive}"
    assert not leaked_shared_memory(memory_before)


@pytest.fixture(autouse=True)
def curves_are_not_drawn(monkeypatch):
    """A test that trains draws no picture at the end, which takes longer than a short training; commands do."""
    monkeypatch.setattr(plotting, "plot_run", lambda progress, picture, *_: picture.touch())


def processes_started_by(marker: str) -> list[psutil.Process]:
    """Children and grandchildren, also those whose parent is gone: they inherit the environment of the test."""
    found = []
    for process in psutil.process_iter():
        try:
            started_here = process.environ().get("STARTED_BY_TEST") == marker and process.pid != os.getpid()
            command = " ".join(process.cmdline())
            if started_here and not (process.ppid() == os.getpid() and is_multiprocessing_helper(command)):
                found.append(process)
        except psutil.Error:  # it has gone, or is somebody else's
            continue
    return found


def is_multiprocessing_helper(command: str) -> bool:
    """Python's own resource tracker and fork server, which live as long as the process that needed them."""
    return "resource_tracker" in command or "forkserver" in command


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[webdriver.Chrome]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("there is no chromium with its chromedriver on PATH")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for option in (*BROWSER_OPTIONS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(option)
    browser = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield browser
    browser.quit()
