"""The public face: every promised name is there, documented, and importing the package stays light."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys

import pytest

import onnx_lab as lab

PROMISED = (
    "load export simplify optimize fix_shapes buckets fp16 bf16 mixed_precision quantize inspect nodes infer compare "
    "accuracy bench trace dashboard doctor start jobs Recipe samples Model Target Task verdict"
).split()
HEAVY = ("torch", "transformers", "onnxruntime", "onnx", "onnxscript", "plotly", "pandas", "IPython", "onnxsim")


@pytest.mark.parametrize("name", PROMISED)
def test_promised_names_exist_and_are_documented(name: str) -> None:
    thing = getattr(lab, name)
    assert name in lab.__all__
    assert inspect.getdoc(thing), name


def test_all_names_resolve() -> None:
    for name in lab.__all__:
        assert getattr(lab, name) is not None
    assert set(lab.__all__) <= set(dir(lab))


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'optimise'"):
        _ = lab.optimise


@pytest.mark.parametrize("name", [n for n in PROMISED if n not in ("samples", "Model", "Target", "Task", "Recipe")])
def test_public_docstrings_say_what_is_taken_returned_and_raised(name: str) -> None:
    doc = inspect.getdoc(getattr(lab, name)) or ""
    for section in ("Examples", ">>>"):
        assert section in doc, f"lab.{name} has no {section}"
    if inspect.signature(getattr(lab, name)).parameters:
        assert "Parameters" in doc, name


def imported_by(code: str) -> set[str]:
    """Top-level modules loaded by a fresh interpreter that runs `code`."""
    out = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys, json; print(json.dumps(sorted(sys.modules)))"],
        capture_output=True,
        text=True,
        check=True,
    )
    return {m.split(".")[0] for m in json.loads(out.stdout.splitlines()[-1])}


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert not imported_by("import onnx_lab") & set(HEAVY)


@pytest.mark.slow
def test_an_internal_import_never_hides_a_public_function() -> None:
    code = "\n".join(
        [
            "import onnx_lab as lab, importlib, pkgutil",
            "for m in pkgutil.walk_packages(lab.__path__, 'onnx_lab.'):",
            "    if 'make_' not in m.name and not m.name.endswith(('worker', '__main__')):",
            "        importlib.import_module(m.name)",
            "assert callable(lab.export) and callable(lab.load) and callable(lab.samples.bert), 'hidden by a module'",
        ]
    )
    imported_by(code)
