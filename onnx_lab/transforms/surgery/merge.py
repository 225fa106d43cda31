"""merge: two models become one, outputs of the first fed to inputs of the second."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from onnx_lab._a_model import check_model
from onnx_lab.errors import BadInput, OnnxLabError, TransformError, did_you_mean
from onnx_lab.feeds import model_feeds
from onnx_lab.model import Model
from onnx_lab.transforms import _proof
from onnx_lab.transforms.surgery._edit import edited

if TYPE_CHECKING:
    import onnx_ir as ir

_SAME = 1e-4


def merge(
    m: Model,
    other: Model,
    join: str | Iterable[str] | Mapping[str, str] | None = None,
    *,
    prefix: str = "second_",
    keep: bool = False,
    name: str | None = None,
    check: bool = True,
) -> Model:
    """Put a second model behind the first: pre-processing before a network, a head on a backbone.

    Parameters
    ----------
    m : Model
        The first; its lineage goes on, and holds that of the second.
    other : Model
        The second.
    join : str, iterable of str, or mapping, optional
        ``OUTPUT=INPUT`` pairs. Default: those of the same name, or the only output and the only input.
    prefix : str, default "second_"
        Before names of the second that the first has, too.
    keep : bool, default False
        Outputs of the first that are joined stay outputs.
    name : str, optional
        Default ``"<name>-merge"``.
    check : bool, default True
        Run one after the other and the merged one, and hold the answers against each other.

    Returns
    -------
    Model

    Raises
    ------
    BadInput
        For a name that is no output or input, no pair at all, or types and sizes that do not fit.
    TransformError
        When the two are written for different opsets, or the merged one answers otherwise.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> head, tail = lab.surgery.split(lab.samples.tiny(), "h2")
    >>> m = lab.surgery.merge(head, tail)
    >>> [s.name for s in (*m.inputs, *m.outputs)]
    ['x', 'logits']
    """
    check_model(m, other)
    pairs = _pairs(m, other, join)
    lineage = [str(s) for s in other.lineage]
    return edited(
        m,
        "merge",
        lambda g: _merge(m, other, g, pairs, prefix, keep, check),
        options={"other": other.digest, "join": pairs, "prefix": prefix, "keep": keep},
        name=name,
        check=False,
        notes={"lineage": lineage, "name": other.name},
    )


def _pairs(m: Model, other: Model, join: str | Iterable[str] | Mapping[str, str] | None) -> dict[str, str]:
    outputs, inputs = {s.name: s for s in m.outputs}, {s.name: s for s in other.inputs}
    if join is None:
        pairs = {n: n for n in outputs if n in inputs}
        if not pairs and len(outputs) == len(inputs) == 1:
            pairs = dict(zip(outputs, inputs, strict=True))
    elif isinstance(join, Mapping):
        pairs = dict(join)
    else:
        words = [join] if isinstance(join, str) else list(join)
        pairs = {w.split("=")[0]: w.split("=")[-1] for w in words}
    if not pairs:
        raise BadInput(
            f"no output of {m.name} has the name of an input of {other.name}",
            accepted=f"OUTPUT=INPUT of {', '.join(outputs)} and {', '.join(inputs)}",
        )
    for out, into in pairs.items():
        for word, known, what in ((out, outputs, f"output of {m.name}"), (into, inputs, f"input of {other.name}")):
            if word not in known:
                raise BadInput(f"{word!r} is no {what}", accepted=", ".join(known), do=did_you_mean(word, known))
        a, b = outputs[out], inputs[into]
        fits = len(a.shape) == len(b.shape) and all(
            x == y for x, y in zip(a.shape, b.shape, strict=True) if isinstance(x, int) and isinstance(y, int)
        )
        if a.dtype != b.dtype or not fits:
            raise BadInput(f"{a} does not fit {b}", accepted="the same type and sizes", do="surgery.input_dtype casts")
    return pairs


def _merge(
    m: Model, other: Model, model: ir.Model, pairs: Mapping[str, str], prefix: str, keep: bool, check: bool
) -> list[str]:
    import onnx_ir as ir

    second = other.to_ir()
    for domain, version in second.opset_imports.items():
        if model.opset_imports.setdefault(domain, version) != version:
            raise TransformError(
                f"surgery.merge: {m.name} is written for opset {model.opset_imports[domain]} of {domain or 'ai.onnx'}, "
                f"{other.name} for {version}",
                do="surgery.set_opset brings one to the other's",
            )
    renamed = _without_clashes(model, second, prefix)
    joined = {v.name: v for v in model.graph.outputs if v.name in pairs}
    back = {into: out for out, into in pairs.items()}
    given = [v for v in second.graph.inputs if renamed.get(v.name or "", v.name or "") in back]
    for value in given:
        source = joined[back[renamed.get(value.name or "", value.name or "")]]
        value.replace_all_uses_with(source, replace_graph_outputs=True)
    outputs, inputs = list(second.graph.outputs), [v for v in second.graph.inputs if v not in given]
    second.graph.inputs.clear()
    second.graph.outputs.clear()
    weights = list(second.graph.initializers.values())
    second.graph.initializers.clear()
    nodes = list(second.graph)
    second.graph.remove(nodes)
    model.graph.extend(nodes)
    for value in weights:
        model.graph.register_initializer(value)
    model.graph.inputs.extend(inputs)
    for value in joined.values():
        if not keep:
            model.graph.outputs.remove(value)
    model.graph.outputs.extend(v for v in outputs if v not in list(model.graph.outputs))
    model.functions.update(second.functions)
    say = [f"behind it {other.name}: " + ", ".join(f"{o} → {i}" for o, i in pairs.items())]
    say += [f"renamed in {other.name}: {', '.join(f'{b} → {a}' for a, b in renamed.items())}"] if renamed else []
    assert isinstance(model, ir.Model)
    return say + (_as_one_after_the_other(m, other, model, pairs, {b: a for a, b in renamed.items()}) if check else [])


def _without_clashes(model: ir.Model, second: ir.Model, prefix: str) -> dict[str, str]:
    """Give what the second has in common with the first another name; new name -> old, of inputs and outputs."""
    import onnx_ir as ir

    taken = set(ir.convenience.create_value_mapping(model.graph))
    own = ir.convenience.create_value_mapping(second.graph)
    clashing = [n for n in own if n in taken]
    ends = {v.name for v in (*second.graph.inputs, *second.graph.outputs)}
    said = {f"{prefix}{n}": n for n in clashing if n in ends}
    ir.convenience.rename_values([own[n] for n in clashing], [f"{prefix}{n}" for n in clashing])
    names = {n.name for n in model.graph.all_nodes()}
    for node in second.graph.all_nodes():
        if node.name in names:
            node.name = f"{prefix}{node.name}"
    return said


def _as_one_after_the_other(
    m: Model, other: Model, merged: ir.Model, pairs: Mapping[str, str], renamed: Mapping[str, str]
) -> list[str]:
    from onnx_lab import workspace
    from onnx_lab.produce import write_ir

    with workspace.scratch() as folder:
        write_ir(merged, folder / "merged.onnx")
        made = workspace.open_model(folder / "merged.onnx")
        feeds = dict(model_feeds(made, batch=2, seq=16))
        try:
            first = _proof.answers(m, [{s.name: feeds[s.name] for s in m.inputs}])[0]
            back: dict[str, Any] = {into: first[out] for out, into in pairs.items()}
            rest = {s.name: feeds[renamed.get(s.name, s.name)] for s in other.inputs if s.name not in back}
            wanted = _proof.answers(other, [{**back, **rest}])[0]
        except OnnxLabError as e:
            return [f"not run: they do not take random feeds one after the other ({e.came.splitlines()[0]})"]
        given = _proof.answers(made, [feeds])[0]
    worst = max((_proof.difference(v, given[renamed.get(n, n)]), n) for n, v in wanted.items())
    if worst[0] > _SAME:
        raise TransformError(
            f"surgery.merge: output {worst[1]!r} would differ by {worst[0]:.2g} from one after the other"
        )
    return [f"answers as one after the other do (largest difference {worst[0]:.1g})"]


def plain_code(
    *, join: Mapping[str, str] | Sequence[str] | str | None = None, other: object = None,  # noqa: ARG001
    prefix: str = "second_", keep: bool = False,
) -> str:  # fmt: skip
    """The plain code of a merge.

    Examples
    --------
    >>> print(plain_code(join={"h2": "h2"}).splitlines()[-1])
    onnx.save(merged, "model-merge.onnx")
    """
    words = [join] if isinstance(join, str) else list(join or ()) if not isinstance(join, Mapping) else []
    pairs = list(join.items()) if isinstance(join, Mapping) else [tuple(w.split("=", 1)) for w in words]
    more = ", outputs=[v.name for m in (a, b) for v in m.graph.output]" if keep else ""
    return "\n".join(
        [
            "import onnx",
            "from onnx.compose import add_prefix, merge_models",
            "",
            'a, b = onnx.load("model.onnx"), onnx.load("other.onnx")',
            "del b.metadata_props[:]  # where both files say something of the same, it refuses",
            f"b = add_prefix(b, {prefix!r})",
            f"pairs = [(out, {prefix!r} + into) for out, into in {pairs!r}]",
            f"merged = merge_models(a, b, io_map=pairs{more})",
            "ends = {v.name for v in (*a.graph.input, *a.graph.output)}",
            "for value in (*merged.graph.input, *merged.graph.output):  # the second's own names, where they are free",
            f"    old = value.name.removeprefix({prefix!r})",
            "    if old != value.name and old not in ends:",
            "        for node in merged.graph.node:",
            "            for names in (node.input, node.output):",
            "                names[:] = [old if n == value.name else n for n in names]",
            "        value.name = old",
            'onnx.save(merged, "model-merge.onnx")',
        ]
    )
