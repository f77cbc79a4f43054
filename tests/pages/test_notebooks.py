"""The notebooks run whole, each in a new kernel without a screen, learn what they say, and show outputs of that."""

from __future__ import annotations

import base64
import io
import json
import re
import runpy
from pathlib import Path

import nbformat
import PIL.Image
import pytest
from visualdl import LogReader

from tests.paths import ROOT

FOLDER = ROOT / "notebooks"
NAMES = ("a2c_cartpole", "a3c_cartpole", "compare_family", "learning_path", "sac_pendulum", "topologies")
LARGEST = 400_000  # bytes of a notebook with its outputs
execute = runpy.run_path(str(FOLDER / "execute.py"))["execute"]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a notebook in an empty folder; gives the values of expressions at its end, and its outputs by MIME type."""
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "MPLBACKEND"):  # the last is set by envpool as it is imported
        monkeypatch.delenv(name, raising=False)
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR"):  # the kernel's history and connection
        monkeypatch.setenv(name, str(tmp_path / name))

    def run_whole(name: str, **expressions: str) -> tuple[dict, dict[str, list]]:
        notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
        values = ", ".join(f"{key!r}: {expression}" for key, expression in expressions.items())
        notebook.cells.append(nbformat.v4.new_code_cell(f"import json\nprint(json.dumps({{{values}}}))"))
        committed = [without_numbers(cell) for cell in notebook.cells[:-1]]
        execute(notebook, tmp_path)
        fresh = [without_numbers(cell) for cell in notebook.cells[:-1]]
        assert committed == fresh, "python notebooks/execute.py brings the outputs up to date"

        *outputs, last = [output for cell in notebook.cells for output in cell.get("outputs", [])]
        assert not [output.text for output in outputs if output.get("name") == "stderr"], "nothing in red"
        shown: dict[str, list] = {}
        for output in outputs:
            for mime, data in output.get("data", {}).items():
                shown.setdefault(mime, []).append(data)
        return json.loads(last.text), shown

    return run_whole


def without_numbers(cell: nbformat.NotebookNode) -> list[tuple]:
    """The kinds of a cell's outputs and their words: numbers, and the width that they take, differ from run to run."""
    outputs = []
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        words = "".join((output.get("text", "") + data.get("text/plain", "")).split())
        outputs.append((output.output_type, output.get("name"), sorted(data), re.sub(r"[-+]?\d[\d.,]*", "#", words)))
    return outputs


def frames(gif: str) -> int:
    with PIL.Image.open(io.BytesIO(base64.b64decode(gif))) as picture:
        return picture.n_frames


def logged(folder: Path, tag: str) -> list[float]:
    (file,) = folder.glob("vdlrecords*.log")
    return [point.value for point in LogReader(file_path=str(file)).get_data("scalar", tag)]


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a2c_by_hand_learns_in_workers_started_from_closures_of_the_notebook(run, tmp_path):
    values, shown = run(
        "a2c_cartpole",
        mean_return="mean_return",
        package_return="package_return",
        update_return="float(np.mean(update_returns[-100:]))",
        speeds="speeds",
        kernel="os.getpid()",
        workers="sorted(worker_ids)",
    )
    assert min(values["mean_return"], values["package_return"]) >= 400 and values["update_return"] >= 300
    assert len(values["workers"]) == 2 and values["kernel"] not in values["workers"]
    assert values["speeds"].keys() == {"by hand", "subproc", "native"}
    assert len(shown["image/png"]) == 2 and frames(*shown["image/gif"]) >= 40
    returns = logged(tmp_path / "runs" / "a2c_by_hand", "episode_return")
    assert len(returns) > 100 and returns[-1] > 5 * returns[0]


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a3c_learns_also_an_environment_of_the_notebook_itself(run, tmp_path):
    values, shown = run(
        "a3c_cartpole",
        mean_return="mean_return",
        worker_steps="worker_steps",
        windy="[float(np.mean(windy_returns[:50])), float(np.mean(windy_returns[-50:]))]",
    )
    assert values["mean_return"] >= 200
    assert len(values["worker_steps"]) == 2 and min(values["worker_steps"]) > 0
    assert values["windy"][1] > 2 * values["windy"][0]
    assert len(shown["image/png"]) == 1 and frames(*shown["image/gif"]) >= 40
    assert len(logged(tmp_path / "runs" / "a3c", "policy_lag")) > 20


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_sac_swings_the_pendulum_up(run, tmp_path):
    values, shown = run("sac_pendulum", mean_return="mean_return")
    assert values["mean_return"] >= -250
    assert len(shown["image/png"]) == 2 and frames(*shown["image/gif"]) >= 20  # it stands still at the end
    assert logged(tmp_path / "runs" / "sac", "diagnostics/alpha")[-1] < 0.3


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_family_is_compared_by_steps_and_by_seconds(run):
    values, shown = run("compare_family", steps="after_steps", seconds="after_seconds", names="list(members)")
    assert len(values["names"]) == 7
    for returns in (values["steps"], values["seconds"]):
        assert list(returns) == values["names"]
        assert max(returns.values()) > 200
    assert len(shown["image/png"]) == 1


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_four_topologies_learn_and_only_asynchronous_ones_have_policy_lag(run):
    values, shown = run(
        "topologies",
        steps="after_steps",
        seconds="after_seconds",
        figures="{name: {tag: float(value) for tag, value in row.items()} for name, row in figures.items()}",
        agents="measured",
    )
    figures = values["figures"]
    assert list(figures) == ["A2C", "PAAC", "A3C", "GA3C"]
    assert sorted(values["steps"].values())[1] > 100 and max(values["steps"].values()) > 200
    assert list(values["seconds"]) == list(figures)
    lags = {name: (row["lag"], row["largest lag"]) for name, row in figures.items()}
    assert lags["A2C"] == lags["PAAC"] == (0, 0)
    assert all(0 < mean < largest for mean, largest in (lags["A3C"], lags["GA3C"]))
    steps_of_update = {name: row["PPS"] / row["TPS"] for name, row in figures.items()}
    assert steps_of_update["GA3C"] == pytest.approx(20, rel=0.3)  # agents also play what is not learned from yet
    for name, steps in (("A2C", 40), ("PAAC", 160), ("A3C", 5)):
        assert steps_of_update[name] == pytest.approx(steps, rel=0.01)
    lags_of_agents = [lag for _, _, lag in values["agents"]]
    assert len(lags_of_agents) == 4 and lags_of_agents[0] < lags_of_agents[-1]
    assert len(shown["image/png"]) == 2


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_learning_path_shows_three_bugs_and_what_they_cost(run):
    values, shown = run(
        "learning_path",
        once="last_mean(by_hand)",
        twice="last_mean(twice)",
        package="last_mean(in_package)",
        drawn="[float(np.mean(wrong == 0)), float(np.mean(right == 0))]",
        losses="[lost[0] - lost[-1], shared_losses[0], shared_losses[-1]]",
        learned="list(learned_values.values())",
        family="{name: [num_updates, last_mean(episodes)] for name, (episodes, num_updates) in members.items()}",
    )
    assert values["once"] > 300 and values["package"] > 300
    assert values["twice"] < 150, "a policy that stays random does not balance the pole"
    assert values["drawn"] == pytest.approx([0.727, 0.99], abs=0.02)
    unchanged, first, last = values["losses"]
    assert unchanged == 0 and last < first / 2
    assert values["learned"][0] == pytest.approx(1 / (1 - 0.9 * 0.98), rel=0.25)
    assert values["learned"][1] == pytest.approx(1 / (1 - 0.98), rel=0.1)
    assert list(values["family"]) == ["A2C", "PAAC", "A3C"]
    assert all(mean > 60 for _, mean in values["family"].values())
    assert len(shown["image/png"]) == 2


def test_a2c_of_the_learning_path_is_about_60_lines():
    notebook = nbformat.read(FOLDER / "learning_path.ipynb", as_version=4)
    cells = [
        cell.source for cell in notebook.cells if "class ActorCritic" in cell.source or "def a2c_loss" in cell.source
    ]
    assert sum(bool(line.strip()) for source in cells for line in source.splitlines()) <= 70


@pytest.mark.parametrize("name", NAMES)
def test_notebook_is_committed_with_the_outputs_of_one_run(name):
    path = FOLDER / f"{name}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    install, *cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not install.outputs and install.execution_count is None
    counts = [cell.execution_count for cell in cells]
    assert counts == list(range(counts[0], counts[0] + len(cells)))
    outputs = [output for cell in cells for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    texts = [output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in outputs]
    assert not [text for text in texts if re.search(r"/(home|root|tmp|work|Users)/", text)], "no path of a machine"
    assert path.stat().st_size < LARGEST


def test_every_notebook_is_tested():
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == sorted(NAMES)
