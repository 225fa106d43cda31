"""The exporters of PyTorch in turn: the first whose file runs and is right wins, and a fallback says why.

An axis that torch.export finds to be fixed is given up, with a note. A branch on the values of a tensor ends the
search: a trace would hide it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from onnx_lab import workspace
from onnx_lab.errors import BadInput, ExportError, ParityError, UnsupportedOperator
from onnx_lab.exporters import parity
from onnx_lab.exporters._axes import Axes
from onnx_lab.exporters._options import ExportOptions
from onnx_lab.exporters._torch_source import TorchSource
from onnx_lab.exporters._torch_write import UNBOUNDED, WRITERS, Written, name_output_axes
from onnx_lab.exporters.explain import explain, is_data_dependent, place_of, static_axes
from onnx_lab.produce import write_ir

#: Exporter asked for -> those tried, in order.
TRIED = {"dynamo": ("dynamo", "torchscript"), "torchscript": ("torchscript",)}


@dataclass(frozen=True)
class Done:
    """What came out: the graph, the axes that are dynamic in it, and what the check found."""

    written: Written
    axes: Axes
    checked: Mapping[str, Any]


def first_that_works(source: TorchSource, axes: Axes, options: ExportOptions, *, must: bool) -> Done:
    """Export and check; `must` makes an axis that cannot be dynamic an error.

    Raises
    ------
    ExportError, UnsupportedOperator, ParityError
    """
    failed: list[ExportError] = []
    for way in TRIED[options.exporter]:
        try:
            done = _attempt(WRITERS[way], source, axes, options, must)
        except (BadInput, ParityError, OSError):
            raise
        except Exception as e:
            explained = explain(e, source.module)
            if is_data_dependent(e) or static_axes(e):
                raise explained from e
            explained.__cause__ = explained.__cause__ or (e if explained is not e else None)
            failed.append(explained)
            continue
        if failed:
            why = f"written by the TorchScript exporter: {_short(failed[0])}"
            done = replace(done, written=replace(done.written, said=(why, *done.written.said)))
        return done
    raise _all_failed(failed)


def _attempt(
    write: Callable[[TorchSource, ExportOptions], Written],
    source: TorchSource,
    axes: Axes,
    options: ExportOptions,
    must: bool,
) -> Done:
    written, axes = _narrowing(write, source, axes, options, must)
    axes = _within(axes, written.bounds)
    name_output_axes(written.graph, source, axes)
    return Done(written, axes, _checked(written, replace(source, inputs=axes.inputs), axes, options))


def _narrowing(
    write: Callable[[TorchSource, ExportOptions], Written],
    source: TorchSource,
    axes: Axes,
    options: ExportOptions,
    must: bool,
) -> tuple[Written, Axes]:
    """Write; give up the axes for which torch.export says that the module works at one size only, and write again."""
    while True:
        try:
            return write(replace(source, inputs=axes.inputs), options), axes
        except Exception as e:
            sizes = {str(axes.inputs.specs[i].shape[a]): size for (i, a), size in static_axes(e).items()}
            if not sizes:
                raise
            for name, size in sizes.items():
                if must:
                    raise ExportError(
                        f"{axes.inputs.where(name)} ({name}) cannot be dynamic: torch.export finds that the module's "
                        f"code works at {size} only",
                        do=f"leave {name!r} out of dynamic=, or change the code; a loop over the axis, or a constant "
                        "of its size, is the usual reason",
                    ) from e
                axes = axes.without(name, "torch.export finds that the module's code works at this size only")


def _checked(written: Written, source: TorchSource, axes: Axes, options: ExportOptions) -> dict[str, Any]:
    """Parity of the written graph, on a scratch file: what fails never reaches the workspace."""
    if not options.check:
        return {"say": ["not compared with PyTorch (check=False)"]}
    with workspace.scratch() as folder:
        write_ir(written.graph, folder / "export.onnx")
        model = workspace.open_model(folder / "export.onnx")
        try:
            return parity.check(model, source, parity.trials(source.inputs, axes.tests), options.tolerance)
        except ParityError as e:
            if written.said:  # what the trace took from the example explains it better than a guess
                raise ParityError(e.came, accepted=e.accepted, do="; ".join(written.said)) from None
            raise


def _within(axes: Axes, bounds: Mapping[str, tuple[int, int]]) -> Axes:
    """Test sizes inside the bounds that the exporter found."""
    tests = {}
    for axis, sizes in axes.tests.items():
        low, high = bounds.get(axis, (0, UNBOUNDED))
        inside = tuple(s for s in sizes if low <= s <= high)
        tests[axis] = inside or (axes.inputs.sizes[axis],)
    return replace(axes, tests=tests)


def _all_failed(failed: list[ExportError]) -> ExportError:
    """The first error; where a second exporter was tried, its reason too."""
    first, *others = failed
    if not others or isinstance(others[0], UnsupportedOperator):  # it says nothing that the first does not
        return first
    do = f"{first.do}; the TorchScript exporter was tried too: {_short(others[0])}"
    error = type(first)(first.came, accepted=first.accepted, do=do)
    error.__cause__ = first.__cause__
    return error


def _short(error: ExportError) -> str:
    """The reason, fit to travel in the file: without the user's folders and source lines."""
    place = place_of(error)
    reason = re.split(r"[;,:]? \(?(?:at )?(?=/|[A-Za-z]:\\)", error.came)[0]
    return reason + (f" ({place.short})" if place else "")
