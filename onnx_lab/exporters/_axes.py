"""Which axes are dynamic: asked of the source itself, by running it at other sizes before anything is exported.

What the source refuses can never be right in the file, and what it takes gives the sizes for the check afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from onnx_lab.errors import BadInput, ExportError, did_you_mean
from onnx_lab.exporters._inputs import Inputs
from onnx_lab.exporters._options import Dynamic
from onnx_lab.feeds import axis_kind
from onnx_lab.task import Feeds

#: A source is asked at most so often for one axis.
TRIES = 8


@dataclass(frozen=True)
class Axes:
    """What was found.

    Attributes
    ----------
    inputs : Inputs
        Only dynamic axes are named.
    tests : mapping of str to tuple of int
        Dynamic axis -> sizes other than the example's that the source takes; one or two.
    said : tuple of str
        Why an axis stays fixed, in sentences.
    """

    inputs: Inputs
    tests: Mapping[str, tuple[int, ...]]
    said: tuple[str, ...] = ()

    def without(self, axis: str, why: str) -> Axes:
        """The same with `axis` fixed."""
        sentence = f"{self.inputs.where(axis)} ({axis}) stays {self.inputs.sizes[axis]}: {why}"
        tests = {k: v for k, v in self.tests.items() if k != axis}
        return Axes(self.inputs.fixed([axis]), tests, (*self.said, sentence))


def wanted(inputs: Inputs, dynamic: Dynamic, outputs: Sequence[str] = ()) -> Inputs:
    """`inputs` with the axes named that `dynamic` asks for.

    Parameters
    ----------
    inputs : Inputs
        With names on all axes that would be made dynamic by default.
    dynamic : None, bool or mapping
        See `onnx_lab.export`. Names of `outputs` in a mapping are passed over: older code lists them too.

    Raises
    ------
    BadInput
        For an input or axis that is not there.
    """
    if dynamic is None or dynamic is True:
        return inputs
    bare = inputs.fixed(inputs.sizes)
    if dynamic is False:
        return bare
    for name in dynamic:
        if name not in inputs.names and name not in outputs:
            raise BadInput(
                f"dynamic names {name!r}",
                accepted=f"the inputs {', '.join(inputs.names)}",
                do=did_you_mean(name, inputs.names),
            )
    specs = []
    for spec in bare.specs:
        shape = list(spec.shape)
        for axis, axis_name in dynamic.get(spec.name, {}).items():
            if not -len(shape) <= axis < len(shape):
                raise BadInput(f"dynamic axis {axis} of {spec}", accepted=f"0 to {len(shape) - 1}")
            shape[axis] = axis_name
        specs.append(replace(spec, shape=tuple(shape)))
    return replace(bare, specs=tuple(specs))


def probe(inputs: Inputs, run: Callable[[Feeds], object], *, must: bool) -> Axes:
    """Run the source at other sizes of each named axis; axes it refuses become fixed.

    Parameters
    ----------
    inputs : Inputs
        As `wanted` gives them.
    run : callable
        Runs the source on feeds; any exception means that it refuses them.
    must : bool
        True when the caller asked for the axes: then a refusal is an error.

    Raises
    ------
    ExportError
        With `must`, naming the axis and what the source said.
    """
    found = Axes(inputs, {})
    for axis in inputs.sizes:
        sizes, refusal = _accepted(inputs, axis, run)
        if sizes:
            found = replace(found, tests={**found.tests, axis: sizes})
            continue
        if must:
            raise ExportError(
                f"{inputs.where(axis)} cannot be dynamic: the module itself refuses other sizes: {refusal}",
                do=f"leave {axis!r} out of dynamic=, or change the module's code",
            )
        found = found.without(axis, f"the module itself refuses other sizes ({refusal})")
    return found


def _accepted(inputs: Inputs, axis: str, run: Callable[[Feeds], object]) -> tuple[tuple[int, ...], str]:
    """Up to two sizes that the source takes, smallest first, and what it said to the first that it did not."""
    accepted: list[int] = []
    refusal = ""
    for size in _candidates(inputs, axis):
        try:
            run(inputs.feeds({axis: size}))
        except Exception as e:
            refusal = refusal or (str(e).strip().splitlines() or [type(e).__name__])[0][:200]
            continue
        accepted.append(size)
        if len(accepted) == 2:
            break
    return tuple(sorted(accepted)), refusal


def _candidates(inputs: Inputs, axis: str) -> Iterator[int]:
    """Sizes to try, no multiples of each other first; multiples of the example help where sizes must divide."""
    example, limit = inputs.sizes[axis], inputs.limits.get(axis)
    kinds = {axis_kind(s, i) for s in inputs.specs for i, d in enumerate(s.shape) if d == axis}
    usual = (1, 3) if "batch" in kinds else (37, 91)
    sizes = dict.fromkeys((*usual, limit or 0, 2 * example, 3 * example, example + 1, 5, 11))
    fitting = [s for s in sizes if s > 0 and s != example and (limit is None or s <= limit) and s <= 16 * example + 91]
    yield from fitting[:TRIES]
