"""Is the edited graph a model, does it run, and does it answer as before?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnx_lab import workspace
from onnx_lab.errors import TransformError
from onnx_lab.model import Model, TensorSpec
from onnx_lab.produce import write_ir
from onnx_lab.task import Feeds
from onnx_lab.transforms import _proof
from onnx_lab.transforms.surgery._answers import remembered, tried

if TYPE_CHECKING:
    import onnx_ir as ir

#: Weights up to this many bytes are shown to the checker.
_SMALL_BYTES = 4096
_BATCH, _SEQ = 2, 16
#: Of an output's largest value; below it an answer counts as the same.
_SAME = 1e-4


def rules(model: ir.Model, edit: str) -> None:
    """The ONNX checker, without the weights.

    Raises
    ------
    TransformError
        With the checker's reason.
    """
    import onnx
    import onnx_ir as ir
    from onnx_ir.passes.common import CheckerPass

    # the checker wants a rank of every output; an engine does not, and some files come without
    bare = [v for v in model.graph.outputs if v.shape is None and isinstance(v.type, ir.TensorType)]
    for value in bare:
        value.shape = ir.Shape([])
    _small_ones_in(model)
    try:
        CheckerPass()(model)
    except (onnx.checker.ValidationError, ValueError, RuntimeError) as e:
        reason = next((s for s in reversed(str(e.__cause__ or e).splitlines()) if s.strip()), type(e).__name__)
        raise TransformError(
            f"surgery.{edit}: the result would be no valid ONNX: {reason.strip()}",
            do="mend that first; lab.nodes(m) shows the nodes",
        ) from e
    finally:
        for value in bare:
            value.shape = None


def _small_ones_in(model: ir.Model) -> None:
    """Small weights that lie beside the file are read: the checker leaves only large ones out, and knows no folder."""
    import onnx_ir as ir

    for graph in model.graphs():
        for value in graph.initializers.values():
            if isinstance(value.const_value, ir.ExternalTensor) and value.const_value.nbytes <= _SMALL_BYTES:
                value.const_value = ir.tensor(value.const_value.numpy().copy(), name=value.name)


@dataclass(frozen=True)
class Beside:
    """How an original and its result are held against each other.

    Attributes
    ----------
    must_agree : bool
        Another answer is an error.
    translate : callable, optional
        Feeds of the original -> what to feed the result in their place.
    back : callable, optional
        Feeds of the result -> what to feed the original, where the result takes less.
    called : mapping of str to str, optional
        Output of the original -> what the result calls it.
    """

    must_agree: bool
    translate: Callable[[Feeds], Feeds] | None = None
    back: Callable[[Feeds], Feeds] | None = None
    called: Mapping[str, str] | None = None


def beside(m: Model, after: ir.Model, edit: str, how: Beside) -> str:
    """Run both on random feeds; what came of it, in a sentence.

    Where the two take different inputs, or the original does not run at all, the result is run alone.

    Raises
    ------
    TransformError
        When the result does not run and the original does, or when they must agree and do not.
    """
    with workspace.scratch() as folder:
        write_ir(after, folder / "after.onnx")
        made = workspace.open_model(folder / "after.onnx")
        ours, its = _feeds(m, made, how)
        expected, reason = remembered(m, ours) if ours is not None else (None, "")
        given, failure = tried(made, its)
        if given is None:
            return _does_not_run(m, edit, failure, original_runs=expected is not None, alone=not reason)
        if expected is None:
            return f"{m.name} did not run on random feeds ({reason}); this one does" if reason else "it runs"
    called = how.called or {}
    renamed = [{called.get(k, k): v for k, v in answer.items()} for answer in expected]
    return _distance(m, edit, renamed, given, how.must_agree)


def _feeds(m: Model, made: Model, how: Beside) -> tuple[list[Feeds] | None, list[Feeds]]:
    """For the original (None where it cannot be fed the same) and for the result."""
    feeds = _proof.trials(m if how.translate else made, {}, batch=_BATCH, seq=_SEQ)
    if how.translate:
        return feeds, [how.translate(f) for f in feeds]
    if how.back:
        return [how.back(f) for f in feeds], feeds
    return feeds if _takes(m.inputs, made.inputs) else None, feeds


def _does_not_run(m: Model, edit: str, failure: str, *, original_runs: bool, alone: bool) -> str:
    if original_runs:
        raise TransformError(
            f"surgery.{edit}: {m.name} runs, and the result does not: {failure}",
            do="check=False writes it all the same, to be mended by a next edit",
        )
    return f"not run on random feeds: {failure}" if alone else f"neither runs on random feeds: {failure}"


def _distance(m: Model, edit: str, expected: list[dict[str, Any]], given: list[dict[str, Any]], must: bool) -> str:
    shared = [n for n in expected[0] if n in given[0]]
    if not shared:
        return f"it runs; no output has the name of one of {m.name}'s"
    worst, where = max((_proof.difference(a[n], b[n]), n) for a, b in zip(expected, given, strict=True) for n in shared)
    if worst <= _SAME:
        return f"answers as {m.name} does on random feeds (largest difference {worst:.1g})"
    told = "of another shape or type than" if worst == float("inf") else f"by {worst:.2g} of its largest value from"
    if must:
        raise TransformError(f"surgery.{edit}: output {where!r} would differ {told} {m.name}'s")
    return f"output {where} differs {told} {m.name}'s on random feeds"


def _takes(own: tuple[TensorSpec, ...], feeds_of: tuple[TensorSpec, ...]) -> bool:
    """Whether a model with inputs `own` takes feeds made for `feeds_of`: same names and types, sizes that fit."""
    other = {s.name: s for s in feeds_of}
    return other.keys() == {s.name for s in own} and all(
        s.dtype == other[s.name].dtype
        and len(s.shape) == len(other[s.name].shape)
        and all(d == e for d, e in zip(s.shape, other[s.name].shape, strict=True) if isinstance(d, int))
        for s in own
    )
