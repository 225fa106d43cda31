"""Memory that is no longer used goes back to the system: glibc keeps it otherwise, and a walk of ten steps holds twice
what it needs."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt

#: Below this it is not worth the time.
WORTH_GIVING_BYTES = 10_000_000


def give_memory_back() -> None:
    """Collect garbage, then `trim`. Half a second beside PyTorch: graphs are full of cycles."""
    gc.collect()
    trim()


def trim() -> None:
    """Give back what is free already; some milliseconds."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another C library: it has its own ways
        ctypes.CDLL(None).malloc_trim(0)


def in_blocks(array: npt.NDArray[Any], numbers: int = 1 << 20) -> Iterator[npt.NDArray[Any]]:
    """Views of `numbers` numbers each, for arithmetic whose temporaries would be as large as the array.

    Examples
    --------
    >>> import numpy as np
    >>> [len(block) for block in in_blocks(np.zeros((5, 3)), 6)]
    [6, 6, 3]
    """
    flat = array.reshape(-1)
    for start in range(0, flat.size, numbers):
        yield flat[start : start + numbers]
