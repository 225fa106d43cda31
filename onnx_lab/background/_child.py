"""The child's side: read one call, do it, tell events, then the result or the error. Run as a module."""

from __future__ import annotations

import inspect
import json
import os
import pickle
import sys
import threading
import traceback
from typing import Any

from onnx_lab.background import _frames
from onnx_lab.errors import OnnxLabError


def main() -> int:
    """One call, from the pipe to the pipe; the exit status is 0 whenever something could be told."""
    pipe = os.dup(1)
    os.dup2(2, 1)  # what engines and libraries print goes to the log
    lock = threading.Lock()

    def tell(kind: bytes, payload: bytes) -> None:
        with lock:
            data = memoryview(_frames.encode(kind, payload))
            while data:
                data = data[os.write(pipe, data) :]

    frame = _frames.read(lambda n: os.read(0, n))
    if frame is None:
        return 0  # the parent has gone
    threading.Thread(target=_outlived, daemon=True).start()
    try:
        verb, arguments = _opened(frame[1])
    except Exception as e:
        tell(b"U", f"{type(e).__name__}: {e}".encode())
        return 0
    try:
        value = call(verb, arguments, lambda event: tell(b"E", json.dumps(event, default=str).encode()))
        tell(b"R", pickle.dumps(value))
    except OnnxLabError as e:
        said = {"class": type(e).__name__, "came": e.came, "accepted": e.accepted, "do": e.do}
        tell(b"X", json.dumps(said).encode())
    except Exception as e:
        traceback.print_exc()
        tell(b"X", json.dumps({"class": "", "came": f"{type(e).__name__}: {e}", "accepted": "", "do": ""}).encode())
    return 0


def call(verb: str, arguments: dict[str, Any], progress: Any) -> Any:
    """A public function of the lab by name, with progress where it tells any."""
    import onnx_lab

    function = getattr(onnx_lab, verb)
    if "progress" in inspect.signature(function).parameters:
        arguments = {**arguments, "progress": progress}
    bound = {k: v for k, v in arguments.items() if k != "*"}
    return function(*arguments.get("*", ()), **bound)


def _outlived() -> None:
    """End with the parent: its end of the pipe closes when it does. Engines end as their pipes close."""
    while os.read(0, 1):
        pass
    os._exit(1)


def _opened(payload: bytes) -> tuple[str, dict[str, Any]]:
    paths, rest = pickle.loads(payload)
    sys.path[:] = list(dict.fromkeys([*sys.path, *paths]))
    verb, arguments = pickle.loads(rest)
    return verb, arguments


if __name__ == "__main__":
    sys.exit(main())
