"""How an Inspection shows itself: the rows and tables of its card."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from onnx_lab.card import Card, Table, megabytes, milliseconds
from onnx_lab.measure._macs import macs_text
from onnx_lab.measure._modules import ModuleWork, largest

if TYPE_CHECKING:
    from onnx_lab.measure.inspect import Inspection

_SHOWN = 8
_OPERATORS = 16
_MODULES = 16
#: Modules with less than this share of the whole are not shown.
_SHARE = 0.03


def inspection_card(look: Inspection) -> Card:
    """What is in a file, in rows; operators, weights and modules as tables."""
    weights = sum(look.weight_bytes.values())
    rows = [
        ("size", f"{megabytes(look.size_bytes)}, of it weights {megabytes(weights)}"),
        ("nodes", _nodes(look)),
        ("work", _work(look)),
        ("activations", _activations(look)),
        ("attention", _attention(look.attention_blocks, look.attention_fused)),
        ("opset", ", ".join(f"{d.name or 'ai.onnx'} {d.version or '?'}" for d in look.domains)),
        ("made by", f"{look.producer or 'unknown'}, IR version {look.ir_version}"),
        ("inputs", "; ".join(map(str, look.inputs))),
        ("outputs", "; ".join(map(str, look.outputs))),
        ("dynamic axes", "; ".join(f"{n}: {', '.join(p)}" for n, p in look.dynamic_axes.items()) or "none"),
        ("lineage", " → ".join(s.verb for s in look.lineage) or "a file from elsewhere"),
    ]
    if custom := [f"{d.name} ({d.nodes} nodes) needs {d.known_by}" for d in look.domains if d.custom]:
        rows.append(("custom domains", "; ".join(custom)))
    if look.functions:
        rows.append(("functions", _listed(f"{f.name} ({f.nodes} nodes, {_times(f.calls)})" for f in look.functions)))
    tables = [_operator_table(look), _weight_table(look), _module_table(look), _subgraph_table(look)]
    return Card(look.name, rows, [*(t for t in tables if t.rows), *_provider_table(look)], look.notes)


def by_cost(look: Inspection) -> tuple[str, str]:
    """What modules are compared by: the attribute, and its word."""
    if look.module_seconds:
        return "seconds", "time"
    return ("macs", "MACs") if look.macs else ("weight_bytes", "weights")


def _nodes(look: Inspection) -> str:
    glue = {op: n for op, n in look.operators.items() if any(o.operator == op and o.glue for o in look.by_operator)}
    names = ", ".join(f"{n} {op}" for op, n in list(glue.items())[:_SHOWN])
    return f"{look.nodes}, {look.glue} of them glue" + f" ({names}{', …' * (len(glue) > _SHOWN)})" * bool(names)


def _work(look: Inspection) -> str:
    unknown = ", ".join(f"{n} {op}" for op, n in look.unknown_macs.items())
    return f"{macs_text(look.macs)} at {look.shape or 'no inputs'}" + f"; without {unknown}" * bool(unknown)


def _activations(look: Inspection) -> str:
    a = look.activations
    if not a.tensors or a.unknown == a.tensors:
        return "not known: no shapes"
    doubt = f"; {a.unknown} of {a.tensors} tensors are of unknown size" * bool(a.unknown)
    at = f" (at {a.peak_node})" * bool(a.peak_node)
    return f"about {megabytes(a.peak_bytes)} at once{at}, {megabytes(a.total_bytes)} in all{doubt}"


def _attention(found: int, fused: int) -> str:
    return f"{fused} of {found} blocks are one node" if found else "no attention blocks"


def _operator_table(look: Inspection) -> Table:
    shown = look.by_operator[:_OPERATORS]
    macs = look.macs or 1
    rows = [
        (
            o.operator,
            str(o.nodes),
            _size(o.weight_bytes),
            macs_text(o.macs) if o.macs else "?" * bool(o.unknown),
            f"{o.macs / macs:.0%}" if o.macs else "",
            "glue" if o.glue else "",
        )
        for o in shown
    ]
    if rest := look.by_operator[_OPERATORS:]:
        weights, more = sum(o.weight_bytes for o in rest), sum(o.macs for o in rest)
        rows.append(
            (
                f"{len(rest)} more",
                str(sum(o.nodes for o in rest)),
                _size(weights),
                macs_text(more) if more else "",
                f"{more / macs:.0%}" if more else "",
                "",
            )
        )
    return Table(("operator", "nodes", "weights", "MACs", "share", ""), tuple(rows), "operators by count")


def _weight_table(look: Inspection) -> Table:
    total = sum(look.weight_bytes.values()) or 1
    by_dtype = [(f"all {t}", "", _size(b), f"{b / total:.0%}") for t, b in look.weight_bytes.items()]
    most = [
        (
            shortened(w.module or w.name),
            f"{w.dtype}{list(w.shape)}",
            _size(w.size_bytes),
            f"{w.size_bytes / total:.0%}",
        )
        for w in look.weights[:_SHOWN]
    ]
    return Table(("used by", "type", "size", "share"), (*by_dtype, *most), f"weights, the {_SHOWN} largest")


def _module_table(look: Inspection) -> Table:
    attribute, word = by_cost(look)
    rows = largest(look.modules, lambda r: getattr(r, attribute) or 0, most=_MODULES, share=_SHARE)
    if not any(r.path for r in rows):
        return Table(("module",), ())
    return module_table(rows, look.modules, attribute, f"modules with at least {_SHARE:.0%} of the {word}")


def module_table(rows: Sequence[ModuleWork], all_rows: Sequence[ModuleWork], attribute: str, caption: str) -> Table:
    """Modules with what they and all below them cost; the bars are the share of `attribute`."""
    timed = any(r.seconds is not None for r in rows)
    whole = sum(getattr(r, attribute) or 0 for r in all_rows if not r.depth) or 1
    shares = [(getattr(r, attribute) or 0) / whole for r in rows]
    cells = tuple(
        (
            shortened(r.path) or "(no module)",
            str(r.nodes),
            _size(r.weight_bytes),
            macs_text(r.macs) if r.macs else "",
            *([milliseconds(r.seconds or 0.0)] if timed else []),
            f"{share:.0%}",
        )
        for r, share in zip(rows, shares, strict=True)
    )
    header = ("module and below", "nodes", "weights", "MACs", *["time"] * timed, "share")
    return Table(header, cells, caption, bars={(i, len(header) - 1): share for i, share in enumerate(shares)})


def _subgraph_table(look: Inspection) -> Table:
    rows = tuple(
        (
            "  " * (s.depth - 1) + s.operator,
            shortened(s.node),
            s.attribute,
            str(s.nodes),
            _listed(_counted(s.operators)),
        )
        for s in look.subgraphs[: 2 * _SHOWN]
    )
    rest = len(look.subgraphs) - len(rows)
    caption = "sub-graphs" + f" ({rest} more in .subgraphs)" * bool(rest)
    return Table(("operator", "node", "graph", "nodes", "inside"), rows, caption)


def _provider_table(look: Inspection) -> list[Table]:
    rows = tuple(
        (provider.removesuffix("ExecutionProvider"), str(sum(ops.values())), _listed(_counted(ops), 12))
        for provider, ops in look.providers.items()
    )
    caption = f"who runs what on {look.target}, after the engine optimized the graph"
    return [Table(("provider", "nodes", "operators"), rows, caption)] if rows else []


def _size(size_bytes: int) -> str:
    """Sizes that would read as 0 are left out."""
    return megabytes(size_bytes) if size_bytes >= 500 else ""


def _counted(operators: dict[str, int]) -> list[str]:
    return [f"{op} {n}" for op, n in operators.items()]


def _listed(words: Iterable[str], most: int = _SHOWN) -> str:
    all_words = list(words)
    return ", ".join(all_words[:most]) + ", …" * (len(all_words) > most)


def _times(calls: int) -> str:
    return "called once" if calls == 1 else f"called {calls} times"


def shortened(name: str, limit: int = 48) -> str:
    """The end of a long name, which tells more than its beginning."""
    return name if len(name) <= limit else "…" + name[-(limit - 1) :]
