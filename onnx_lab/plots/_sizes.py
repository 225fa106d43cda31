"""Size of files, step by step, and what the bytes are made of."""

from __future__ import annotations

from collections.abc import Sequence

from onnx_lab.card import Table, megabytes
from onnx_lab.model import Model
from onnx_lab.plots import theme
from onnx_lab.plots.chart import Chart

_BYTES: dict[str, float] = {
    "float64": 8,
    "int64": 8,
    "uint64": 8,
    "float32": 4,
    "int32": 4,
    "uint32": 4,
    "float16": 2,
    "bfloat16": 2,
}
_BYTES |= {"int16": 2, "uint16": 2, "int4": 0.5, "uint4": 0.5}
# one colour for each family, so that a shrinking model visibly changes its stuff
_COLOURS = {"float32": theme.BLUE, "float16": theme.TEAL, "bfloat16": theme.TEAL, "int8": theme.ORANGE}
_COLOURS |= {"uint8": theme.AMBER, "int4": theme.PURPLE, "uint4": theme.PURPLE}
_SMALL = "graph and small tensors"


def size_chart(models: Sequence[Model]) -> Chart:
    """Horizontal bars, one per model, made of the types of its weights."""
    go = theme.graph_objects()
    parts = [_parts(m) for m in models]
    names = _labels(models)
    kinds = list(dict.fromkeys(k for p in parts for k in p if k != _SMALL))
    kinds += [_SMALL] if any(_SMALL in p for p in parts) else []
    traces = [
        go.Bar(
            name=kind,
            y=names,
            x=[p.get(kind, 0) / 1e6 for p in parts],
            orientation="h",
            marker={"color": _COLOURS.get(kind, theme.NEUTRAL)},
            hovertemplate=f"%{{y}}: %{{x:.3f}} MB of {kind}<extra></extra>",
        )
        for kind in kinds
    ]
    first = models[0].size_bytes
    notes = [
        {"x": m.size_bytes / 1e6, "y": name, "text": f"{megabytes(m.size_bytes)}{_share(m.size_bytes, first, i)}",
         "showarrow": False, "xanchor": "left", "xshift": 6}
        for i, (m, name) in enumerate(zip(models, names, strict=True))
    ]  # fmt: skip
    title = "Size on disk, MB"
    fig = theme.figure(*traces, title=title, height=theme.bars_height(len(models), extra=100), barmode="stack",
                       barcornerradius=0)  # fmt: skip
    fig.update_layout(annotations=notes, legend={"traceorder": "normal"}, margin={"t": 64})
    fig.update_yaxes(autorange="reversed", gridcolor=theme.CLEAR)
    fig.update_xaxes(range=[0, 1.28 * max(m.size_bytes for m in models) / 1e6])
    return Chart(title, fig, [_table(models, parts)])


def _parts(m: Model) -> dict[str, float]:
    """Bytes by dtype of the weights; small ones and the graph itself together."""
    known: dict[str, float] = {t: n * _BYTES.get(t, 1) for t, n in m.header.weights.items()}
    parts: dict[str, float] = {t: b for t, b in known.items() if b >= 0.01 * m.size_bytes}
    rest = m.size_bytes - sum(parts.values())
    return parts | ({_SMALL: rest} if rest > 0.005 * m.size_bytes else {})


def _labels(models: Sequence[Model]) -> list[str]:
    """Names, told apart where two are the same: Plotly would stack them."""
    seen: dict[str, int] = {}
    labels = []
    for m in models:
        seen[m.name] = seen.get(m.name, 0) + 1
        labels.append(m.name if seen[m.name] == 1 else f"{m.name} #{seen[m.name]}")
    return labels


def _share(size: int, first: int, place: int) -> str:
    return f"  ·  {size / first:.0%}" if place and first else ""


def _table(models: Sequence[Model], parts: Sequence[dict[str, float]]) -> Table:
    first = models[0].size_bytes or 1
    rows = tuple(
        (
            m.name,
            m.lineage[-1].verb if m.lineage else "from elsewhere",
            megabytes(m.size_bytes),
            f"{m.size_bytes / first:.0%}",
            ", ".join(f"{k} {megabytes(b)}" for k, b in sorted(p.items(), key=lambda kb: -kb[1]) if k != _SMALL),
        )
        for m, p in zip(models, parts, strict=True)
    )
    return Table(("model", "last step", "size", "of the first", "made of"), rows)
