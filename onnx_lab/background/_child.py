"""The child's side: read one call, do it, tell events, then the result or the error. Run as a module."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import pickle
import shutil
import sys
import threading
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from onnx_lab import workspace
from onnx_lab._progress import listening
from onnx_lab._turns import measuring, waiting
from onnx_lab.background import _frames
from onnx_lab.background._signature import function_of
from onnx_lab.errors import OnnxLabError

if TYPE_CHECKING:
    from onnx_lab.background._packed import Call


def main() -> int:
    """One call, from the pipe to the pipe; the exit status is 0 whenever something could be told."""
    pipe = os.dup(1)
    os.dup2(2, 1)  # what engines and libraries print goes to the log
    lock = threading.Lock()

    def tell(kind: bytes, payload: bytes) -> None:
        with lock:
            _frames.write(pipe, _frames.head(kind, len(payload)))
            _frames.write(pipe, payload)

    received = _received()
    if received is None:
        return 0  # the parent has gone
    threading.Thread(target=_outlived, daemon=True).start()
    try:
        from onnx_lab.background._packed import opened

        call = opened(*received)
    except Exception as e:
        tell(b"U", f"{type(e).__name__}: {e}".encode())
        return 0
    try:
        value = done(call, lambda event: tell(b"E", json.dumps(event, default=str).encode()))
        tell(b"R", pickle.dumps(value, protocol=5))
    except Exception as e:
        tell(b"X", json.dumps(_said(e)).encode())
    return 0


def done(call: Call, progress: Callable[[dict[str, Any]], None]) -> Any:
    """The value of a call; what its function tells on its way reaches `progress`."""
    function = function_of(call.verb)
    bound = {k: v for k, v in call.arguments.items() if k != "*"}
    if "progress" in inspect.signature(function).parameters:
        bound["progress"] = progress
    with listening(progress), measuring(waiting) if call.in_turn else contextlib.nullcontext():
        return function(*call.arguments.get("*", ()), **bound)


def _said(e: Exception) -> dict[str, str]:
    """The error in its parts; its trace goes to the log, and along for who asked for it."""
    trace = traceback.format_exc()
    with contextlib.suppress(OSError):  # the log lies on a disk, too, and that may be what is full
        print(trace, file=sys.stderr)
    parts = {"class": "", "came": f"{type(e).__name__}: {e}", "accepted": "", "do": "", "trace": trace}
    if isinstance(e, OnnxLabError):
        parts |= {"class": type(e).__name__, "came": e.came, "accepted": e.accepted, "do": e.do}
    return parts


def _received() -> tuple[dict[str, Any], list[bytearray]] | None:
    """The call and its large arrays; they are read at once, so that who sends them can go on."""

    def take(n: int) -> bytes:
        return os.read(0, n)

    first = _frames.read(take)
    if first is None:
        return None
    head = pickle.loads(first[1])
    buffers = []
    for _ in range(head["buffers"]):
        frame = _frames.read(take)
        if frame is None:
            return None
        buffers.append(frame[1])
    return head, buffers


def _outlived() -> None:
    """End with the parent: its end of the pipe closes when it does. Engines end as their pipes close."""
    while os.read(0, 1):
        pass
    # what the parent would have cleared away
    for folder in (workspace.work_of(os.environ["ONNX_LAB_WORK"]), os.environ["TMPDIR"]):
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
