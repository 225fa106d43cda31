"""Weights in blocks of few bits, as arrays: rounded by onnxruntime's own functions, packed as its kernels read them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from onnx_lab._quiet import quiet
from onnx_lab.errors import missing

if TYPE_CHECKING:
    from collections.abc import Callable

Array = npt.NDArray[Any]

#: Weights that k-quant works on at once: it keeps a dozen arrays of that size.
_CHUNK = 4_000_000


@dataclass(frozen=True)
class Blocks:
    """A weight of shape (K, N), column by column in blocks along K.

    Attributes
    ----------
    packed : array of uint8, shape (N, blocks, bytes of a block)
        Low bits first.
    scales : array of float32, shape (N, blocks)
    zero_points : array, optional
        uint8 and packed, shape (N, bytes of a row), or float32 of shape (N, blocks); None when symmetric.
    """

    packed: Array
    scales: Array
    zero_points: Array | None

    @property
    def nbytes(self) -> int:
        """Of all three."""
        return sum(a.nbytes for a in (self.packed, self.scales, self.zero_points) if a is not None)


def in_blocks(weight: Array, *, bits: int, block_size: int, symmetric: bool, algorithm: str) -> Blocks:
    """Round a float32 weight of shape (K, N) by ``"rtn"``, ``"hqq"`` or ``"k_quant"``.

    Examples
    --------
    >>> blocks = in_blocks(np.ones((40, 3), np.float32), bits=4, block_size=32, symmetric=True, algorithm="rtn")
    >>> blocks.packed.shape, blocks.scales.shape, blocks.zero_points
    ((3, 2, 16), (3, 2), None)
    """
    if algorithm == "rtn":
        return _rtn(weight, bits, block_size, symmetric)
    columns = _padded(weight, block_size).T
    rounded, scales, zeros = (_hqq if algorithm == "hqq" else _k_quant)(np.ascontiguousarray(columns), bits, block_size)
    return packed(rounded, scales, zeros, bits=bits)


def packed(rounded: Array, scales: Array, zeros: Array | None, *, bits: int) -> Blocks:
    """What was rounded to whole numbers, shape (N, blocks * block size), in the layout of the kernels.

    Zero points stay as they are when they are float: whole numbers are packed like the weights.

    Examples
    --------
    >>> packed(np.array([[1, 2, 3, 4]]), np.ones((1, 1)), np.array([[7]]), bits=4).packed.tolist()
    [[[33, 67]]]
    """
    n, blocks = scales.shape
    if zeros is not None and zeros.dtype.kind != "f":
        zeros = _pack(zeros, bits)
    return Blocks(_pack(rounded, bits).reshape(n, blocks, -1), scales.astype(np.float32), zeros)


def _pack(numbers: Array, bits: int) -> Array:
    whole = numbers.astype(np.uint8)
    if bits == 8:
        return whole
    if whole.shape[1] % 2:
        whole = np.pad(whole, ((0, 0), (0, 1)))
    return whole[:, ::2] | (whole[:, 1::2] << 4)


def size_in_blocks(k: int, n: int, *, bits: int, block_size: int, symmetric: bool) -> int:
    """Bytes that a weight of shape (k, n) will take, with whole-number zero points.

    Examples
    --------
    >>> size_in_blocks(768, 768, bits=4, block_size=32, symmetric=False) / (768 * 768 * 4)
    0.16015625
    """
    blocks = -(-k // block_size)
    zeros = 0 if symmetric else -(-blocks * bits // 8)
    return n * (blocks * block_size * bits // 8 + 4 * blocks + zeros)


def _padded(weight: Array, block_size: int) -> Array:
    return np.pad(weight, ((0, -len(weight) % block_size), (0, 0)))


def _quantizers() -> Any:
    root = logging.root
    before = list(root.handlers), root.level
    try:
        with quiet("onnxruntime"):
            from onnxruntime.quantization import matmul_nbits_quantizer
    except ImportError:
        raise missing("onnxruntime", "cpu") from None
    finally:
        root.handlers[:], root.level = before  # the module sets up logging for the whole process
    return matmul_nbits_quantizer


def _rtn(weight: Array, bits: int, block_size: int, symmetric: bool) -> Blocks:
    tools = _quantizers()
    config = tools.DefaultWeightOnlyQuantConfig(block_size=block_size, is_symmetric=symmetric, bits=bits)
    whole, scales, zeros = tools.DefaultWeightOnlyQuantizer(config).qbits_block_quant(np.ascontiguousarray(weight))
    return Blocks(whole, scales, None if symmetric else zeros)


def _hqq(columns: Array, bits: int, block_size: int) -> tuple[Array, Array, Array]:
    tools = _quantizers()
    try:
        import torch
    except ImportError:
        raise missing("torch", "torch") from None
    quantizer = tools.HQQWeightOnlyQuantizer(tools.HQQWeightOnlyQuantConfig(block_size=block_size, bits=bits))
    with torch.no_grad():
        rounded, scales, zeros = quantizer.quantize_internal(
            torch.from_numpy(columns), bits=bits, group_size=block_size
        )
    return rounded.numpy(), scales.numpy(), zeros.numpy()


def _k_quant(columns: Array, bits: int, block_size: int) -> tuple[Array, Array, Array]:
    _quantizers()
    from onnxruntime.quantization.neural_compressor.weight_only import quant_tensor_k_quant_cpu

    step: Callable[..., tuple[Array, Array, Array]] = quant_tensor_k_quant_cpu
    rows = max(1, _CHUNK // columns.shape[1])
    with np.errstate(all="ignore"):  # a block of one value divides by zero, and keeps what it had
        parts = [step(columns[i : i + rows], bits, block_size) for i in range(0, len(columns), rows)]
    rounded, scales, zeros = (np.concatenate([p[i] for p in parts]) for i in range(3))
    n = len(columns)
    return rounded.reshape(n, -1), scales.reshape(n, -1), zeros.reshape(n, -1)
