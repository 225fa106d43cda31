"""GPTQ: weights rounded one input after the other, each error made good by the inputs that are still to come.

Frantar et al., 2022 (https://arxiv.org/abs/2210.17323). onnxruntime 1.31 brings one too, with the factor the wrong way
round: an error meets only zeros, and its file is that of plain rounding (measured: the same answers to the last digit).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from onnx_lab.runtime.activations import tapped
from onnx_lab.transforms._nbits_weights import Blocks, packed

if TYPE_CHECKING:
    import onnx_ir as ir

    from onnx_lab.task import Dataset

Array = npt.NDArray[Any]

#: Second moments that are held at once; the data is read once for each group of them.
_CAP_BYTES = 512_000_000


def second_moments(
    model: ir.Model, inputs: Mapping[str, int], data: Dataset, cap_bytes: int = _CAP_BYTES
) -> Iterable[tuple[str, Array]]:
    """Name and mean of ``x xᵀ`` over all rows that `data` sends through each of `inputs` (name -> size of a row).

    A group of them at a time, so that no more than `cap_bytes` are held.
    """
    for group in _groups(inputs, cap_bytes):
        sums = {name: np.zeros((inputs[name],) * 2, np.float32) for name in group}
        rows = dict.fromkeys(group, 0)
        with tapped(model, group) as tap:
            for name, value in tap.batches(data):
                x = value.reshape(-1, value.shape[-1]).astype(np.float32)
                sums[name] += x.T @ x
                rows[name] += len(x)
        for name in group:
            yield name, sums.pop(name) / max(rows[name], 1)


def _groups(inputs: Mapping[str, int], cap_bytes: int) -> list[list[str]]:
    groups: list[list[str]] = [[]]
    held = 0
    for name, size in inputs.items():
        if groups[-1] and held + 4 * size**2 > cap_bytes:
            groups.append([])
            held = 0
        groups[-1].append(name)
        held += 4 * size**2
    return groups if inputs else []


def gptq(
    weight: Array, moments: Array, *, bits: int, block_size: int, symmetric: bool, damping: float = 0.01
) -> Blocks:
    """Round a float32 weight of shape (K, N) so that its products with inputs of these second moments change least.

    Parameters
    ----------
    weight : array, shape (K, N)
    moments : array, shape (K, K)
        Mean of ``x xᵀ``.
    damping : float, default 0.01
        Added to the diagonal, as a share of its mean: without it inputs that never vary cannot be solved for.

    Examples
    --------
    >>> blocks = gptq(np.eye(32, 4, dtype=np.float32), np.eye(32), bits=8, block_size=16, symmetric=False)
    >>> blocks.packed.shape
    (4, 2, 16)
    """
    k, n = weight.shape
    left = weight.astype(np.float32)  # what is still to be rounded, with the errors so far made good
    spread = _spread(moments, damping)
    blocks = -(-k // block_size)
    scales = np.empty((n, blocks), np.float32)
    zeros = np.empty((n, blocks), np.uint8)
    rounded = np.empty((blocks * block_size, n), np.uint8)
    for b in range(blocks):
        start, stop = b * block_size, min((b + 1) * block_size, k)
        scale, zero = _grid(left[start:stop], bits, symmetric)
        rounded[start : start + block_size] = zero  # beyond k: nothing
        errors = np.empty((stop - start, n), np.float32)
        for i in range(start, stop):
            whole = np.clip(np.round(left[i] / scale) + zero, 0, 2**bits - 1)
            rounded[i] = whole
            errors[i - start] = (left[i] - (whole - zero) * scale) / spread[i, i]
            left[i + 1 : stop] -= np.outer(spread[i, i + 1 : stop], errors[i - start])
        left[stop:] -= spread[start:stop, stop:].T @ errors
        scales[:, b], zeros[:, b] = scale, zero
    return packed(np.ascontiguousarray(rounded.T), scales, None if symmetric else zeros, bits=bits)


def _spread(moments: Array, damping: float) -> Array:
    """The upper Cholesky factor of the inverse: row i says how an error at input i is shared by the later ones."""
    solid = moments.astype(np.float64)
    diagonal = np.diagonal(solid)
    silent = diagonal <= 0
    solid[silent, silent] = 1.0  # never used by the data: rounded by themselves
    solid[np.diag_indices_from(solid)] += damping * diagonal.mean()
    factor: Array = np.linalg.cholesky(np.linalg.inv(solid)).T.astype(np.float32)
    return factor


def _grid(block: Array, bits: int, symmetric: bool) -> tuple[Array, Array]:
    """Scale and zero point of each column, as onnxruntime's own kernel finds them; zero is always on the grid."""
    if symmetric:
        extreme = np.take_along_axis(block, np.abs(block).argmax(axis=0)[None], axis=0)[0]
        scale, zero = extreme / -(2.0 ** (bits - 1)), np.full(block.shape[1], 2 ** (bits - 1))
    else:
        low, high = np.minimum(block.min(axis=0), 0), np.maximum(block.max(axis=0), 0)
        scale = (high - low) / (2**bits - 1)
        zero = np.where(scale == 0, 0, np.round(-low / np.where(scale == 0, 1, scale)))
    return np.where(scale == 0, 1, scale).astype(np.float32), zero.astype(np.uint8)
