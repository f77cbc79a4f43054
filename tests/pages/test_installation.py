"""The lines of docs/installation.md, each in a new environment without a network, and what a wheel holds."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from importlib.metadata import distribution, distributions
from pathlib import Path

import nbformat
import pytest
from packaging.requirements import Requirement

import paddle_ac
from tests.commands import blocks
from tests.paths import ROOT

PAGE = (ROOT / "docs" / "installation.md").read_text(encoding="utf-8")
SITE = Path(sysconfig.get_path("purelib"))
WITHOUT_PADDLE = "pip install -r requirements.txt && pip install --no-deps ."
PADDLES = ("paddlepaddle", "paddlepaddle-gpu")


class Environment:
    """A new environment that installs offline: from this environment's setuptools and from stand-ins."""

    def __init__(self, folder: Path):
        self.folder = folder
        venv.create(folder / "env")
        self.python = next((folder / "env").glob("[bS][ic]*/python*"))
        self.site = Path(sysconfig.get_path("purelib", "venv", {"base": folder / "env", "platbase": folder / "env"}))
        self.wheels = folder / "wheels"
        self.wheels.mkdir()

    def share(self, *patterns: str) -> None:
        """Make files of this environment's site-packages importable and known to pip."""
        for pattern in patterns:
            for path in SITE.glob(pattern):
                (self.site / path.name).symlink_to(path)

    def add_stand_in(self, requirement: Requirement) -> Path:
        """A wheel of a distribution that a requirement accepts, with nothing in it."""
        version = next((limit.version for limit in requirement.specifier), "1.0")
        stem = f"{requirement.name.replace('-', '_')}-{version}"
        provides = "".join(f"Provides-Extra: {extra}\n" for extra in requirement.extras)
        wheel = self.wheels / f"{stem}-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as file:
            metadata = f"Metadata-Version: 2.1\nName: {requirement.name}\nVersion: {version}\n{provides}"
            file.writestr(f"{stem}.dist-info/METADATA", metadata)
            file.writestr(f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            file.writestr(f"{stem}.dist-info/RECORD", "")
        return wheel

    def pip(self, line: str, folder: Path) -> None:
        """Run the pip commands of a line of the docs in a folder, on this environment, with the stand-ins alone."""
        settings = {
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.wheels),
            "PIP_NO_BUILD_ISOLATION": "0",  # pip's way to say that there is none
            "PIP_PYTHON": str(self.python),
            "PIP_CONFIG_FILE": "/dev/null",
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        }
        ended = subprocess.run(line, shell=True, cwd=folder, env=settings, capture_output=True, text=True, timeout=200)
        assert ended.returncode == 0, ended.stderr

    def installed(self) -> dict[str, str]:
        """Names and versions of the distributions of the environment."""
        return {found.name: found.version for found in distributions(path=[str(self.site)])}


def requirements() -> list[Requirement]:
    """What paddle_ac requires without extras, Paddle included."""
    parsed = [Requirement(text) for text in distribution("paddle_ac").requires or []]
    return [requirement for requirement in parsed if "extra" not in str(requirement.marker)]


@pytest.fixture
def gpu_machine(tmp_path):
    """An environment with a distribution named paddlepaddle-gpu alone; all that paddle_ac needs can be installed."""
    environment = Environment(tmp_path / "machine")
    environment.share("setuptools*", "pkg_resources", "_distutils_hack*", "distutils-precedence.pth")
    environment.share("packaging*", "wheel*")
    for requirement in requirements():
        environment.add_stand_in(requirement)
    environment.pip(f"pip install {environment.add_stand_in(Requirement('paddlepaddle-gpu==3.3.0'))}", tmp_path)
    return environment


def tracked_files() -> list[str]:
    """The files of the repository, as ``git clone`` gives them."""
    return subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()


def copy_of_clone(folder: Path) -> Path:
    for name in tracked_files():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture
def clone(tmp_path) -> Path:
    return copy_of_clone(tmp_path / "clone")


def paddles(environment: Environment) -> list[str]:
    return [name for name in PADDLES if name in environment.installed()]


@pytest.mark.slow
def test_line_for_machines_with_paddle_installs_all_but_paddle(gpu_machine, clone):
    assert any(WITHOUT_PADDLE in block.splitlines() for block in blocks(PAGE, "sh"))
    gpu_machine.pip(WITHOUT_PADDLE, clone)
    assert paddles(gpu_machine) == ["paddlepaddle-gpu"]
    installed = {name.lower() for name in gpu_machine.installed()}
    needed = {requirement.name.lower() for requirement in requirements()}
    assert needed - installed == {"paddlepaddle"} and "paddle-ac" in installed
    # The reason for that line: the plain one adds the CPU build, in the same files.
    gpu_machine.pip("pip install .", clone)
    assert paddles(gpu_machine) == list(PADDLES)


@pytest.mark.slow
def test_first_cell_of_every_notebook_installs_all_but_paddle(gpu_machine, clone):
    notebooks = [nbformat.read(path, as_version=4) for path in (clone / "notebooks").glob("*.ipynb")]
    firsts = [next(cell for cell in notebook.cells if cell.cell_type == "code") for notebook in notebooks]
    assert {tuple(cell.metadata.tags) for cell in firsts} == {("skip-execution",)}
    (source,) = {cell.source for cell in firsts}
    commands = [line.removeprefix("!") for line in source.splitlines() if line.startswith("!")]
    assert len(commands) == 2
    for command in commands:
        gpu_machine.pip(command, clone / "notebooks")
    assert paddles(gpu_machine) == ["paddlepaddle-gpu"]
    assert gpu_machine.installed()["paddle-ac"] == paddle_ac.__version__


@pytest.mark.slow
def test_persistent_folder_of_ai_studio_holds_all_but_paddle(gpu_machine, clone, tmp_path):
    before = gpu_machine.installed()
    (line,) = [line for block in blocks(PAGE, "text") for line in block.splitlines() if "pip install -q -t" in line]
    folder = tmp_path / "external-libraries"
    gpu_machine.pip(
        line.removeprefix("!").replace("/home/aistudio/external-libraries", str(folder)), clone / "notebooks"
    )
    names = {path.name.partition("-")[0].lower() for path in folder.glob("*.dist-info")}
    assert {"gymnasium", "visualdl"} <= names and not {name.replace("-", "_") for name in PADDLES} & names
    assert gpu_machine.installed() == before


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The folder with the source distribution and the wheel built from it."""
    folder = tmp_path_factory.mktemp("built")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder / "dist")]
    ended = subprocess.run(build, cwd=copy_of_clone(folder / "clone"), capture_output=True, text=True, timeout=200)
    assert ended.returncode == 0, ended.stderr
    return folder / "dist"


@pytest.mark.slow
def test_wheel_holds_the_package_and_the_configurations_and_nothing_else(built):
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        names = {name for name in file.namelist() if ".dist-info/" not in name}
    code = {str(path.relative_to(ROOT)) for path in ROOT.glob("paddle_ac/**/*.py")}
    configs = {f"paddle_ac/configs/{path.name}" for path in ROOT.glob("configs/*.yaml")}
    assert names == code | configs | {"multiprocessing_env.py", "paddle_ac/py.typed"}
    assert paddle_ac.__version__ in wheel.name


@pytest.mark.slow
def test_source_distribution_holds_what_a_clone_holds(built):
    (source,) = built.glob("*.tar.gz")
    with tarfile.open(source) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    assert not [name for name in tracked_files() if name not in names and not name.startswith(".")]


@pytest.mark.slow
def test_wheel_trains_in_any_folder_with_a_configuration_of_the_package(built, tmp_path):
    environment = Environment(tmp_path / "machine")
    (environment.site / "packages_of_the_tests.pth").write_text(f"{SITE}\n")
    (wheel,) = built.glob("*.whl")
    environment.pip(f"pip install --no-deps {wheel}", tmp_path)
    code = """
import paddle_ac
values = {**paddle_ac.read_yaml("configs/a2c_cartpole_fast.yaml"), "total_steps": 2000}
print(paddle_ac.__file__, paddle_ac.train(values, "run", progress=False)["env_steps"])
"""
    ended = subprocess.run(
        [environment.python, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    file, steps = ended.stdout.split()
    assert Path(file).is_relative_to(environment.site) and int(steps) >= 2000


def test_page_names_every_extra():
    named = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
    extras = {name for name in distribution("paddle_ac").metadata.get_all("Provides-Extra") or []}
    assert named == extras


def test_changelog_begins_with_this_version():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    first = re.search(r"^## (\S+)", changelog, re.MULTILINE)
    assert first and first[1] == paddle_ac.__version__ == distribution("paddle_ac").version


def test_pages_name_the_same_systems_as_tested():
    for name in ("README.md", "docs/installation.md", "docs/getting_started.md"):
        page = (ROOT / name).read_text(encoding="utf-8")
        assert "Linux or macOS" not in page and "Linux, macOS and Windows" not in page and "tested" in page
    systems = dict(re.findall(r"^\| (Linux|macOS|Windows) \| (.+) \|$", PAGE, re.MULTILINE))
    assert {name for name, state in systems.items() if "not tested" not in state} == {"Linux"} and len(systems) == 3
