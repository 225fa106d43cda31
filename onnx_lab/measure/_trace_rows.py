"""From sums to rows: in the order of the second file, each with what it adds to the error it was given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from onnx_lab._metadata import module_of
from onnx_lab.measure._differences import Sums, TensorDifference
from onnx_lab.measure._match import Pair, leaving

if TYPE_CHECKING:
    import onnx_ir as ir

#: Operators whose exclusion from a quantization makes sense.
PRODUCTS = frozenset(
    {"MatMul", "Gemm", "Conv", "ConvTranspose", "Gather", "Attention", "MultiHeadAttention", "FusedMatMul"}
)
#: A tensor that is no module's output differs from it by more than this.
_STRANGE = 0.05


def rows_of(
    a: ir.Model | None, b: ir.Model, pairs: Sequence[Pair], sums: Mapping[str, Sums], rtol: float
) -> Iterator[TensorDifference]:
    """Rows of what was counted; `sums` is keyed by both names. Without `a`, the first is a module of PyTorch."""
    kept = _trusted(b, _best(pairs, sums), sums, rtol)
    makers = {v.name: node for node in a.graph for v in node.outputs} if a is not None else {}
    carried: dict[str, float] = {}
    for node in b.graph:
        before = max((carried.get(v.name or "", 0.0) for v in node.inputs if v is not None), default=0.0)
        for value in node.outputs:
            name = value.name or ""
            carried[name] = before
            if name in kept:
                p = kept[name]
                s = sums[_key(p)]
                carried[name] = s.error
                maker = makers.get(p.a, node)
                module = p.module or module_of(maker) or module_of(node)
                row = s.result(name, maker.name or "", maker.op_type, module, max(0.0, s.error - before))
                yield replace(row, how=p.how, readers=_readers(maker, p))


def _best(pairs: Sequence[Pair], sums: Mapping[str, Sums]) -> dict[str, Pair]:
    """By tensor of `b`: of several that could be a module's output the one that is nearest to it."""
    of_module: dict[str, Pair] = {}
    for p in pairs:
        if p.how == "module" and _key(p) in sums:
            other = of_module.get(p.a)
            if other is None or sums[_key(p)].error < sums[_key(other)].error:
                of_module[p.a] = p
    chosen = [p for p in pairs if _key(p) in sums and (p.how != "module" or of_module[p.a] is p)]
    found: dict[str, Pair] = {}
    for p in chosen:
        found.setdefault(p.b, p)  # the innermost module comes first
    return found


def _trusted(b: ir.Model, found: dict[str, Pair], sums: Mapping[str, Sums], rtol: float) -> dict[str, Pair]:
    """Without what was taken for a module's output and cannot be it: a larger module around it is right.

    Fusions leave such tensors, a product without its bias for one.
    """
    ends = {module: names[-1] for module, names in leaving(b).items()}
    kept = {}
    for name, p in found.items():
        parts = p.module.split(".") if p.how == "module" else []
        around = [ends.get(".".join(parts[:i]), "") for i in range(1, len(parts))]
        right = any(t != name and t in found and sums[_key(found[t])].error <= rtol for t in around)
        if not (right and sums[_key(p)].error > max(_STRANGE, rtol)):
            kept[name] = p
    return kept


def _readers(maker: ir.Node, p: Pair) -> tuple[str, ...]:
    """The products that read a rounded tensor in the file it was float in."""
    if p.how != "rounded":
        return ()
    out = [v for v in maker.outputs if v.name == p.a]
    return tuple(n.name for v in out for n in v.consumers() if n.op_type in PRODUCTS and n.name)


def _key(p: Pair) -> str:
    return f"{p.a}\n{p.b}"
