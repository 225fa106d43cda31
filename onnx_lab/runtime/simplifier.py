"""onnxsim in a child process: it folds constants by running an engine of its own, and takes two seconds to import."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from onnx_lab.errors import BadInput, TransformError, did_you_mean, missing
from onnx_lab.runtime.target import allowed_cpus


def run_onnxsim(source: Path, out: Path, skip: Sequence[str]) -> None:
    """Simplify the file at `source` into `out`, leaving out the optimizer passes named in `skip`.

    Raises
    ------
    MissingExtra
        Without onnxsim.
    BadInput
        For a pass that it does not have.
    TransformError
        When it gives up.
    WorkerError
        When its process dies.
    """
    from onnx_lab.runtime.client import ask_once

    request = {"source": str(source), "out": str(out), "skip": list(skip)}
    ask_once({"op": "onnxsim", "onnxsim": request}, "onnxsim", threads=allowed_cpus())


def simplify_file(source: str, out: str, skip: Sequence[str]) -> dict[str, Any]:
    """The child's side of `run_onnxsim`."""
    try:
        import onnxsim
        from onnxsim.onnxsim_cpp2py_export import _list_optimizers
    except ImportError:
        raise missing("onnxsim", "tools") from None
    import onnx

    passes = sorted(_list_optimizers())
    for name in skip:
        if name not in passes:
            raise BadInput(f"skip: {name!r}", accepted=", ".join(passes), do=did_you_mean(name, passes))
    try:
        simplified, _ = onnxsim.simplify(onnx.load(source), skipped_optimizers=list(skip))
    except Exception as e:
        raise TransformError(f"onnxsim gave up: {e}", do="tool='onnxslim'") from e
    onnx.save(simplified, out)
    return {}
