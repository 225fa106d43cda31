"""NNCF in a child process: it brings PyTorch's compiler along, logs as it likes, and would send telemetry."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from onnx_lab.errors import TransformError, missing
from onnx_lab.runtime.target import allowed_cpus

#: Quantizing a large transformer takes it minutes.
_TIMEOUT_S = 6 * 3600.0


def run_nncf(source: Path, out: Path, batches: Path, **options: Any) -> None:
    """Quantize the file at `source` into `out`, calibrated on the ``.npz`` files of the folder `batches`.

    Parameters
    ----------
    options
        ``transformer``, ``symmetric``, ``reduce_range``: bool; ``exclude_nodes``, ``exclude_ops``: lists of names.

    Raises
    ------
    MissingExtra
        Without NNCF.
    TransformError
        When it gives up.
    WorkerError
        When its process dies.
    """
    from onnx_lab.runtime.client import ask_once

    request = {"source": str(source), "out": str(out), "batches": str(batches), **options}
    ask_once({"op": "nncf", "nncf": request}, "NNCF", threads=allowed_cpus(), timeout_s=_TIMEOUT_S)


def quantize_file(
    source: str,
    out: str,
    batches: str,
    *,
    transformer: bool,
    symmetric: bool,
    reduce_range: bool,
    exclude_nodes: Sequence[str],
    exclude_ops: Sequence[str],
) -> dict[str, Any]:
    """The child's side of `run_nncf`."""
    os.environ["NNCF_CI"] = "1"  # NNCF's own switch: it sends no usage data
    try:
        import nncf
    except ImportError:
        raise missing("nncf", "nncf") from None
    import numpy as np
    import onnx

    files = sorted(Path(batches).glob("*.npz"))
    fix = nncf.OverflowFix.ENABLE if reduce_range else nncf.OverflowFix.DISABLE
    try:
        quantized = nncf.quantize(
            onnx.load(source),
            nncf.Dataset(files, lambda file: dict(np.load(file))),
            model_type=nncf.ModelType.TRANSFORMER if transformer else None,
            preset=nncf.QuantizationPreset.PERFORMANCE if symmetric else nncf.QuantizationPreset.MIXED,
            subset_size=len(files),
            ignored_scope=nncf.IgnoredScope(names=list(exclude_nodes), types=list(exclude_ops), validate=False),
            advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=fix),
        )
    except Exception as e:
        raise TransformError(
            f"quantize: NNCF gave up: {type(e).__name__}: {e}",
            do="quantize the export instead of the optimized file, or method='static'",
        ) from e
    onnx.save(quantized, out)
    return {}
