"""simplify: fold constants and drop what is idle, with onnxslim or onnxsim."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING

from onnx_lab import workspace
from onnx_lab._quiet import quiet
from onnx_lab.errors import TransformError
from onnx_lab.model import Model
from onnx_lab.produce import Made, options_json, produce, write_ir
from onnx_lab.runtime.offline import refuse_frozen
from onnx_lab.runtime.simplifier import run_onnxsim
from onnx_lab.transforms._carry import carry_metadata
from onnx_lab.transforms._counts import count_nodes, size_sentence
from onnx_lab.transforms._options import names, one_of

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir

_TOOLS = ("onnxslim", "onnxsim")


def simplify(m: Model, *, tool: str = "onnxslim", skip: Iterable[str] = (), name: str | None = None) -> Model:
    """Fold constants, remove what is idle, merge what is twice there.

    Answers stay the same. ONNX Runtime does much of this again at load: what stays is a graph that can be read, and
    patterns that other tools find.

    Parameters
    ----------
    m : Model
    tool : str, default "onnxslim"
        ``"onnxslim"`` (in this process, in Python) or ``"onnxsim"`` (in a child process; an extra).
    skip : iterable of str
        Passes to leave out, under the tool's own names. onnxslim: ``constant_folding``, ``graph_fusion``,
        ``dead_node_elimination``, ``subexpression_elimination``, ``weight_tying``, and its patterns (``FusionGemm``,
        ``EliminationReshape``, ...). onnxsim: ``eliminate_nop_cast``, ``fuse_bn_into_conv``, ...
    name : str, optional
        Default ``"<name>-simplified"``.

    Returns
    -------
    Model
        Its card gives the node counts before and after, with the glue (Shape, Gather, Cast, ...) apart, and says so
        when the graph did not change, or grew.

    Raises
    ------
    BadInput
        For an unknown tool or pass.
    MissingExtra
        When onnxsim is asked for and not installed.
    TransformError
        When the tool gives up.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> lab.simplify(lab.samples.tiny()).lineage[-1].notes["say"]
    ['6 → 5 nodes (glue 1 → 0)']
    """
    one_of("tool", tool, _TOOLS)
    left_out = names("skip", skip, _onnxslim_passes() if tool == "onnxslim" else None)
    refuse_frozen(m, "simplify")
    options = options_json(tool=tool, **({"skip": left_out} if left_out else {}))
    return produce(
        "simplify",
        options,
        lambda: _body(m, tool, left_out),
        tools=["onnx-lab", tool, "onnx"],
        name=name or f"{m.name}-simplified",
        parent=m,
    )


def _body(m: Model, tool: str, skip: tuple[str, ...]) -> Made:
    before = m.to_ir()
    after = carry_metadata(before, _onnxslim(m, skip) if tool == "onnxslim" else _onnxsim(before, skip))
    counts = count_nodes(before), count_nodes(after)
    say = [size_sentence(*counts)]
    if counts[0] == counts[1]:
        say.append(f"{tool} changed nothing: it found nothing constant, idle or twice there" + _because(skip))
    if counts[1].nodes > counts[0].nodes:
        say.append(f"{tool} writes some nodes out as several; tool={_other(tool)!r} may do better")
    notes = {"say": say, "nodes": {"before": counts[0].nodes, "after": counts[1].nodes}}
    return Made(after, {**notes, "glue": {"before": counts[0].glue, "after": counts[1].glue}})


def _onnxslim(m: Model, skip: tuple[str, ...]) -> ir.Model:
    import onnx_ir as ir
    import onnxslim

    passes = [s for s in skip if s in _onnxslim_switches()]
    patterns = [s for s in skip if s not in passes]
    # it prints tables, and logs what it cannot infer about operators of ONNX Runtime's own
    with quiet("onnxslim", "ONNXSlim") as heard:
        try:
            slim: onnx.ModelProto = onnxslim.slim(
                m.to_proto(), skip_optimizations=passes or None, skip_fusion_patterns=patterns or None
            )
        except Exception as e:
            raise TransformError(
                f"onnxslim gave up: {e}" + (f"\n  it said: {heard.text.strip()[-400:]}" if heard.text.strip() else ""),
                do="tool='onnxsim', or skip=['constant_folding']",
            ) from e
        finally:
            _let_go()
    return ir.from_proto(slim)


def _let_go() -> None:
    """onnxslim's patterns keep the nodes that they matched last, and with them all weights of the graph."""
    from onnxslim.core.pattern.registry import DEFAULT_FUSION_PATTERNS

    for matcher in itertools.chain.from_iterable(DEFAULT_FUSION_PATTERNS.values()):
        for name in (*matcher.pattern_dict, "output"):
            vars(matcher).pop(name, None)


def _onnxsim(model: ir.Model, skip: tuple[str, ...]) -> ir.Model:
    import onnx_ir as ir

    with workspace.scratch() as folder:
        write_ir(model, folder / "before.onnx")
        run_onnxsim(folder / "before.onnx", folder / "after.onnx", skip)
        simplified = ir.load(folder / "after.onnx")
        ir.external_data.load_to_model(simplified)  # the folder goes
    return simplified


def _onnxslim_switches() -> list[str]:
    from onnxslim.core.optimization import OptimizationSettings

    return list(OptimizationSettings.keys())


def _onnxslim_passes() -> list[str]:
    from onnxslim.core.pattern.registry import DEFAULT_FUSION_PATTERNS

    return [*_onnxslim_switches(), *DEFAULT_FUSION_PATTERNS]


def _because(skip: tuple[str, ...]) -> str:
    return f" (left out: {', '.join(skip)})" if skip else ""


def _other(tool: str) -> str:
    return next(t for t in _TOOLS if t != tool)


def plain_code(*, tool: str = "onnxslim", skip: Iterable[str] = ()) -> str:
    """The plain code that a simplify step amounts to: ``model.onnx`` in, ``model-simplified.onnx`` out.

    Examples
    --------
    >>> print(plain_code().splitlines()[-1])
    onnx.save(onnxslim.slim(model), "model-simplified.onnx")
    """
    left_out = list(skip)
    lines = ["import onnx", f"import {tool}", "", 'model = onnx.load("model.onnx")']
    if tool == "onnxsim":
        lines += [
            f"simplified, _ = onnxsim.simplify(model{f', skipped_optimizers={left_out!r}' if left_out else ''})",
            'onnx.save(simplified, "model-simplified.onnx")',
        ]
        return "\n".join(lines)
    passes = [s for s in left_out if s in _onnxslim_switches()]
    patterns = [s for s in left_out if s not in passes]
    extra = f", skip_optimizations={passes!r}" if passes else ""
    extra += f", skip_fusion_patterns={patterns!r}" if patterns else ""
    return "\n".join([*lines, f'onnx.save(onnxslim.slim(model{extra}), "model-simplified.onnx")'])
