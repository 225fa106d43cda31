"""Memory that is no longer used goes back to the system: glibc keeps it otherwise, and a walk of ten steps holds twice
what it needs."""

from __future__ import annotations

import contextlib
import ctypes
import gc

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
