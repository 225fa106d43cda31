"""What a job and its child say to each other: frames of a letter, a length and bytes, over a pipe.

    E  an event, JSON      R  the result, pickled      X  an error of the lab, JSON      U  the call cannot be read here

Pickles go from memory to memory between two processes of one user, never over a disk.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

_HEAD = struct.Struct(">cQ")


def encode(kind: bytes, payload: bytes) -> bytes:
    """One frame.

    Examples
    --------
    >>> import io
    >>> read(io.BytesIO(encode(b"E", b"{}")).read)
    (b'E', b'{}')
    """
    return _HEAD.pack(kind, len(payload)) + payload


def read(take: Callable[[int], bytes]) -> tuple[bytes, bytes] | None:
    """The next frame, from a function that reads up to n bytes; None at the end or when it was cut off."""
    head = _exactly(take, _HEAD.size)
    if head is None:
        return None
    kind, length = _HEAD.unpack(head)
    payload = _exactly(take, length)
    return None if payload is None else (kind, payload)


def _exactly(take: Callable[[int], bytes], n: int) -> bytes | None:
    parts, missing = [], n
    while missing:
        part = take(min(missing, 1 << 20))
        if not part:
            return None
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)
