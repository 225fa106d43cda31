"""Paddle's program on disk, and paddle2onnx in a child: an abort in its C++ ends the child and nothing else."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnx_lab import workspace
from onnx_lab._quiet import quiet
from onnx_lab.errors import ExportError, UnsupportedOperator
from onnx_lab.exporters._inputs import Inputs
from onnx_lab.exporters.explain import place_of

if TYPE_CHECKING:
    import onnx_ir as ir

#: A conversion of a large model takes seconds; one that hangs is ended.
SECONDS = 600
_CHILD = """
import sys
import paddle2onnx
program, weights, out, opset = sys.argv[1:]
paddle2onnx.export(program, weights, save_file=out, opset_version=int(opset))
"""
#: What every program has, beside what its layers do.
_PLUMBING = {"data", "fetch", "full", "full_int_array", "shadow_output"}


def saved(layer: Any, inputs: Inputs, folder: Path) -> Path:
    """Save the program of `layer` for these inputs; the program file.

    Raises
    ------
    ExportError
        When Paddle cannot trace the layer; names the user's line.
    """
    import paddle

    from onnx_lab.exporters._paddle_source import as_it_was

    specs = [
        paddle.static.InputSpec([d if isinstance(d, int) else None for d in s.shape], s.dtype, s.name)
        for s in inputs.specs
    ]
    try:
        with quiet("paddle", descriptors=True), as_it_was(layer):
            paddle.jit.save(layer, str(folder / "model"), specs)
    except Exception as e:
        place = place_of(e)
        lines = [line.strip() for line in str(e).splitlines() if line.strip()] or [""]
        raise ExportError(
            f"{type(layer).__name__} cannot be made a program: {type(e).__name__}: {lines[-1][:300]}"
            + (f" ({place})" if place else ""),
            accepted="layers that paddle.jit.save takes",
            do="try paddle.jit.save(layer, 'model', input_spec) alone; paddle.static.nn.cond for a branch on values",
        ) from e
    return next(f for f in (folder / "model.json", folder / "model.pdmodel") if f.is_file())


def converted(program: Path, opset: int, kind: str) -> ir.Model:
    """What paddle2onnx makes of a saved program, weights as initializers.

    Raises
    ------
    ExportError, UnsupportedOperator
    """
    import onnx_ir as ir
    from onnx_ir.passes.common import LiftConstantsToInitializersPass

    with workspace.scratch() as folder:
        out = folder / "converted.onnx"
        arguments = [str(program), str(program.with_suffix(".pdiparams")), str(out), str(opset)]
        child = subprocess.run(
            [sys.executable, "-c", _CHILD, *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            cwd=folder,
            env={**os.environ, "TMPDIR": str(folder)},
        )
        if not out.is_file():
            raise _refusal(child.stdout + child.stderr, kind, program)
        graph = ir.load(out)
        ir.external_data.load_to_model(graph)  # the scratch folder goes
    if (written := graph.opset_imports.get("", 0)) != opset:
        raise ExportError(
            f"opset {opset} was asked for, and paddle2onnx writes {written} for this model",
            do=f"opset={written}, or leave it out",
        )
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(graph)
    return graph


def _refusal(said: str, kind: str, program: Path) -> ExportError:
    if "unsupported operators" in said:  # it does not say which, and dies
        used = ", ".join(_operators(program)) or "unknown"
        return UnsupportedOperator(
            f"an operator of {kind} has no ONNX form in paddle2onnx; it uses {used}",
            accepted="the operators of Paddle that paddle2onnx converts",
            do="write that step with other operations, or end the layer before it and compute it in NumPy",
        )
    lines = [line for line in said.splitlines() if "ERROR" in line or "Error" in line] or said.splitlines()[-1:] or [""]
    return ExportError(
        f"paddle2onnx does not convert {kind}: {re.sub(chr(27) + r'[^m]*m', '', lines[-1])[:300]}",
        do="another opset=, or a smaller part of the model to find what it does not take",
    )


def _operators(program: Path) -> list[str]:
    """Names of the operators that a saved program uses, in order; empty for the old form, which is not text."""
    if program.suffix != ".json":
        return []
    found: dict[str, None] = {}
    todo = [json.loads(program.read_text())["program"]]
    while todo:
        part = todo.pop()
        if isinstance(part, dict):
            if {"#", "I", "O"} <= set(part):  # an operator: its name, its inputs, its outputs
                found[str(part["#"]).split(".")[-1]] = None
            todo += reversed(list(part.values()))
        elif isinstance(part, list):
            todo += reversed(part)
    return [name for name in found if name not in _PLUMBING]
