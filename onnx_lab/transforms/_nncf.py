"""method="nncf": weights and activations in 8 bits by Intel's NNCF, with smoothing and corrected biases."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnx_lab import workspace
from onnx_lab.card import megabytes
from onnx_lab.errors import TransformError
from onnx_lab.model import SESSION_KEY, Model
from onnx_lab.produce import EXTERNAL_ABOVE_BYTES, Made, write_ir
from onnx_lab.runtime.nncf_quantizer import run_nncf
from onnx_lab.transforms import _int8 as int8
from onnx_lab.transforms._carry import carry_metadata
from onnx_lab.transforms._dataset import identify
from onnx_lab.transforms._method import Method, Prepared
from onnx_lab.transforms._options import names
from onnx_lab.transforms._select import select_nodes

if TYPE_CHECKING:
    from onnx_lab.task import Dataset

#: Operators by which a transformer is known: NNCF smooths its activations.
_OF_TRANSFORMERS = frozenset("LayerNormalization SkipLayerNormalization MultiHeadAttention Attention".split())


def prepare(m: Model, given: Mapping[str, Any], data: Dataset | None) -> Prepared:
    """Check the options and go through the data once; see `Method.prepare`."""
    assert data is not None  # the door asked for it
    if m.size_bytes > EXTERNAL_ABOVE_BYTES:
        raise TransformError(
            f"quantize: {m.name} is larger than NNCF takes in one protobuf", accepted="up to 1.9 GB", do="method='int4'"
        )
    reduce_range = int8.needs_reduced_range("int8") if given["reduce_range"] is None else given["reduce_range"]
    settled: dict[str, Any] = {
        "transformer": bool(_OF_TRANSFORMERS & set(m.header.operators)),
        "symmetric": bool(given["symmetric"]),
        "reduce_range": reduce_range,
        "exclude_ops": list(names("exclude_ops", given["exclude_ops"])),
    }
    nodes = names("exclude_nodes", given["exclude_nodes"])
    identity = identify(m, data)
    shown = {**settled, "exclude_nodes": nodes, "data": str(identity)}
    told = f"NNCF on {identity.samples} samples in {identity.batches} batches"
    return {k: v for k, v in shown.items() if v}, lambda: _body(m, settled, nodes, data, told)


def _body(m: Model, settled: dict[str, Any], nodes: tuple[str, ...], data: Dataset, told: str) -> Made:
    import onnx_ir as ir
    from onnx_ir.passes.common import NameFixPass

    before = m.to_ir()
    NameFixPass()(before)
    excluded = select_nodes(before, "exclude_nodes", nodes)
    with workspace.scratch() as folder:
        _write_batches(data, folder)
        write_ir(before, folder / "source.onnx")
        out = folder / "quantized.onnx"
        run_nncf(folder / "source.onnx", out, folder, exclude_nodes=excluded, **settled)
        size_bytes = out.stat().st_size
        after = ir.load(out)
    carry_metadata(before, after)
    done = _in_8_bits(after)
    hints = int8.hints(m, after)
    smoothed = ", activations smoothed" if settled["transformer"] else ""
    say = [
        "8-bit weights in " + ", ".join(f"{n} {k}" for k, n in done.items()) if done else "changed nothing",
        f"{told}: {'symmetric' if settled['symmetric'] else 'asymmetric'} activations, biases corrected{smoothed}",
        f"{megabytes(m.size_bytes)} → {megabytes(size_bytes)} ({size_bytes / m.size_bytes:.2f})",
    ]
    return Made(after, {"quantized": dict(done), "say": say}, {SESSION_KEY: json.dumps(hints)} if hints else {})


def _write_batches(data: Dataset, folder: Path) -> None:
    import numpy as np

    for i, feeds in enumerate(data):
        np.savez(folder / f"{i:06}.npz", **{k: np.asarray(v) for k, v in feeds.items()})  # type: ignore[arg-type]


def _in_8_bits(after: Any) -> Counter[str]:
    """Operator -> how many of its nodes read a constant through a DequantizeLinear."""
    done: Counter[str] = Counter()
    for node in after.graph:
        makers = [v.producer() for v in node.inputs if v is not None]
        if any(p is not None and p.op_type == "DequantizeLinear" and p.inputs[0].is_initializer() for p in makers):
            done[node.op_type] += 1
    return done


def plain_code(
    *,
    transformer: bool = False,
    symmetric: bool = False,
    reduce_range: bool = False,
    exclude_ops: tuple[str, ...] = (),
    exclude_nodes: tuple[str, ...] = (),
) -> str:
    """``model.onnx`` and ``calibration.npz`` in, ``model-int8.onnx`` out, with NNCF alone."""
    return "\n".join(
        [
            "import os",
            "",
            'os.environ["NNCF_CI"] = "1"  # it sends no usage data',
            "import nncf",
            "import numpy as np",
            "import onnx",
            "",
            "# calibration.npz: an array for each input of the model, samples along the first axis",
            'arrays = dict(np.load("calibration.npz"))',
            "samples = [{k: v[i : i + 1] for k, v in arrays.items()} for i in range(len(next(iter(arrays.values()))))]",
            "quantized = nncf.quantize(",
            '    onnx.load("model.onnx"),',
            "    nncf.Dataset(samples),",
            f"    model_type={'nncf.ModelType.TRANSFORMER' if transformer else None},",
            f"    preset=nncf.QuantizationPreset.{'PERFORMANCE' if symmetric else 'MIXED'},",
            "    subset_size=len(samples),",
            f"    ignored_scope=nncf.IgnoredScope(names={list(exclude_nodes)!r}, types={list(exclude_ops)!r}, "
            "validate=False),",
            "    advanced_parameters=nncf.AdvancedQuantizationParameters(",
            f"        overflow_fix=nncf.OverflowFix.{'ENABLE' if reduce_range else 'DISABLE'}",
            "    ),",
            ")",
            'onnx.save(quantized, "model-int8.onnx")',
        ]
    )


NNCF = Method(
    takes=frozenset({"symmetric", "reduce_range", "exclude_ops", "exclude_nodes"}),
    prepare=prepare,
    plain_code=plain_code,
    data="needed",
    about_data="calibration feeds: about 100 typical samples that are not measured on",
)
