"""Words for axes: ``batch``, ``sequence``, ``x:2``, ``x:2=height``; which axes of which inputs they mean."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from onnx_lab.errors import BadInput, did_you_mean
from onnx_lab.feeds import axis_kind
from onnx_lab.model import TensorSpec
from onnx_lab.transforms.surgery._free_dims import Free

if TYPE_CHECKING:
    from onnx_lab.model import Model

#: A batch at which shapes are computed: a prime that nobody uses as a size.
_OTHER_BATCH = 1009
#: Sizes at which axes that are dynamic already are thought: the file's, and another.
_ALREADY = (16, 23)
_WORDS = ("batch", "sequence", "height", "width")
_ACCEPTED = "batch, sequence, height or width; or INPUT:AXIS, INPUT:AXIS=NAME, e.g. x:2=height"


def free_axes(m: Model, words: Iterable[str]) -> dict[tuple[str, int], Free]:
    """(input, axis) -> the size that is to be free; axes with one name share it.

    Raises
    ------
    BadInput
        For a word that means no axis, an axis that is dynamic already, or one name for two sizes.
    """
    found: dict[tuple[str, int], str] = {}
    for word in words:
        found |= _axes_of(m, word)
    shared: dict[str, Free] = {}
    free: dict[tuple[str, int], Free] = {}
    sizes = {s.name: s.shape for s in m.inputs}
    for (name, axis), called in found.items():
        size = sizes[name][axis]
        assert isinstance(size, int)
        known = shared.get(called)
        if known is not None and known.old != size:
            raise BadInput(
                f"axis {called!r} would be {known.old} and {size}",
                accepted="one size for all axes of one name",
                do=f"{name}:{axis}=another_name",
            )
        is_batch = axis == 0 and called == "batch"
        new = _OTHER_BATCH if is_batch else 2 * size + (size == 1)
        shared.setdefault(called, Free(called, size, new, (name, axis), samples=is_batch))
        free[name, axis] = shared[called]
    return free


def dynamic_already(m: Model, names: Mapping[tuple[str, int], Free]) -> dict[tuple[str, int], Free]:
    """The axes that the file leaves open, as free sizes that every graph takes."""
    shared: dict[str, Free] = {}
    free = {}
    for spec in m.inputs:
        for axis, dim in enumerate(spec.shape):
            if not isinstance(dim, int):
                name = dim or f"{spec.name}_{axis}"
                samples = axis_kind(spec, axis) == "batch"
                old, new = (3, 1013) if samples else (224, 448) if axis_kind(spec, axis) == "pixels" else _ALREADY
                shared.setdefault(name, Free(name, old, new, (spec.name, axis), samples))
                free[spec.name, axis] = shared[name]
    return {k: v for k, v in free.items() if k not in names}


def _axes_of(m: Model, word: str) -> dict[tuple[str, int], str]:
    if exact := re.fullmatch(r"(.+):(-?\d+)(?:=([A-Za-z_]\w*))?", word):
        return _exact(m, exact[1], int(exact[2]), exact[3])
    if word not in _WORDS:
        raise BadInput(f"axis {word!r}", accepted=_ACCEPTED, do=did_you_mean(word, _WORDS))
    shapes = {s.name: s.shape for s in m.inputs}
    if word == "batch":
        counted = Counter(size for s in m.inputs if s.shape and isinstance(size := s.shape[0], int))
        common = counted.most_common(1)[0][0] if counted else None
        batches = [s for s in m.inputs if s.shape and axis_kind(s, 0) == "batch"]
        places = [(s.name, 0) for s in batches if s.shape[0] == common or not isinstance(s.shape[0], int)]
    elif word == "sequence":
        places = [(s.name, 1) for s in m.inputs if len(s.shape) in (2, 3) and axis_kind(s, 1) == "sequence"]
    else:
        places = [(s.name, _side(s, word)) for s in m.inputs if len(s.shape) == 4]
    fixed = {(n, a): word for n, a in places if isinstance(shapes[n][a], int)}
    if not fixed:
        raise BadInput(
            f"{m.name} has no fixed {word} axis ({'; '.join(map(str, m.inputs))})",
            accepted=_ACCEPTED,
            do="nothing: it is dynamic already" if places else "INPUT:AXIS names any axis",
        )
    return fixed


def _exact(m: Model, name: str, axis: int, called: str | None) -> dict[tuple[str, int], str]:
    specs = {s.name: s for s in m.inputs}
    if name not in specs:
        raise BadInput(f"no input {name!r}", accepted="; ".join(map(str, m.inputs)), do=did_you_mean(name, specs))
    shape = specs[name].shape
    if not -len(shape) <= axis < len(shape):
        raise BadInput(f"{name} has no axis {axis}", accepted=str(specs[name]))
    axis %= len(shape)
    if not isinstance(shape[axis], int):
        raise BadInput(f"axis {axis} of {name} is dynamic already", accepted=f"a fixed axis of {specs[name]}")
    return {(name, axis): called or _usual_name(specs[name], axis)}


def _usual_name(spec: TensorSpec, axis: int) -> str:
    kind = axis_kind(spec, axis)
    if kind == "pixels":
        return "height" if axis == _side(spec, "height") else "width"
    return kind if kind != "other" else f"{spec.name}_{axis}"


def _side(spec: TensorSpec, word: str) -> int:
    """Axis of an image's height or width: channels are the short side."""
    first, last = spec.shape[1], spec.shape[-1]
    channels_last = isinstance(last, int) and last <= 4 and not (isinstance(first, int) and first <= 4)
    return (1 if channels_last else 2) + (word == "width")
