"""The import rules of docs/architecture.md, for imports at the top level of modules."""

from __future__ import annotations

import ast
import re
import subprocess
import sys

import pytest

from tests.paths import ROOT


def read_layers() -> dict[str, int]:
    """Layer of each module and package of the page, by dotted name."""
    layers, layer = {"paddle_ac": 5}, 0
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for line in page.split("```")[1].splitlines():
        layer = int(found[1]) if (found := re.match(r"layer (\d)", line)) else layer
        if found := re.search(r"^.{10}(paddle_ac/\w+)", line):
            layers[found[1].replace("/", ".")] = layer
    return layers


def read_imports() -> dict[str, set[str]]:
    """The modules of the package that each of its modules imports."""
    files = {
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
        for file in (ROOT / "paddle_ac").rglob("*.py")
    }
    imports = {}
    for module, file in files.items():
        names = set()
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ImportFrom) and node.module:
                names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            elif isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
        imports[module] = (names & files.keys()) - {module, "paddle_ac"}
    return imports


LAYERS, IMPORTS = read_layers(), read_imports()


def place_of(module: str) -> str:
    return ".".join(module.split(".")[:2])


def test_every_module_has_a_place_in_the_page():
    assert {place_of(module) for module in IMPORTS} == LAYERS.keys()
    assert set(LAYERS.values()) == {1, 2, 3, 4, 5}


def test_no_import_runs_upwards():
    upward = [
        f"{module} imports {imported}"
        for module, names in IMPORTS.items()
        for imported in names
        if LAYERS[place_of(imported)] > LAYERS[place_of(module)]
    ]
    assert not upward


def test_no_imports_run_in_a_circle():
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> None:
        assert module not in path, " imports ".join([*path[path.index(module) :], module])
        if module not in done:
            for imported in sorted(IMPORTS[module]):
                visit(imported, [*path, module])
            done.add(module)

    for module in IMPORTS:
        visit(module, [])


@pytest.mark.parametrize("module", ["processes.pool", "processes.shared_parameters", "algorithms.a3c_worker"])
def test_what_a_worker_imports_loads_no_paddle(module):
    code = f"import sys, paddle_ac.{module}; sys.exit('paddle' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
