"""Feeds made from a model's own input specs, and the check that feeds fit them.

Random feeds serve where only time or agreement is asked: measuring, comparing, looking at a model. Which axis is the
batch and which the sequence is read from the axis names that exporters write, else from the position.
"""

from __future__ import annotations

import functools
import math
import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from onnx_lab.errors import BadInput, did_you_mean
from onnx_lab.model import Model, TensorSpec
from onnx_lab.task import Feeds

#: Ids stay below this when no embedding table says more: every real vocabulary is larger.
DEFAULT_IDS = 100
#: Pixels per side where an image's height and width are free.
DEFAULT_PIXELS = 224
#: No input is larger.
_MOST_NUMBERS = 4_000_000_000

_BATCH = re.compile(r"^(n|b|bs)$|batch|^num_samples$")
_SEQUENCE = re.compile(r"^(s|l|t)$|seq|length|tokens|time")
_PIXELS = re.compile(r"^(h|w)$|height|width")


def random_feeds(
    inputs: Sequence[TensorSpec],
    *,
    batch: int = 1,
    seq: int = 128,
    seed: int = 0,
    axes: Mapping[str, int] | None = None,
    ids_below: Mapping[str, int] | None = None,
) -> Feeds:
    """One batch that a model with these inputs takes: the same seed gives the same arrays.

    Integers are ids from 0 to below `ids_below[name]`; inputs named as masks are ones, token types are zeros,
    positions count up; floats are drawn from the normal distribution. Fixed dimensions are kept as they are.

    Parameters
    ----------
    inputs : sequence of TensorSpec
        What the model takes, e.g. ``m.inputs``.
    batch, seq : int
        Sizes for the batch and the sequence axis where they are dynamic. Defaults 1 and 128.
    seed : int
        Default 0.
    axes : mapping of str to int, optional
        Sizes by axis name; wins over everything that is guessed.
    ids_below : mapping of str to int, optional
        Input name -> bound of its ids (see `id_limits`). Default: 100 for all.

    Returns
    -------
    dict of str to ndarray
        In the order of `inputs`, with the dtypes of the specs.

    Raises
    ------
    BadInput
        For a dtype that NumPy does not have, or a size below 1.

    Examples
    --------
    >>> ids = TensorSpec("input_ids", "int64", ("batch", "sequence"))
    >>> x = TensorSpec("pixels", "float32", ("batch", 3, 32, 32))
    >>> {k: v.shape for k, v in random_feeds([ids, x], batch=2, seq=7).items()}
    {'input_ids': (2, 7), 'pixels': (2, 3, 32, 32)}
    """
    for name, size in {"batch": batch, "seq": seq, **(axes or {})}.items():
        if size < 1:
            raise BadInput(f"{name}={size}", accepted="1 or more")
    limits, shapes = ids_below or {}, input_shapes(inputs, batch=batch, seq=seq, axes=axes)
    return {
        # a generator per name: models that share an input get the same values for it, whatever else they take
        s.name: _values(s, shapes[s.name], limits.get(s.name), _generator(seed, s.name))
        for s in inputs
    }


def input_shapes(
    inputs: Sequence[TensorSpec], *, batch: int = 1, seq: int = 128, axes: Mapping[str, int] | None = None
) -> dict[str, tuple[int, ...]]:
    """Input -> its shape with these sizes for the dynamic axes; fixed ones stay.

    Examples
    --------
    >>> input_shapes([TensorSpec("ids", "int64", ("batch", "sequence"))], batch=2, seq=7)
    {'ids': (2, 7)}
    """
    return {s.name: _shape(s, batch, seq, axes or {}) for s in inputs}


def model_feeds(
    model: Model, *, batch: int = 1, seq: int = 128, seed: int = 0, axes: Mapping[str, int] | None = None
) -> Feeds:
    """`random_feeds` for a Model, with ids that its embedding tables hold.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> model_feeds(lab.samples.tiny(), batch=3)["x"].shape
    (3, 8)
    """
    ids = any(np.issubdtype(_dtype(s), np.integer) for s in model.inputs)
    return random_feeds(
        model.inputs, batch=batch, seq=seq, seed=seed, axes=axes, ids_below=id_limits(model) if ids else None
    )


def id_limits(model: Model) -> dict[str, int]:
    """Input name -> rows of the smallest table that a Gather indexes with it; no weights are read.

    Casts between the input and the Gather are looked through.
    """
    return dict(_id_limits(model.path, model._stat))


@functools.lru_cache(maxsize=64)
def _id_limits(path: Path, _stat: tuple[int, int]) -> dict[str, int]:
    from onnx_lab._onnxfile import read_proto

    graph = read_proto(path).graph
    rows = {t.name: int(t.dims[0]) for t in graph.initializer if len(t.dims) == 2}
    source = {v.name: v.name for v in graph.input}
    limits: dict[str, int] = {}
    for node in graph.node:
        if node.op_type in ("Cast", "Identity") and node.input[0] in source:
            source[node.output[0]] = source[node.input[0]]
        elif node.op_type == "Gather" and node.input[0] in rows and node.input[1] in source:
            name = source[node.input[1]]
            limits[name] = min(limits.get(name, rows[node.input[0]]), rows[node.input[0]])
    return limits


def axis_kind(spec: TensorSpec, axis: int) -> str:
    """``"batch"``, ``"sequence"``, ``"pixels"`` or ``"other"``: by the axis' name, else by its position.

    Examples
    --------
    >>> axis_kind(TensorSpec("ids", "int64", (None, "s0")), 1)
    'sequence'
    """
    dim = spec.shape[axis]
    name = dim.lower() if isinstance(dim, str) else ""
    for kind, pattern in (("batch", _BATCH), ("sequence", _SEQUENCE), ("pixels", _PIXELS)):
        if pattern.search(name):
            return kind
    if axis == 0:
        return "batch"
    if len(spec.shape) == 4:
        return "pixels" if axis > 1 else "other"
    return "sequence" if axis == 1 else "other"


def check_feeds(
    inputs: Sequence[TensorSpec], feeds: Mapping[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]]
) -> None:
    """Raise BadInput unless `feeds` has the names, dtypes, ranks and fixed dimensions of `inputs`.

    Examples
    --------
    >>> import numpy as np
    >>> spec = TensorSpec("x", "float32", ("batch", 8))
    >>> check_feeds([spec], {"x": np.zeros((2, 8), np.float32)})
    >>> check_feeds([spec], {"y": np.zeros((2, 8), np.float32)})
    Traceback (most recent call last):
    onnx_lab.errors.BadInput: feed 'y'
      accepted: x: float32[batch, 8]
      try: choose from: x
    """
    wanted = {s.name: s for s in inputs}
    accepted = "; ".join(map(str, inputs)) or "no inputs at all"
    for name in feeds:
        if name not in wanted:
            raise BadInput(f"feed {name!r}", accepted=accepted, do=did_you_mean(name, wanted))
    if absent := [n for n in wanted if n not in feeds]:
        raise BadInput(f"no feed for {', '.join(map(repr, absent))}", accepted=accepted, do="add it to the feeds")
    for name, value in feeds.items():
        _check_one(wanted[name], np.asarray(value))


def _check_one(spec: TensorSpec, value: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> None:
    came = f"feed {spec.name!r} of {value.dtype}{list(value.shape)}"
    kind = "string" if value.dtype.kind in "OUS" else str(value.dtype)
    if kind != spec.dtype:
        raise BadInput(came, accepted=str(spec), do=f"feeds[{spec.name!r}].astype({spec.dtype!r})")
    if len(value.shape) != len(spec.shape):
        extra = "add the batch axis: x[None]" if len(value.shape) + 1 == len(spec.shape) else "give it this rank"
        raise BadInput(f"{came}, rank {value.ndim}", accepted=f"{spec}, rank {len(spec.shape)}", do=extra)
    for axis, (want, got) in enumerate(zip(spec.shape, value.shape, strict=True)):
        if isinstance(want, int) and want != got:
            raise BadInput(
                f"{came}: axis {axis} is {got}",
                accepted=f"{spec}: axis {axis} is fixed at {want}",
                do="pad, cut or resize",
            )


def _shape(spec: TensorSpec, batch: int, seq: int, axes: Mapping[str, int]) -> tuple[int, ...]:
    sizes = {"batch": batch, "sequence": seq, "pixels": DEFAULT_PIXELS}
    shape = []
    for axis, dim in enumerate(spec.shape):
        if isinstance(dim, int):
            shape.append(dim)
        elif dim is not None and dim in axes:
            shape.append(axes[dim])
        else:
            # an unnamed second axis of four is the channels of an image
            shape.append(sizes.get(axis_kind(spec, axis), 3 if len(spec.shape) == 4 else 1))
    _check_size(spec, shape)
    return tuple(shape)


def _check_size(spec: TensorSpec, shape: Sequence[int]) -> None:
    """Refuse what no machine holds: a damaged file may ask for it."""
    if min(shape, default=0) < 0 or math.prod(shape) > _MOST_NUMBERS:
        raise BadInput(
            f"input {spec} with a size of {list(shape)}",
            accepted=f"sizes of 0 or more, {_MOST_NUMBERS:.0e} numbers at most",
            do="fix the sizes of its axes: lab.fix_shapes, or feeds of your own",
        )


def _values(
    spec: TensorSpec, shape: tuple[int, ...], below: int | None, rng: np.random.Generator
) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    dtype, name = _dtype(spec), spec.name.lower()
    if dtype.kind == "O":
        return np.full(shape, "text", dtype)
    if dtype.kind == "b" or "mask" in name:
        return np.ones(shape, dtype)
    if dtype.kind in "iu":
        if "token_type" in name or "segment" in name:
            return np.zeros(shape, dtype)
        if "position" in name:
            return np.broadcast_to(np.arange(shape[-1]), shape).astype(dtype)
        return rng.integers(0, below or (256 if dtype == np.uint8 else DEFAULT_IDS), shape).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)


def _generator(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def _dtype(spec: TensorSpec) -> np.dtype[np.generic]:
    if spec.dtype == "string":
        return np.dtype(object)
    try:
        return np.dtype(spec.dtype)
    except TypeError:
        raise BadInput(
            f"input {spec} has a dtype that NumPy cannot hold",
            accepted="bool, integers, float16, float32, float64, string",
            do="give the model an input of float32 and a Cast behind it",
        ) from None
