"""The rooms import one way: jupyter -> recipes, plots -> transforms | measure | exporters -> runtime -> core."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import onnx_lab

PACKAGE = Path(onnx_lab.__file__).parent
CORE = "core"  # the modules that lie directly in onnx_lab/
MAY_IMPORT = {
    "jupyter": {"background", "recipes", "plots", "transforms", "measure", "exporters", "samples", "runtime", CORE},
    "background": {"runtime", CORE},  # which function a job calls is known by its name only
    "recipes": {"transforms", "measure", "exporters", "runtime", CORE},
    "plots": {"measure", CORE},
    "transforms": {"runtime", CORE},
    "measure": {"runtime", CORE},
    "exporters": {"runtime", CORE},
    "samples": {"recipes", "plots", "transforms", "measure", "exporters", "runtime", CORE},
    "runtime": {CORE},
    CORE: set(),
}
# a result's plot() reaches up to the plots room, lazily, as pandas' does: docs/decisions.md
# and a pair's zero_shot() runs its text tower
EXCEPTIONS = {("measure/_result.py", "plots"), ("pair.py", "measure")}


def room(module: str) -> str:
    """The room that a dotted module name lies in."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and (PACKAGE / parts[1]).is_dir() else CORE


def imported(path: Path) -> set[str]:
    """All onnx_lab modules that a file imports, also inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{a.name}" for a in node.names if node.module == "onnx_lab"}
    return {m for m in found if m == "onnx_lab" or m.startswith("onnx_lab.")}


FILES = sorted(p.relative_to(PACKAGE).as_posix() for p in PACKAGE.rglob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_imports_go_one_way(file: str) -> None:
    own = file.split("/")[0] if "/" in file else CORE
    if file in ("__init__.py", "surgery.py", "samples/data/make_docstrings.py"):  # a public face names all, lazily
        return
    for module in imported(PACKAGE / file):
        other = room(module)
        allowed = other == own or other in MAY_IMPORT[own] or (file, other) in EXCEPTIONS
        assert allowed, f"{file} imports {module}: {own} may only import {sorted(MAY_IMPORT[own])}"
