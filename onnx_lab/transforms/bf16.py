"""bf16: half the bytes with float32's range; the arithmetic in float32, or in bfloat16 where a target takes it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from onnx_lab import workspace
from onnx_lab.errors import BadInput, BadModel, TransformError, did_you_mean
from onnx_lab.model import Model
from onnx_lab.produce import Made, options_json, produce, write_ir
from onnx_lab.runtime.client import Worker
from onnx_lab.runtime.offline import refuse_frozen
from onnx_lab.transforms._bfloat import compute_in_bfloat16, store_as_bfloat16
from onnx_lab.transforms._half import prepared
from onnx_lab.transforms._options import names, one_of
from onnx_lab.transforms._select import select_nodes

if TYPE_CHECKING:
    import onnx_ir as ir

_ARITHMETIC = ("float32", "bfloat16")
_FIRST_OPSET = 13


def bf16(
    m: Model,
    *,
    arithmetic: str = "float32",
    keep_io: bool = True,
    block_ops: Iterable[str] = (),
    block_nodes: Iterable[str] = (),
    name: str | None = None,
) -> Model:
    """Store float32 weights as bfloat16: half the bytes, float32's range, three decimal digits.

    ONNX Runtime's CPU provider computes nothing in bfloat16 (it moves, gathers and casts it), so by default each weight
    is followed by a cast to float32: such a file runs wherever the float32 file runs, as fast and with as much memory,
    for sessions cast the weights once as they load. A provider that chooses bfloat16 itself, such as OpenVINO's on a
    CPU with AMX, does so with either file. Optimize first: fusions look for weights, not for casts of them.

    Parameters
    ----------
    m : Model
        With float32 weights, opset 13 or newer.
    arithmetic : str, default "float32"
        Or ``"bfloat16"``: tensors between nodes too, for GPUs (CUDA, TensorRT). The CPU provider does not load it.
    keep_io : bool, default True
        Inputs and outputs stay float32. False is for ``arithmetic="bfloat16"``.
    block_ops : iterable of str
        Operators whose weights (and arithmetic) stay float32.
    block_nodes : iterable of str
        Nodes likewise: names, globs, or modules such as ``bert.encoder.layer.0``.
    name : str, optional
        Default ``"<name>-bf16"``.

    Returns
    -------
    Model
        Its card says how many weights were rounded (to nearest, ties to even), by how much at most, how many were
        clamped or became zero, and what runs where.

    Raises
    ------
    BadInput
        For an operator or node that the model does not have.
    TransformError
        Below opset 13, or for float16 weights with ``arithmetic="bfloat16"``.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> small = lab.bf16(lab.samples.tiny())
    >>> small.header.weights["bfloat16"], small.lineage[-1].notes["largest_relative"] <= 2**-8
    (192, True)
    """
    one_of("arithmetic", arithmetic, _ARITHMETIC)
    refuse_frozen(m, "bf16")
    ops, nodes = names("block_ops", block_ops), names("block_nodes", block_nodes)
    for op in ops:
        if op not in m.header.operators:
            raise BadInput(f"block_ops: {op!r} is not in {m.name}", do=did_you_mean(op, m.header.operators))
    _check(m, arithmetic, keep_io)
    options: dict[str, Any] = {"arithmetic": arithmetic, "keep_io": keep_io}
    options |= {k: v for k, v in {"block_ops": ops, "block_nodes": nodes}.items() if v}
    return produce(
        "bf16",
        options_json(**options),
        lambda: _body(m, arithmetic, keep_io, ops, nodes),
        tools=["onnx-lab", "onnxruntime", "onnxruntime-gpu", "onnx", "ml_dtypes"],
        name=name or f"{m.name}-bf16",
        parent=m,
    )


def _check(m: Model, arithmetic: str, keep_io: bool) -> None:
    if arithmetic == "float32" and not keep_io:
        raise BadInput(
            "keep_io=False with arithmetic='float32'",
            accepted="keep_io=True: a graph that computes in float32 has float32 inputs and outputs",
            do="arithmetic='bfloat16'",
        )
    opset = m.header.opsets.get("", m.header.opsets.get("ai.onnx", 0))
    if opset < _FIRST_OPSET:
        raise TransformError(
            f"bf16: {m.name} is written in opset {opset}",
            accepted=f"opset {_FIRST_OPSET} or newer: operators take bfloat16 from there on",
            do="export it again, or lab.fp16(m)",
        )
    if arithmetic == "bfloat16" and "float16" in m.header.weights:
        raise TransformError(
            f"bf16: {m.name} has float16 weights", accepted="a float32 model", do="bf16 the model that it was made from"
        )


def _body(m: Model, arithmetic: str, keep_io: bool, ops: tuple[str, ...], nodes: tuple[str, ...]) -> Made:
    graph = prepared(m)
    blocked = select_nodes(graph, "block_nodes", nodes)
    if arithmetic == "float32":
        done = store_as_bfloat16(graph, blocked, ops)
        return Made(graph, {**done.notes(), "say": [*done.say(m), *(_FLOAT32_RUNS if done.stored else [])]})
    graph, done, left = compute_in_bfloat16(graph, blocked, ops, keep_io)
    say = [*done.say(m), *_left(left), _where_it_runs(graph)] if done.stored else done.say(m)
    return Made(graph, {**done.notes(), "float32_nodes": left, "say": say})


_FLOAT32_RUNS = [
    "arithmetic in float32: runs wherever the float32 file runs; half the size on disk, its speed and memory",
]


def _left(left: list[str]) -> list[str]:
    if not left:
        return []
    named = ", ".join([*left[:5], *["..."] * (len(left) > 5)])
    return [f"{len(left)} nodes stay float32 (blocked, or their operator takes no bfloat16 in this opset): {named}"]


def _where_it_runs(graph: ir.Model) -> str:
    """Ask the CPU provider that is installed here."""
    tools = workspace.versions(["onnxruntime", "onnxruntime-gpu"])
    engine = f"onnxruntime {next(iter(tools.values()), '')}"
    with workspace.scratch() as folder:
        write_ir(graph, folder / "asked.onnx")
        try:
            Worker.for_model(workspace.open_model(folder / "asked.onnx")).close()
        except BadModel as e:
            kernel = re.search(r"no kernel for \w+\(\d+\)", str(e))
            why = kernel[0] if kernel else "it does not load there"
            return f"arithmetic in bfloat16: not for the CPU provider of {engine} ({why}); for GPUs, not run here"
    return f"arithmetic in bfloat16: the CPU provider of {engine} loads it"


def plain_code(
    *,
    arithmetic: str = "float32",
    keep_io: bool = True,  # noqa: ARG001  (an option of the step; it says nothing for arithmetic='float32')
    block_ops: Iterable[str] = (),
    block_nodes: Iterable[str] = (),
) -> str:
    """The plain code that a bf16 step amounts to: ``model.onnx`` in, ``model-bf16.onnx`` out.

    Raises
    ------
    BadInput
        For ``arithmetic="bfloat16"``: that is a conversion of types through the whole graph, and no short script.

    Examples
    --------
    >>> print(plain_code().splitlines()[1])
    import onnx
    """
    if arithmetic != "float32":
        raise BadInput(
            "no plain code for arithmetic='bfloat16'",
            accepted="arithmetic='float32'",
            do="lab.fp16 has one; bfloat16 is the same graph with other types",
        )
    blocked = f"{list(block_ops)!r} or node.name in {list(block_nodes)!r}"
    return "\n".join(
        [
            "import ml_dtypes",
            "import onnx",
            "from onnx import TensorProto, helper, numpy_helper",
            "",
            'model = onnx.load("model.onnx")',
            "graph = model.graph",
            f"stay = {{name for node in graph.node if node.op_type in {blocked} for name in node.input}}",
            "limit = float(ml_dtypes.finfo(ml_dtypes.bfloat16).max)",
            "for weight in graph.initializer:",
            "    values = numpy_helper.to_array(weight)",
            '    if values.dtype != "float32" or values.size < 64 or weight.name in stay:',
            "        continue",
            '    name = weight.name + ".bf16"',
            "    rounded = values.clip(-limit, limit).astype(ml_dtypes.bfloat16)  # to nearest, ties to even",
            "    cast = helper.make_node(",
            '        "Cast", [name], [weight.name], name=weight.name + ".cast", to=TensorProto.FLOAT',
            "    )",
            "    weight.CopyFrom(",
            "        helper.make_tensor(name, TensorProto.BFLOAT16, values.shape, rounded.tobytes(), raw=True)",
            "    )",
            "    graph.node.insert(0, cast)",
            'onnx.save(model, "model-bf16.onnx")',
        ]
    )
