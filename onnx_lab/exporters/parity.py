"""The check of an export: the file and its source answer the same feeds, at sizes that the exporter did not see.

A mismatch is an error. An export that is only right for the example it was traced with is the common failure, so the
trials differ from the example in every dynamic axis, and one of them has padding masked where there is a mask.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from onnx_lab.errors import ExportError, OnnxLabError, ParityError
from onnx_lab.exporters._inputs import Inputs
from onnx_lab.model import Model
from onnx_lab.runtime.client import Worker
from onnx_lab.task import Feeds

Array = npt.NDArray[Any]

#: Outputs below this are within the usual tolerance of nothing at all.
FAINT = 1e-4


class Source(Protocol):
    """What an export is checked against."""

    @property
    def framework(self) -> str:
        """Its name in messages, e.g. ``"PyTorch"``."""
        ...

    @property
    def inputs(self) -> Inputs:
        """What it takes; the named axes are those that are dynamic in the file."""
        ...

    def run(self, feeds: Feeds) -> dict[str, Array]:
        """The source's own outputs, by the names they have in the file."""
        ...


@dataclass(frozen=True)
class Trial:
    """One comparison: the sizes of the named axes, and whether padding is masked."""

    sizes: Mapping[str, int]
    padded: bool
    seed: int


@dataclass(frozen=True)
class _Seen:
    """What the trials showed of one output."""

    difference: float = 0.0  # largest, absolute
    magnitude: float = 0.0  # largest value
    nans: int = 0

    def __or__(self, other: _Seen) -> _Seen:
        return _Seen(
            max(self.difference, other.difference), max(self.magnitude, other.magnitude), self.nans + other.nans
        )


def trials(inputs: Inputs, tests: Mapping[str, Sequence[int]]) -> tuple[Trial, Trial]:
    """Two trials: all first sizes, then all last ones, the second padded where there is a mask."""
    first = {axis: sizes[0] for axis, sizes in tests.items()}
    last = {axis: sizes[-1] for axis, sizes in tests.items()}
    return Trial(first, False, seed=1), Trial(last, bool(inputs.padding), seed=2)


def check(model: Model, source: Source, todo: Sequence[Trial], tolerance: float) -> dict[str, Any]:
    """Run `model` and `source` on each trial and compare all outputs.

    Parameters
    ----------
    model : Model
        The exported file; its outputs bear the names that ``source.run`` gives.
    source : Source
        Runs the original.
    todo : sequence of Trial
        See `trials`.
    tolerance : float
        Largest absolute difference allowed; for an output whose values exceed 1, relative to its largest value.
        Half precision is held to 16 units of its own precision when that is more. Whole numbers must be equal.

    Returns
    -------
    dict
        JSON values for the lineage: ``largest``, ``outputs`` (name -> difference), ``shapes``, ``say`` (sentences).

    Raises
    ------
    ParityError
        When an output differs in shape, dtype or value, or cannot be compared because all of it is NaN.
    ExportError
        When the file does not run at all.
    """
    seen: dict[str, _Seen] = {}
    shapes = []
    with _opened(model) as worker:
        for trial in todo:
            feeds = source.inputs.feeds(trial.sizes, seed=trial.seed, padded=trial.padded)
            where = source.inputs.shape_text(feeds) + (", padding masked" if trial.padded else "")
            expected, got = source.run(feeds), _answers(worker, feeds)
            for name, want in expected.items():
                _check_kind(name, want, got[name], where, source.framework)
                difference = _difference(want, got[name])
                if difference.size and difference.max() > _allowed(want, tolerance):
                    raise _mismatch(name, want, got[name], where, tolerance, source, feeds)
                seen[name] = seen.get(name, _Seen()) | _look(want, difference)
            shapes.append(where)
    return {
        "largest": max(s.difference for s in seen.values()),
        "outputs": {name: s.difference for name, s in seen.items()},
        "shapes": shapes,
        "say": _sentences(seen, shapes, source.framework),
    }


def _opened(model: Model) -> Worker:
    try:
        return Worker.for_model(model)
    except OnnxLabError as e:
        raise _does_not_run(e) from e


def _answers(worker: Worker, feeds: Feeds) -> dict[str, Array]:
    try:
        return worker.run(feeds)
    except OnnxLabError as e:
        raise _does_not_run(e) from e


def _does_not_run(e: OnnxLabError) -> ExportError:
    return ExportError(
        f"exported, but ONNX Runtime does not run the file: {e.came}",
        do="another opset=, exporter='torchscript', or a newer onnxruntime; check=False gives the file as it is",
    )


def _sentences(seen: Mapping[str, _Seen], shapes: Sequence[str], framework: str) -> list[str]:
    worst = max(seen.values(), key=lambda s: s.difference)
    reach = f" (values reach {worst.magnitude:.3g})" if worst.magnitude > 10 else ""
    said = [f"largest difference to {framework} {worst.difference:.1e}{reach} at {' and '.join(dict.fromkeys(shapes))}"]
    said += [
        f"values of {name!r} reach only {s.magnitude:.0e}, so any two files agree: the check says little"
        for name, s in seen.items()
        if 0 < s.magnitude < FAINT
    ]
    said += [f"{s.nans} values of {name!r} were NaN, in both alike" for name, s in seen.items() if s.nans]
    return said


def _check_kind(name: str, want: Array, got: Array, where: str, framework: str) -> None:
    """Same shape and kind of number, and something to compare."""
    if want.shape != got.shape or want.dtype.kind != got.dtype.kind:
        drops_axis = want.ndim != got.ndim
        raise ParityError(
            f"output {name!r} is {got.dtype}{list(got.shape)} in the file and "
            f"{want.dtype}{list(want.shape)} in {framework}, at {where}",
            do="x.squeeze() without a dimension also drops a batch of 1: name the dimension, x.squeeze(-1)"
            if drops_axis
            else "exporter='torchscript', or fix axes with dynamic=False or dynamic={...}",
        )
    if want.size and _nans(want).all() and _nans(got).all():
        raise ParityError(
            f"{framework} itself answers nothing but NaN in output {name!r} at {where}",
            accepted="at least one number to compare",
            do="check the weights, or give example= with values that the model is made for",
        )


def _difference(want: Array, got: Array) -> npt.NDArray[np.float64]:
    """Absolute differences; equal infinities and NaN in both count 0, NaN in one counts infinite."""
    if want.dtype.kind not in "iufc":
        return np.asarray(want != got, np.float64)
    wide = np.complex128 if want.dtype.kind == "c" else np.float64
    with np.errstate(invalid="ignore"):
        difference: npt.NDArray[np.float64] = np.asarray(np.abs(want.astype(wide) - got.astype(wide)), np.float64)
    difference[np.isnan(difference)] = np.inf
    difference[(want == got) | (_nans(want) & _nans(got))] = 0.0
    return difference


def _allowed(want: Array, tolerance: float) -> float:
    """The tolerance in the units of this output."""
    if want.dtype.kind not in "fc":
        return 0.0
    half = 16 * float(np.finfo(want.dtype).eps) if want.dtype.itemsize == 2 else 0.0
    return max(1.0, _magnitude(want)) * max(tolerance, half)


def _magnitude(want: Array) -> float:
    values = np.abs(want[np.isfinite(want)]) if want.dtype.kind in "fc" else np.zeros(0)
    return float(values.max()) if values.size else 0.0


def _nans(values: Array) -> npt.NDArray[np.bool_]:
    return np.isnan(values) if values.dtype.kind in "fc" else np.zeros(values.shape, bool)


def _look(want: Array, difference: npt.NDArray[np.float64]) -> _Seen:
    return _Seen(float(difference.max()) if difference.size else 0.0, _magnitude(want), int(_nans(want).sum()))


def _mismatch(
    name: str, want: Array, got: Array, where: str, tolerance: float, source: Source, feeds: Feeds
) -> ParityError:
    """The error with numbers, and the likely reason: a source that differs from itself draws random numbers."""
    difference, allowed = _difference(want, got), _allowed(want, tolerance)
    at = tuple(int(i) for i in np.unravel_index(int(difference.argmax()), difference.shape))
    share = (difference > allowed).mean()
    again = _difference(want, source.run(feeds)[name])
    if again.max() > allowed:
        do = (
            f"{source.framework} differs from itself by {again.max():.2g} on the same feeds: the model draws random "
            "numbers at inference (dropout with training=True is the usual one); take them out"
        )
    else:
        do = "the other exporter=, or another opset=; a larger tolerance= if this difference is fine for you"
    return ParityError(
        f"output {name!r} of the file differs from {source.framework} by {difference.max():.2g} at {where}: element "
        f"{list(at)} is {_text(got[at])}, should be {_text(want[at])}; {share:.0%} of the values are off",
        accepted=f"at most {allowed:.2g}" + (f" ({tolerance:g} of its largest value)" if allowed != tolerance else ""),
        do=do,
    )


def _text(value: Any) -> str:
    return f"{value:.6g}" if np.asarray(value).dtype.kind in "iufc" else str(value)
