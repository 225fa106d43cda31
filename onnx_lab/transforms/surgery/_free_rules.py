"""What each operator does with a free size: what must change at it, and what forbids that the size be free."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from onnx_lab.transforms.surgery._free_dims import Dim, Dims, Free, is_free, joined, new_size, old_size, placements
from onnx_lab.transforms.surgery._free_fit import name_of, of_samples, shown, to_size
from onnx_lab.transforms.surgery._free_mends import Mend, Size
from onnx_lab.transforms.surgery._free_picks import gather, gather_elements, gather_nd
from onnx_lab.transforms.surgery._infer import Refused

if TYPE_CHECKING:
    import onnx_ir as ir

    from onnx_lab.transforms.surgery._free_walk import Walk, Way

_TO_THE_END = np.iinfo(np.int64).max
_BROADCAST = frozenset(
    "Add And BitwiseAnd BitwiseOr BitwiseXor Div Equal Greater GreaterOrEqual Less LessOrEqual Max Mean Min Mod Mul Or "
    "PRelu Pow Sub Sum Where Xor MatMul".split()
)
#: Samples are the first axis, or the operator mixes them.
_BEHIND_FIRST = frozenset(
    "AveragePool BatchNormalization Conv ConvInteger ConvTranspose GlobalAveragePool GlobalLpPool GlobalMaxPool "
    "GroupNormalization InstanceNormalization LRN LpPool MaxPool QLinearConv".split()
)
_NORMS = frozenset(("LayerNormalization", "RMSNormalization"))
_ALONG_AXIS = frozenset("ArgMax ArgMin CumSum Hardmax LogSoftmax Softmax TopK Split".split())


def ways(walk: Walk, node: ir.Node, plain: Way) -> Iterable[Way]:
    """The ways to go on at a node, the likeliest first.

    Raises
    ------
    Refused
        When there is none.
    """
    if node.domain not in ("", "ai.onnx"):
        return [plain]
    if node.op_type in _BROADCAST:
        return [_broadcast(walk, node, plain)]
    if node.op_type in _BEHIND_FIRST or node.op_type in _NORMS:
        return [_behind(node, plain)]
    if node.op_type in _ALONG_AXIS or node.op_type.startswith("Reduce"):
        return [_along(walk, node, plain)]
    rule = _RULES.get(node.op_type)
    return [plain] if rule is None else rule(walk, node, plain)


def _reshape(walk: Walk, node: ir.Node, plain: Way) -> Iterator[Way]:
    source, written = plain.dims[0], walk.old(node.inputs[1])
    if source is None or written is None:
        return iter([plain])
    target = walk.inference.shapes(node, walk.known(node, plain.dims, new=False), [None, written])[0]
    if target is None:
        return iter([plain])
    try:
        given = walk.inference.shapes(node, walk.known(node, plain.dims, new=True), plain.data)[0]
    except Refused:
        given = None
    found = placements(source, target[1], written.tolist())
    if not found:
        raise Refused(f"{shown(source)} is taken apart to {list(target[1])}, which splits the free axis")
    fits = [w for w in found if given is not None and tuple(map(new_size, w)) == given[1]]
    kept = [replace(plain, out=w) for w in fits]
    rest = (w for w in found if w not in fits)
    return iter([*kept, *(way for w in rest if (way := _retargeted(node, plain, source, w)) is not None)])


def _retargeted(node: ir.Node, plain: Way, source: Dims, out: Dims) -> Way | None:
    free = [i for i, d in enumerate(out) if is_free(d)]
    composite = [i for i in free if len(out[i]) > 1]
    rest = (composite or free or [-1])[0]
    sizes: list[Size] = []
    copies = not node.attributes.get_int("allowzero", 0)
    for i, dim in enumerate(out):
        if not is_free(dim):
            sizes.append(old_size(dim))
        elif i == rest:
            sizes.append(-1)
        elif copies and i < len(source) and source[i] == dim:
            sizes.append(0)
        elif len(dim) == 1 and isinstance(dim[0], Free):
            sizes.append(dim[0].home)
        else:
            return None
    data = np.array([new_size(d) for d in out], np.int64)
    return replace(plain, data=[plain.data[0], data], mends=[Mend(node, 1, "sizes", sizes)], out=out)


def _broadcast(walk: Walk, node: ir.Node, plain: Way) -> Way:
    """Constants made for the old size are cut to a row that broadcasts, where all rows are equal."""
    last = 2 if node.op_type == "MatMul" else 0
    if last and any(of_samples(d) for d in _summed(plain.dims)):
        raise Refused("it sums over the samples of a batch")
    rank = max(len(d) for d in plain.dims if d is not None)
    way = plain
    for axis in range(-rank, -last):
        here = [d[axis] if d is not None and len(d) >= -axis else () for d in way.dims]
        free = next((d for d in here if is_free(d)), None)
        if free is None:
            continue
        for i, dim in enumerate(here):
            size, value = old_size(dim), node.inputs[i]
            if value is None or is_free(dim) or size == 1:
                continue
            if size != old_size(free):
                raise Refused(f"it repeats the free axis {size} times")
            own = way.dims[i]
            assert own is not None
            way = to_size(walk, node, way, i, len(own) + axis, free, must_repeat=False)
    return way


def _summed(dims: Sequence[Dims | None]) -> list[Dim]:
    """The axes that a MatMul sums over: the last of the first input, the last but one of the second."""
    return [d[max(-len(d), place)] for d, place in zip(dims, (-1, -2), strict=True) if d]


def _concat(walk: Walk, node: ir.Node, plain: Way) -> list[Way]:
    first = plain.dims[0]
    assert first is not None
    axis = node.attributes.get_int("axis", 0) % len(first)
    way = plain
    for other in range(len(first)):
        here = [d[other] for d in way.dims if d is not None]
        free = next((d for d in here if is_free(d)), None)
        if free is None:
            continue
        if other == axis:
            if any(d != here[0] for d in here):
                if any(isinstance(f, Free) and f.samples for d in here for f in d):
                    raise Refused("it joins samples with something else")
                continue
            continue
        for i, dim in enumerate(here):
            if not is_free(dim):
                if old_size(dim) != old_size(free):
                    raise Refused(f"axis {other} is {old_size(dim)} at {name_of(node, i)}")
                way = to_size(walk, node, way, i, other, free, must_repeat=True)
    dims = [d for d in way.dims if d is not None]
    if is_free(first[axis]) and len(dims) > 1:
        whole = joined([len(dims), *first[axis]])
        way = replace(way, out=tuple(whole if a == axis else d for a, d in enumerate(dims[0])))
    return [way]


def _expand(_: Walk, node: ir.Node, plain: Way) -> list[Way]:
    source, target = plain.dims[0], plain.data[1]
    if source is None or target is None:
        return [plain]
    sizes, changed = [int(t) for t in target.tolist()], False
    for back in range(1, min(len(source), len(sizes)) + 1):
        dim, wanted = source[-back], sizes[-back]
        if is_free(dim) and wanted not in (1, new_size(dim)):
            if wanted != old_size(dim):
                raise Refused(f"it repeats the free axis to {wanted}")
            sizes[-back], changed = 1, True
    if not changed:
        return [plain]
    return [replace(plain, data=[None, np.array(sizes, np.int64)], mends=[Mend(node, 1, "sizes", sizes)])]


def _slice(walk: Walk, node: ir.Node, plain: Way) -> list[Way]:
    source = plain.dims[0]
    values = [walk.new(v) for v in node.inputs[1:]]
    if source is None or len(values) < 2 or any(v is None for v, i in zip(values, node.inputs[1:], strict=True) if i):
        return [plain]
    starts, ends = values[0], values[1]
    assert starts is not None
    assert ends is not None
    axes = values[2] if len(values) > 2 and values[2] is not None else np.arange(len(starts))
    steps = values[3] if len(values) > 3 and values[3] is not None else np.ones(len(starts), np.int64)
    sizes, changed = [int(e) for e in ends], False
    for i, axis in enumerate(axes.tolist()):
        dim = source[axis]
        if not is_free(dim):
            continue
        whole = starts[i] in (0, -old_size(dim)) and steps[i] == 1 and sizes[i] >= old_size(dim)
        if whole:
            changed, sizes[i] = changed or sizes[i] == old_size(dim), _TO_THE_END
        elif of_samples(dim) and not (starts[i] == 0 and sizes[i] == new_size(dim)):
            raise Refused(f"it takes samples {int(starts[i])} to {sizes[i]} out of the batch")
    if not changed:
        return [plain]
    data = list(plain.data)
    data[2] = np.array(sizes, np.int64)
    return [replace(plain, data=data, mends=[Mend(node, 2, "sizes", sizes)])]


def _along(walk: Walk, node: ir.Node, plain: Way) -> Way:
    """Operators along an axis: over samples they would mix them."""
    source = plain.dims[0]
    assert source is not None
    for axis in _axes(walk, node, len(source)):
        if of_samples(source[axis]):
            raise Refused("it works across the samples of a batch")
    return plain


def _behind(node: ir.Node, plain: Way) -> Way:
    """Operators that work on all axes behind the first, or behind their ``axis``."""
    source = plain.dims[0]
    assert source is not None
    first = node.attributes.get_int("axis", -1) % len(source) if node.op_type in _NORMS else 1
    if any(of_samples(d) for d in source[first:]):
        raise Refused(f"it works across the samples of a batch, {shown(source)}")
    return plain


def _axes(walk: Walk, node: ir.Node, rank: int) -> list[int]:
    name = "axis" if "axis" in node.attributes else "axes"
    given = node.attributes.get(name)
    if given is not None:
        value = given.value
        listed = [value] if isinstance(value, int) else list(value)
        return [a % rank for a in listed]
    if node.op_type.startswith("Reduce") or node.op_type == "CumSum":
        axes = walk.old(node.inputs[1]) if len(node.inputs) > 1 else None
        if axes is not None and axes.size:
            return [int(a) % rank for a in axes.reshape(-1)]
        silent = bool(node.attributes.get_int("noop_with_empty_axes", 0)) or (len(node.inputs) > 1 and axes is None)
        return [] if silent else list(range(rank))
    if node.op_type in ("ArgMax", "ArgMin", "Split"):
        return [0]
    return [rank - 1] if walk.opset >= 13 or node.op_type == "TopK" else list(range(1, rank))


def _transpose(_: Walk, node: ir.Node, plain: Way) -> list[Way]:
    source = plain.dims[0]
    assert source is not None
    order = node.attributes.get("perm")
    turned = list(order.value) if order is not None else list(range(len(source)))[::-1]
    return [replace(plain, out=tuple(source[a] for a in turned))]


def _flatten(_: Walk, node: ir.Node, plain: Way) -> list[Way]:
    source = plain.dims[0]
    assert source is not None
    axis = node.attributes.get_int("axis", 1)
    axis = axis + len(source) if axis < 0 else axis
    parts = (source[:axis], source[axis:])
    out = tuple(joined([f for d in part for f in d]) for part in parts)
    if of_samples(out[1]) or (of_samples(out[0]) and axis == 0):
        raise Refused("it flattens the samples of a batch into one row")
    return [replace(plain, out=out)]


def _squeeze(_: Walk, node: ir.Node, plain: Way) -> list[Way]:
    source = plain.dims[0]
    assert source is not None
    listed = "axes" in node.attributes or len(node.inputs) > 1
    if not listed and any(is_free(d) and old_size(d) == 1 for d in source):
        raise Refused("it drops every axis of 1, and the free axis is one of them")
    return [plain]


def _resize(walk: Walk, node: ir.Node, plain: Way) -> list[Way]:
    source = plain.dims[0]
    sizes = walk.new(node.inputs[3]) if len(node.inputs) > 3 else None
    if source is None or sizes is None:
        return [plain]
    axes = node.attributes.get("axes")
    over = [a % len(source) for a in axes.value] if axes is not None else list(range(len(source)))
    wanted: list[Size] = [int(s) for s in sizes]
    data = sizes.copy()
    for i, axis in enumerate(over):
        dim = source[axis]
        if of_samples(dim) and data[i] == old_size(dim):
            if len(dim) != 1 or not isinstance(dim[0], Free):
                raise Refused(f"it writes out the size of {shown((dim,))}")
            wanted[i], data[i] = dim[0].home, new_size(dim)
    if (data == sizes).all():
        return [plain]
    return [replace(plain, data=[*plain.data[:3], data], mends=[Mend(node, 3, "sizes", wanted)])]


def _recurrent(walk: Walk, node: ir.Node, plain: Way) -> list[Way]:
    """Lengths and first states of an RNN hold a row for each sample."""
    source, way = plain.dims[0], plain
    assert source is not None
    first = node.attributes.get_int("layout", 0)
    batch = source[0 if first else 1]
    for i, axis in ((4, 0), (5, 0 if first else 1), (6, 0 if first else 1)):
        own = way.dims[i] if i < len(way.dims) else None
        if own is not None and is_free(batch) and not is_free(own[axis]):
            way = to_size(walk, node, way, i, axis, batch, must_repeat=True)
    return [way]


def _gemm(walk: Walk, node: ir.Node, plain: Way) -> list[Way]:
    a, bias, way = plain.dims[0], plain.dims[2] if len(plain.dims) > 2 else None, plain
    assert a is not None
    rows = a[1 if node.attributes.get_int("transA", 0) else 0]
    if bias is not None and len(bias) == 2 and is_free(rows) and not is_free(bias[0]) and old_size(bias[0]) > 1:
        way = to_size(walk, node, way, 2, 0, rows, must_repeat=False)
    return [way]


_RULES: dict[str, Callable[[Walk, ir.Node, Way], Iterable[Way]]] = {
    "Concat": _concat,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": gather,
    "GatherElements": gather_elements,
    "GatherND": gather_nd,
    "GRU": _recurrent,
    "Gemm": _gemm,
    "LSTM": _recurrent,
    "RNN": _recurrent,
    "Reshape": _reshape,
    "Resize": _resize,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
}
