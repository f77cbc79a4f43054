"""What VisualDL shows of runs, seen in a browser; and that the dashboard ends with the training."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from paddle_ac.config import make_config
from paddle_ac.training.dashboard import Dashboard
from paddle_ac.training.runs import resume, train
from tests.environments import misbehaving_id
from tests.short_runs import QUICK, run_tool, start_tool, wait_until
from tests.tool_calls import run_main

pytestmark = pytest.mark.slow

NAMES = ("slow-learner", "quick-learner")


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """Two runs with names of their own."""
    folder = tmp_path_factory.mktemp("dashboard") / "runs"
    for name, learning_rate in zip(NAMES, (1e-3, 2e-3), strict=True):
        train(make_config({**QUICK, "total_steps": 3020, "learning_rate": learning_rate}), str(folder / name))
    return folder


@pytest.fixture(scope="module")
def dashboard(runs) -> Iterator[Dashboard]:
    with Dashboard(runs) as dashboard:
        yield dashboard


class Page:
    """A page of the dashboard in a browser; whatever is looked for is waited for."""

    def __init__(self, browser: webdriver.Chrome, dashboard: Dashboard, name: str):
        self.browser = browser
        browser.get(f"{dashboard.address}app/{name}")

    def wait(self, condition, what: str):
        return WebDriverWait(self.browser, 30).until(lambda _: condition(), f"it never came: {what}")

    def has(self, *texts: str) -> None:
        self.wait(lambda: all(text in self.text() for text in texts), str(texts))

    def text(self) -> str:
        return self.browser.execute_script("return document.body.innerText")

    def all(self, selector: str) -> list:
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def colours_of(self, element) -> set[int]:
        """Which twelfths of the circle of colours are drawn, in more than a few pixels; black to white is none."""
        pixels = np.asarray(Image.open(io.BytesIO(element.screenshot_as_png)).convert("HSV"), int).reshape(-1, 3)
        hues = pixels[(pixels[:, 1] > 100) & (pixels[:, 2] > 80), 0] * 12 // 256
        return {int(hue) for hue, count in zip(*np.unique(hues, return_counts=True), strict=True) if count > 100}


@pytest.fixture
def open_page(browser, dashboard):
    return lambda name: Page(browser, dashboard, name)


def test_the_curves_of_two_runs_are_seen_by_name(open_page):
    page = open_page("scalar")
    page.has(*NAMES, "charts", "eval", "losses")
    assert len(page.wait(lambda: page.all("canvas"), "charts")) > 1
    page.all("input[placeholder*='Search tags']")[0].send_keys("charts/episode_return")
    page.wait(lambda: len(page.all("canvas")) == 1, "the chart that was searched for")
    chart = page.all("canvas")[0]
    page.wait(lambda: len(page.colours_of(chart)) >= 2, "a curve of each run")
    picture = Image.open(io.BytesIO(page.browser.get_screenshot_as_png()))
    assert picture.size[0] == 1500 and picture.convert("L").getextrema()[0] < 100


def test_hyper_parameters_are_compared_with_the_final_figures(open_page, dashboard):
    page = open_page("hyper-parameter")
    figures = ("eval/mean_return", "eval/best_mean_return", "charts/episode_return", "charts/steps_per_second")
    page.has(*NAMES, "learning_rate", "0.001", "0.002", *figures)
    assert "gamma" not in page.text(), "it is the same in both"
    page.browser.find_element(By.XPATH, "//*[text()='Parallel Coordinates View']").click()
    page.wait(lambda: len(page.all("svg path.line")) == 2, "a line of each run")
    axes = [axis.text for axis in page.all("svg .indicator text")]
    assert axes == ["learning_rate", *figures]
    page.wait(lambda: len(page.colours_of(page.all("svg path.line")[0].find_element(By.XPATH, "../.."))) >= 1, "lines")


def test_the_record_has_every_hyper_parameter(dashboard):
    runs = json.load(urllib.request.urlopen(f"{dashboard.address}app/api/hparams/list"))["data"]
    assert len(runs) == 2
    for run in runs:
        config = make_config({"algo": "a2c", "hidden_sizes": (16,)}).model_dump()
        assert run["hparams"].keys() == {name for name in config if config[name] is not None}
        assert run["hparams"]["hidden_sizes"] == "16" and run["hparams"]["normalize_rewards"] == "false"
        assert all(value is not None for value in run["metrics"].values())


def test_hyper_parameters_of_a_resumed_run_are_those_that_it_resumed_with(tmp_path):
    config = make_config({**QUICK, "total_steps": 320, "vec": "serial", "eval_episodes": 1})
    train(config, str(tmp_path / "runs" / "run"))
    resume(str(tmp_path / "runs" / "run"), {"total_steps": 640})
    with Dashboard(tmp_path / "runs") as dashboard:
        (run,) = json.load(urllib.request.urlopen(f"{dashboard.address}app/api/hparams/list"))["data"]
        indicators = json.load(urllib.request.urlopen(f"{dashboard.address}app/api/hparams/indicators"))["data"]
    assert run["hparams"]["total_steps"] == 640
    assert [each["values"] for each in indicators["hparams"] if each["name"] == "total_steps"] == [[640]]


def test_policy_and_values_are_seen_as_histograms(open_page):
    page = open_page("histogram")
    page.has(*NAMES, "critic", "policy")
    charts = page.wait(lambda: page.all("canvas"), "charts")
    assert len(charts) == 2
    for chart in charts:
        page.wait(lambda chart=chart: page.colours_of(chart), "a histogram")


def test_episodes_are_seen_as_images(open_page):
    page = open_page("sample/image")
    page.has(*NAMES, "eval/episode", "Step: 1000", "Sample: 1/4")
    images = page.wait(lambda: [image for image in page.all("img[src^=blob]") if image.size["height"] > 100], "images")
    assert len(images) == 2
    for image in images:
        page.wait(lambda image=image: page.colours_of(image), "the pole")


def test_the_configuration_is_seen_as_text(open_page):
    page = open_page("sample/text")
    page.has(*NAMES, "{algo: a2c, env: CartPole-v1", "learning_rate: 0.002")


def test_the_network_is_seen_as_a_graph(open_page):
    page = open_page("graph/dynamic_graph")
    page.has(*NAMES)
    page.wait(lambda: page.all("iframe"), "the graph")
    page.browser.switch_to.frame(page.all("iframe")[0])
    shapes = {f"-1\N{MULTIPLICATION SIGN}{features}" for features in (4, 16, 2)}
    parts = {"observations", "actor_torso", "actor_head", "critic_torso", "critic_head", *shapes}
    page.wait(lambda: parts <= {text.text for text in page.all("svg text")}, f"{parts}")
    page.browser.switch_to.default_content()


# ------------------------------------------------------------------------------------------- who may read, and what


def status_of(address: str, host: str | None) -> int:
    """The status of a request for the list of runs that names a host."""
    place = urllib.parse.urlsplit(address)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=60)
    connection.putrequest("GET", "/app/api/runs", skip_host=True)
    if host is not None:
        connection.putheader("Host", host.replace("PORT", str(place.port)))
    connection.endheaders()
    with contextlib.closing(connection):
        return connection.getresponse().status


def test_a_web_page_of_another_name_cannot_read_the_runs(dashboard):
    for host in ("127.0.0.1:PORT", "localhost:PORT", "LOCALHOST", "[::1]:PORT"):
        assert status_of(dashboard.address, host) == 200, host
    for host in ("evil.example:PORT", "127.0.0.1.evil.example", "10.1.2.3", "localhost.evil.example", "", "[", None):
        assert status_of(dashboard.address, host) == 403, host


def test_an_address_that_is_asked_for_is_listened_at(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    with Dashboard(tmp_path, "0.0.0.0", port) as dashboard:
        assert dashboard.address == f"http://0.0.0.0:{port}/"
        assert status_of(f"http://127.0.0.1:{port}/", "0.0.0.0:PORT") == 200
        assert status_of(f"http://127.0.0.1:{port}/", "evil.example") == 403


def test_an_address_that_cannot_be_listened_at_is_one_line(capsys, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, _, errors = run_main(capsys, "dashboard.py", str(tmp_path), "--port", str(port))
    assert (code, errors) == (
        2,
        f"error: cannot listen at --host 127.0.0.1 --port {port}: Address already in use\n",
    )


def damaged_logs(log: bytes) -> dict[str, bytes]:
    return {
        "length": b"\xff" * 8 + log[8:],
        "zeros": b"\0" * 64,
        "text": b"this is no log of VisualDL, but a text that is longer than a record's length" * 9,
        "flipped": log[:8] + bytes(byte ^ 0xFF for byte in log[8:60]) + log[60:],
    }


def test_damaged_logs_are_named_and_the_other_runs_are_shown(runs, tmp_path):
    whole = runs / NAMES[0] / "vdlrecords.run.log"
    shutil.copytree(whole.parent, tmp_path / "runs" / "whole")
    for name, content in damaged_logs(whole.read_bytes()).items():
        (tmp_path / "runs" / name).mkdir()
        (tmp_path / "runs" / name / "vdlrecords.run.log").write_bytes(content)
    (tmp_path / "runs" / "cut").mkdir()  # as while a record is being written: nothing to complain of
    (tmp_path / "runs" / "cut" / "vdlrecords.run.log").write_bytes(whole.read_bytes()[:-7])
    os.mkfifo(tmp_path / "runs" / "vdlrecords.pipe")
    process = start_tool("dashboard.py", str(tmp_path / "runs"))
    try:
        address = address_printed(process).removesuffix(" until Ctrl-C")
        for name in ("whole", "cut"):
            query = urllib.parse.urlencode({"run": tmp_path / "runs" / name, "tag": "eval/mean_return"})
            with urllib.request.urlopen(f"{address}app/api/scalar/list?{query}", timeout=60) as answer:
                assert json.load(answer)["data"]
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    named = [line for line in errors.splitlines() if line.startswith("left out: ")]
    names = {*damaged_logs(b""), "vdlrecords.pipe"}
    assert len(named) == len(names) and all(any(name in line for line in named) for name in names), errors


# ------------------------------------------------------------------------------------------------- beside a training


def test_the_dashboard_is_up_while_it_trains_and_gone_when_the_training_is_killed(tmp_path):
    env = f"tests.environments:{misbehaving_id('stuck')}"
    process = start_tool("train.py", "--dashboard", env=env, run_dir=tmp_path / "runs" / "one")
    address = address_printed(process)
    wait_until(lambda: runs_shown(address) == [str(tmp_path / "runs" / "one")])
    process.send_signal(signal.SIGKILL)
    process.communicate()
    wait_until(lambda: is_gone(address))


@pytest.mark.parametrize("fault,code", [("none", 0), ("interrupt", 130)])
def test_the_dashboard_ends_with_the_training(tmp_path, fault, code):
    env = {} if fault == "none" else {"env": f"tests.environments:{misbehaving_id(fault)}"}
    ended = run_tool("train.py", "--dashboard", run_dir=tmp_path / "runs" / "one", **env)
    assert (ended.returncode, ended.stderr) == (code, "")
    assert is_gone(re.search(r"^VisualDL: (http://127.0.0.1:\d+/)$", ended.stdout, re.MULTILINE)[1])


def test_ctrl_c_in_the_terminal_leaves_it_to_the_training_to_end_the_dashboard(tmp_path):
    with Dashboard(tmp_path) as dashboard:
        os.kill(dashboard._process.process.pid, signal.SIGINT)
        assert runs_shown(dashboard.address) == []


def address_printed(process: subprocess.Popen) -> str:
    return process.stdout.readline().removeprefix("VisualDL: ").strip()


def runs_shown(address: str) -> list[str]:
    return json.load(urllib.request.urlopen(f"{address}app/api/runs"))["data"]


def is_gone(address: str) -> bool:
    try:
        urllib.request.urlopen(address)
    except urllib.error.URLError as error:
        return isinstance(error.reason, ConnectionRefusedError)
    return False
