"""The import rules of docs/architecture.md, for every import of a module."""

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


FILES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
    for file in (ROOT / "paddle_ac").rglob("*.py")
}


class Imports(ast.NodeVisitor):
    """The modules that a module imports: anywhere when it runs, for its types only, and by their names as texts."""

    def __init__(self, source: str):
        self.imports: set[str] = set()
        self.for_types: set[str] = set()
        self.by_name: set[str] = set()
        self._found = self.imports
        self.visit(ast.parse(source))

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) not in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            self.generic_visit(node)
            return
        self._found = self.for_types
        for child in node.body:
            self.visit(child)
        self._found = self.imports
        for child in node.orelse:
            self.visit(child)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        assert node.level == 0, "imports are absolute"
        self._found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}

    def visit_Import(self, node: ast.Import) -> None:
        self._found |= {alias.name for alias in node.names}

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str) and (found := re.fullmatch(r"(paddle_ac(?:\.\w+)+)(?::\w+)?", node.value)):
            self.by_name.add(found[1])


def read_imports() -> dict[str, Imports]:
    """The imports of each module of the package, of modules of the package other than itself."""
    found = {module: Imports(file.read_text(encoding="utf-8")) for module, file in FILES.items()}
    for module, imports in found.items():
        for names in (imports.imports, imports.for_types, imports.by_name):
            names &= FILES.keys() - {module, "paddle_ac"}
    return found


LAYERS, IMPORTS = read_layers(), read_imports()


def place_of(module: str) -> str:
    return ".".join(module.split(".")[:2])


def test_every_module_has_a_place_in_the_page():
    assert {place_of(module) for module in IMPORTS} == LAYERS.keys()
    assert set(LAYERS.values()) == {1, 2, 3, 4, 5}


def upward(kind: str) -> set[tuple[str, str]]:
    """The pairs of a module and a module of a higher layer that it imports."""
    return {
        (module, imported)
        for module, imports in IMPORTS.items()
        for imported in getattr(imports, kind)
        if LAYERS[place_of(imported)] > LAYERS[place_of(module)]
    }


def test_no_import_runs_upwards_in_functions_and_branches_either():
    assert upward("imports") == set()


def test_only_the_registry_names_modules_of_higher_layers():
    assert {module for kind in ("for_types", "by_name") for module, _ in upward(kind)} == {"paddle_ac.registry"}


def test_imports_are_found_wherever_they_are():
    source = """
if TYPE_CHECKING:
    import a
else:
    import b
try:
    import c
except ImportError:
    def f():
        if x:
            from d import e
place = "paddle_ac.api:make"
"""
    found = Imports(source)
    assert found.imports == {"b", "c", "d", "d.e"} and found.for_types == {"a"} and found.by_name == {"paddle_ac.api"}


def test_no_imports_run_in_a_circle():
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> None:
        assert module not in path, " imports ".join([*path[path.index(module) :], module])
        if module not in done:
            for imported in sorted(IMPORTS[module].imports):
                visit(imported, [*path, module])
            done.add(module)

    for module in IMPORTS:
        visit(module, [])


@pytest.mark.parametrize(
    "module",
    [
        "processes.pool",
        "processes.shared_parameters",
        "processes.linked_ranks",
        "algorithms.a3c_worker",
        "algorithms.a3c_bundle",
        "algorithms.dqn_bundle",
        "algorithms.async_q_worker",
        "algorithms.ga3c_agent",
        "envs.remote",
    ],
)
def test_what_a_worker_imports_loads_no_paddle(module):
    code = f"import sys, paddle_ac.{module}; sys.exit('paddle' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
