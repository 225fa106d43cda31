"""Is the edited graph a model, does it run, and does it answer as before?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onnx_lab import workspace
from onnx_lab.errors import OnnxLabError, TransformError
from onnx_lab.model import Model, TensorSpec
from onnx_lab.produce import write_ir
from onnx_lab.transforms import _proof

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import onnx_ir as ir

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
    from onnx_ir.passes.common import CheckerPass

    try:
        CheckerPass()(model)
    except (onnx.checker.ValidationError, ValueError, RuntimeError) as e:
        reason = next((s for s in reversed(str(e.__cause__ or e).splitlines()) if s.strip()), type(e).__name__)
        raise TransformError(f"surgery.{edit}: the result would be no valid ONNX: {reason.strip()}") from e


def beside(m: Model, after: ir.Model, edit: str, *, must_agree: bool) -> str:
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
        feeds = _proof.trials(made, {}, batch=_BATCH, seq=_SEQ)
        expected, reason = _tried(m, feeds) if _takes(m.inputs, made.inputs) else (None, "")
        given, failure = _tried(made, feeds)
        if given is None:
            return _does_not_run(m, edit, failure, original_runs=expected is not None, alone=not reason)
        if expected is None:
            return f"{m.name} did not run on random feeds ({reason}); this one does" if reason else "it runs"
    return _distance(m, edit, expected, given, must_agree)


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


def _tried(m: Model, feeds: list[dict[str, npt.NDArray[np.generic]]]) -> tuple[list[dict[str, Any]] | None, str]:
    try:
        return _proof.answers(m, feeds), ""
    except OnnxLabError as e:
        return None, e.came.splitlines()[0]


def _takes(own: tuple[TensorSpec, ...], feeds_of: tuple[TensorSpec, ...]) -> bool:
    """Whether a model with inputs `own` takes feeds made for `feeds_of`: same names and types, sizes that fit."""
    other = {s.name: s for s in feeds_of}
    return other.keys() == {s.name for s in own} and all(
        s.dtype == other[s.name].dtype
        and len(s.shape) == len(other[s.name].shape)
        and all(d == e for d, e in zip(s.shape, other[s.name].shape, strict=True) if isinstance(d, int))
        for s in own
    )
