"""The notebooks run whole, each in a new kernel without a screen, and learn what they say."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import nbformat
import PIL.Image
import pytest
from nbclient import NotebookClient
from visualdl import LogReader

from tests.paths import ROOT

pytestmark = pytest.mark.slow

FOLDER = ROOT / "notebooks"
NAMES = ("a2c_cartpole", "a3c_cartpole", "compare_family", "sac_pendulum")


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
        where = {"metadata": {"path": str(tmp_path)}}
        NotebookClient(notebook, timeout=180, kernel_name="python3", resources=where).execute()

        *outputs, last = [output for cell in notebook.cells for output in cell.get("outputs", [])]
        assert not [output.text for output in outputs if output.get("name") == "stderr"], "nothing in red"
        shown: dict[str, list] = {}
        for output in outputs:
            for mime, data in output.get("data", {}).items():
                shown.setdefault(mime, []).append(data)
        return json.loads(last.text), shown

    return run_whole


def frames(gif: str) -> int:
    with PIL.Image.open(io.BytesIO(base64.b64decode(gif))) as picture:
        return picture.n_frames


def logged(folder: Path, tag: str) -> list[float]:
    (file,) = folder.glob("vdlrecords*.log")
    return [point.value for point in LogReader(file_path=str(file)).get_data("scalar", tag)]


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


@pytest.mark.timeout(180)
def test_sac_swings_the_pendulum_up(run, tmp_path):
    values, shown = run("sac_pendulum", mean_return="mean_return")
    assert values["mean_return"] >= -250
    assert len(shown["image/png"]) == 2 and frames(*shown["image/gif"]) >= 20  # it stands still at the end
    assert logged(tmp_path / "runs" / "sac", "diagnostics/alpha")[-1] < 0.3


@pytest.mark.timeout(180)
def test_the_family_is_compared_by_steps_and_by_seconds(run):
    values, shown = run("compare_family", steps="after_steps", seconds="after_seconds", names="list(members)")
    assert len(values["names"]) == 7
    for returns in (values["steps"], values["seconds"]):
        assert list(returns) == values["names"]
        assert max(returns.values()) > 200
    assert len(shown["image/png"]) == 1


def test_notebooks_are_kept_without_outputs_and_are_all_tested():
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == sorted(NAMES)
    for name in NAMES:
        notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
        nbformat.validate(notebook)
        for cell in notebook.cells:
            assert cell.cell_type == "markdown" or (cell.outputs == [] and cell.execution_count is None)
