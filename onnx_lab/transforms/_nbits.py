"""method="int4" and "int8-weights": weights in blocks of few bits, activations in float."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from onnx_lab.card import megabytes
from onnx_lab.errors import BadInput, TransformError
from onnx_lab.model import Model
from onnx_lab.produce import Made
from onnx_lab.transforms._carry import fill_scopes
from onnx_lab.transforms._dataset import identify
from onnx_lab.transforms._gptq import gptq, second_moments
from onnx_lab.transforms._method import Method, Prepared
from onnx_lab.transforms._nbits_code import plain_code
from onnx_lab.transforms._nbits_graph import KINDS, Place, places, put, still_float, weights_bytes, write_out_gemm
from onnx_lab.transforms._nbits_weights import Blocks, in_blocks, size_in_blocks
from onnx_lab.transforms._options import names, one_of
from onnx_lab.transforms._select import select_nodes
from onnx_lab.transforms.unfuse import fold_weights, split_attention, split_embeddings

if TYPE_CHECKING:
    import onnx_ir as ir

    from onnx_lab.task import Dataset

ALGORITHMS = ("rtn", "hqq", "k_quant", "gptq")
BLOCK_SIZES = (16, 32, 64, 128, 256)
ACCURACY_LEVELS = (0, 1, 2, 3, 4)
_METHOD_OF = {4: "int4", 8: "int8-weights"}
#: 32 at 4 bits: blocks of 64 lose half a point more of the sample task, of 16 give a file a fifth larger. At 8 bits
#: there is nothing to choose between them but their size.
_BLOCK_SIZE = {4: 32, 8: 128}


_FOR_SIZE = (
    "smaller, not faster: on ONNX Runtime's CPU provider a BERT-base was slower than in float32 at batch 8 "
    "and at 512 tokens"
)


@dataclass(frozen=True)
class Settings:
    """The options, settled."""

    bits: int
    block_size: int
    symmetric: bool
    accuracy_level: int
    algorithm: str
    kinds: tuple[str, ...]
    exclude_nodes: tuple[str, ...]


def prepare(m: Model, given: Mapping[str, Any], data: Dataset | None, *, bits: int) -> Prepared:
    """Check the options; see `Method.prepare`."""
    _check_bits(given["bits"], bits)
    algorithm = one_of("algorithm", given["algorithm"], ALGORITHMS)
    block_size = _BLOCK_SIZE[bits] if given["block_size"] is None else given["block_size"]
    _number("block_size", block_size, BLOCK_SIZES)
    _number("accuracy_level", given["accuracy_level"], ACCURACY_LEVELS)
    if algorithm == "hqq":
        _check_hqq(bits, given["accuracy_level"])
    symmetric = _symmetric(given["symmetric"], bits, algorithm)
    op_types = given["op_types"]
    kinds = names("op_types", KINDS if op_types is None else op_types, KINDS)
    left_out = names("exclude_ops", given["exclude_ops"], KINDS)
    nodes = names("exclude_nodes", given["exclude_nodes"])
    asked = {
        "accuracy_level": given["accuracy_level"],
        "op_types": kinds if op_types is not None else (),
        "exclude_ops": left_out,
        "exclude_nodes": nodes,
        "data": _identity(m, data, algorithm),
    }
    options = {"block_size": block_size, "symmetric": symmetric, "algorithm": algorithm}
    kept = tuple(k for k in kinds if k not in left_out)
    settings = Settings(bits, block_size, symmetric, given["accuracy_level"], algorithm, kept, nodes)
    return {**options, **{k: v for k, v in asked.items() if v}}, lambda: _body(m, settings, data)


def _check_bits(given: int | None, bits: int) -> None:
    if given is None or given == bits:
        return
    if given in _METHOD_OF:
        raise BadInput(f"bits={given} for method={_METHOD_OF[bits]!r}", do=f"method={_METHOD_OF[given]!r}")
    raise BadInput(f"bits={given!r}", accepted="4 (method='int4') or 8 (method='int8-weights')")


def _check_hqq(bits: int, accuracy_level: int) -> None:
    """Its zero points are float: onnxruntime's CPU kernel takes those at 4 bits only, and computes in float32."""
    if bits != 4:
        others = ", ".join(a for a in ALGORITHMS if a != "hqq")
        raise BadInput(f"algorithm='hqq' for method={_METHOD_OF[bits]!r}", accepted=others, do="leave algorithm out")
    if accuracy_level:
        raise BadInput(f"accuracy_level={accuracy_level} for algorithm='hqq'", accepted="0: it computes in float32")


def _number(option: str, value: object, accepted: tuple[int, ...]) -> None:
    if isinstance(value, bool) or value not in accepted:
        raise BadInput(f"{option}={value!r}", accepted=", ".join(map(str, accepted)))


def _symmetric(given: bool | None, bits: int, algorithm: str) -> bool:
    if algorithm in ("rtn", "gptq"):
        return bits == 8 if given is None else bool(given)
    if given:
        raise BadInput(
            f"symmetric=True for algorithm={algorithm!r}", accepted="symmetric with rtn and gptq", do="leave it out"
        )
    return False


def _identity(m: Model, data: Dataset | None, algorithm: str) -> str:
    if algorithm != "gptq":
        if data is not None:
            raise BadInput(
                f"data for algorithm={algorithm!r}", accepted="data with algorithm='gptq'", do="leave it out"
            )
        return ""
    if data is None:
        raise BadInput(
            "no data for algorithm='gptq'",
            accepted="calibration feeds: it rounds so that the answers to them change least",
            do="data=[feeds, feeds, ...]; or algorithm='rtn', which needs none",
        )
    return str(identify(m, data))


def _body(m: Model, s: Settings, data: Dataset | None) -> Made:
    graph = m.to_ir()
    before_bytes = weights_bytes(graph)
    chosen, gemms = _ready(graph, s)
    worth = [p for p in chosen if _gains(p, s)]
    done: Counter[str] = Counter("Gemm" if p.node.name in gemms else p.kind for p in worth)
    _convert(graph, worth, s, data)
    if worth:
        graph.opset_imports.setdefault("com.microsoft", 1)
    fill_scopes(graph)
    return Made(
        graph, {"quantized": dict(done), "say": _say(m, graph, s, done, len(chosen) - len(worth), before_bytes)}
    )


def _gains(place: Place, s: Settings) -> bool:
    """Whether it gets smaller: a matrix with fewer rows than a block is padded to one."""
    k, n = place.shape
    return size_in_blocks(k, n, bits=s.bits, block_size=s.block_size, symmetric=s.symmetric) < 4 * k * n


def _ready(graph: ir.Model, s: Settings) -> tuple[list[Place], set[str]]:
    """Write out what hides its weights, in place; the places to quantize, and which of them were Gemms."""
    from onnx_ir.passes.common import LiftConstantsToInitializersPass, NameFixPass

    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(graph)
    NameFixPass()(graph)
    excluded = set(select_nodes(graph, "exclude_nodes", s.exclude_nodes))
    fold_weights(graph)
    if "MatMul" in s.kinds:
        split_attention(graph, masked_only=False)
    if "Gather" in s.kinds:
        split_embeddings(graph)
    gemms = write_out_gemm(graph, s.kinds, excluded)
    # a node that was written out keeps its name in front: what it became is excluded with it
    excluded |= {n.name or "" for n in graph.graph if any((n.name or "").startswith(f"{x}.") for x in excluded)}
    chosen = [p for p in places(graph, {"MatMul", "Gather"}, excluded) if p.kind in s.kinds or p.node.name in gemms]
    return chosen, gemms


def _convert(graph: ir.Model, chosen: list[Place], s: Settings, data: Dataset | None) -> None:
    done: dict[tuple[int, str], Blocks] = {}
    by_data = _rounded_by_data(graph, chosen, s, data) if data is not None else {}
    for place in chosen:
        key = (id(place.weight), place.kind)
        if key not in done:
            # a table's zero points must be whole numbers, and rounding it by k-quant or HQQ gains nothing
            algorithm = s.algorithm if place.kind == "MatMul" and s.algorithm != "gptq" else "rtn"
            done[key] = by_data.get(key) or in_blocks(
                place.matrix(), bits=s.bits, block_size=s.block_size, symmetric=s.symmetric, algorithm=algorithm
            )
        put(place, done[key], bits=s.bits, block_size=s.block_size, accuracy_level=s.accuracy_level)


def _rounded_by_data(graph: ir.Model, chosen: list[Place], s: Settings, data: Dataset) -> dict[tuple[int, str], Blocks]:
    """By GPTQ; only products of the main graph, whose activations can be read."""
    readable = [p for p in chosen if p.kind == "MatMul" and p.node.graph is graph.graph]
    by_input: dict[str, list[Place]] = {}
    for place in readable:
        x = place.node.inputs[0]
        by_input.setdefault((x.name or "") if x is not None else "", []).append(place)
    found: dict[tuple[int, str], Blocks] = {}
    for name, moments in second_moments(graph, {k: v[0].shape[0] for k, v in by_input.items()}, data):
        for place in by_input[name]:
            key = (id(place.weight), place.kind)
            if key not in found:
                found[key] = _gptq(place, moments, s)
    return found


def _gptq(place: Place, moments: Any, s: Settings) -> Blocks:
    import numpy as np

    try:
        return gptq(place.matrix(), moments, bits=s.bits, block_size=s.block_size, symmetric=s.symmetric)
    except np.linalg.LinAlgError:
        raise TransformError(
            f"quantize: what flows into {place.node.name!r} is not finite on this data",
            accepted="calibration feeds that the model answers with numbers",
            do="algorithm='rtn', which needs no data",
        ) from None


def _say(m: Model, graph: ir.Model, s: Settings, done: Counter[str], small: int, before_bytes: int) -> list[str]:
    left = still_float(graph)
    reasons = "left out, too small to gain, or without such a form"
    kept = "still float: " + ", ".join(f"{n} {k}" for k, n in left.items()) + f" ({reasons})"
    if not done:
        why = (
            f"only matrices too small to gain ({small})"
            if small
            else "no node of the chosen kinds with a constant matrix"
        )
        return [f"changed nothing: {m.name} has {why}", *([kept] if left else [])]
    after_bytes = weights_bytes(graph)
    form = "symmetric" if s.symmetric else "with zero points"
    say = [
        f"{s.bits}-bit weights in "
        + ", ".join(f"{n} {k}" for k, n in done.items())
        + f": blocks of {s.block_size}, {form}, {s.algorithm}",
        f"weights {megabytes(before_bytes)} → {megabytes(after_bytes)} ({after_bytes / before_bytes:.2f})",
    ]
    if left:
        say.append(kept)
    return [*say, _FOR_SIZE]


def _method(bits: int) -> Method:
    return Method(
        takes=frozenset(
            "bits block_size symmetric accuracy_level algorithm op_types exclude_ops exclude_nodes".split()
        ),
        prepare=partial(prepare, bits=bits),
        plain_code=partial(plain_code, bits=bits),
        data="taken",
        about_data="calibration feeds, for algorithm='gptq'",
        suffix=_METHOD_OF[bits],
    )


INT4, INT8_WEIGHTS = _method(4), _method(8)
