"""What a source takes: specs with axis names, an example, and how to make more feeds of any size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from onnx_lab.feeds import random_feeds
from onnx_lab.model import TensorSpec
from onnx_lab.task import Feeds

Array = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Padding:
    """How a mask says which part of each row is padding: it is `keep` first, and the other way on the right.

    Attributes
    ----------
    ids : str, optional
        The input that holds `pad_id` there.
    keep : int
        1 as tokenizers have it; 0 for a ``key_padding_mask``.
    """

    ids: str | None = None
    pad_id: int = 0
    keep: int = 1


@dataclass(frozen=True)
class Inputs:
    """The tensors a source takes.

    Attributes
    ----------
    specs : tuple of TensorSpec
        A named axis may be dynamic, a number is fixed.
    example : Feeds
        One batch that the source is known to take, in the order of `specs`.
    ids_below : mapping of str to int
        Input -> bound of its ids.
    samples : mapping of str to ndarray
        Input -> values that others are drawn from; inputs without are made from their spec.
    padding : mapping of str to Padding
        Mask input -> what it masks.
    limits : mapping of str to int
        Axis name -> largest size that may be tried.
    """

    specs: tuple[TensorSpec, ...]
    example: Feeds
    ids_below: Mapping[str, int] = field(default_factory=dict)
    samples: Feeds = field(default_factory=dict)
    padding: Mapping[str, Padding] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Input names, in order."""
        return tuple(s.name for s in self.specs)

    @property
    def sizes(self) -> dict[str, int]:
        """Named axes, in order of appearance, with their size in the example."""
        found: dict[str, int] = {}
        for spec in self.specs:
            for axis, dim in enumerate(spec.shape):
                if isinstance(dim, str):
                    found.setdefault(dim, self.example[spec.name].shape[axis])
        return found

    def where(self, axis_name: str) -> str:
        """The places an axis name stands for, e.g. ``"axis 0 of 'x' and 'y'"``."""
        places: dict[int, list[str]] = {}
        for spec in self.specs:
            for axis, dim in enumerate(spec.shape):
                if dim == axis_name:
                    places.setdefault(axis, []).append(repr(spec.name))
        return ", ".join(f"axis {a} of {' and '.join(names)}" for a, names in places.items())

    def fixed(self, axis_names: Iterable[str]) -> Inputs:
        """The same, with these axes at their size in the example."""
        drop, sizes = set(axis_names), self.sizes
        specs = [
            replace(s, shape=tuple(sizes[d] if isinstance(d, str) and d in drop else d for d in s.shape))
            for s in self.specs
        ]
        return replace(self, specs=tuple(specs))

    def renamed(self, names: Mapping[str, str]) -> Inputs:
        """The same inputs under other names."""
        return Inputs(
            specs=tuple(replace(s, name=names[s.name]) for s in self.specs),
            example={names[k]: v for k, v in self.example.items()},
            ids_below={names[k]: v for k, v in self.ids_below.items()},
            samples={names[k]: v for k, v in self.samples.items()},
            padding={names[k]: replace(p, ids=p.ids and names[p.ids]) for k, p in self.padding.items()},
            limits=self.limits,
        )

    def feeds(self, sizes: Mapping[str, int] | None = None, *, seed: int = 0, padded: bool = False) -> Feeds:
        """New feeds; axes not in `sizes` are as in the example.

        With `padded`, each row ends in padding, of a length of its own, and its mask in zeros.
        """
        axes = {**self.sizes, **(sizes or {})}
        made = random_feeds(self.specs, axes=axes, ids_below=self.ids_below, seed=seed)
        rng = np.random.default_rng(seed)
        for name, values in self.samples.items():
            made[name] = rng.choice(values.ravel(), made[name].shape).astype(values.dtype)
        for mask, p in self.padding.items():
            made[mask][...] = p.keep
            if p.ids is not None:  # no padding among the real ids: some models find the length by looking for it
                made[p.ids][made[p.ids] == p.pad_id] = (p.pad_id + 1) % self.ids_below.get(p.ids, p.pad_id + 2)
            if padded:
                _pad(made[mask], made[p.ids] if p.ids is not None else None, p)
        return made

    def shape_text(self, feeds: Feeds) -> str:
        """The shape that stands for the whole batch: the first input's, e.g. ``"(3, 37)"``."""
        return str(tuple(feeds[self.specs[0].name].shape)) if self.specs else "()"


def _pad(mask: Array, ids: Array | None, padding: Padding) -> None:
    """Keep two thirds of the first row, three quarters of the second, ...; the rest is padding."""
    length = mask.shape[-1]
    for row in range(mask.shape[0]):
        keep = max(1, length * (row + 2) // (row + 3))
        mask[row, keep:] = 1 - padding.keep
        if ids is not None:
            ids[row, keep:] = padding.pad_id
