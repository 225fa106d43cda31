"""The child process that opens engines: ``python -m onnx_lab.runtime.worker``, spoken to over its own stdin and stdout.

It serves one engine at a time. Requests are frames (see `_wire`): ``open``, ``torch``, ``tensorflow``, ``run``,
``time``, ``profile``, ``relax``, ``convert``, ``probe``, ``onnxsim``, ``nncf``, ``shapes``.
It dies when the pipe closes, also in the middle of a run, so an interrupted notebook leaves nothing behind.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections.abc import Callable
from typing import Any, BinaryIO

from onnx_lab._memory import trim
from onnx_lab.errors import OnnxLabError
from onnx_lab.runtime import _wire
from onnx_lab.runtime._wire import Array

Request = tuple[dict[str, Any], dict[str, Array], bytes]
Reply = tuple[dict[str, Any], dict[str, Array]]


def main() -> None:
    """Serve requests until the pipe closes."""
    requests, replies = _own_pipes()
    inbox: queue.SimpleQueue[Request] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests, inbox), daemon=True).start()
    engine: Any = None
    reply: dict[str, Any]
    out: dict[str, Array]
    while True:
        header, arrays, blob = inbox.get()
        try:
            if header["op"] in _OPENERS:
                engine = None  # free the old one first: two large models may not fit
                engine = _OPENERS[header["op"]](header, blob)
                blob = b""  # a module's pickle is as large as the module
                trim()
                reply, out = {"info": engine.info}, {}
            else:
                reply, out = _ACTIONS[header["op"]](engine, header, arrays)
            frame = _wire.encode({"ok": True, "peak": peak_rss_bytes(), **reply}, out)
        except Exception as e:
            frame = _wire.encode({"ok": False, "peak": peak_rss_bytes(), **_as_reply(e)})
        for piece in frame:
            replies.write(piece)
        replies.flush()
        out, arrays, frame, piece = {}, {}, [], b""  # what was sent is not kept until the next request


def peak_rss_bytes() -> int:
    """Largest resident memory of this process so far.

    From ``VmHWM``: ``ru_maxrss`` would count the parent's memory, which a child inherits between fork and exec.
    """
    try:
        with open("/proc/self/status") as f:
            return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _own_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Keep stdin and stdout for frames alone: what libraries print to stdout goes to stderr from here on."""
    requests = os.fdopen(os.dup(0), "rb", buffering=1 << 20)
    replies = os.fdopen(os.dup(1), "wb", buffering=1 << 20)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, replies


def _listen(requests: BinaryIO, inbox: queue.SimpleQueue[Request]) -> None:
    """Read frames in a thread of its own, so that a closed pipe is noticed while an engine runs."""
    try:
        while True:
            header, arrays = _wire.decode(requests)
            inbox.put((header, arrays, _wire.blob(requests, header.pop("blob", 0))))
    finally:
        os._exit(0)


def _open_session(header: dict[str, Any], _blob: bytes) -> Any:
    from onnx_lab.runtime.sessions import OrtEngine

    return OrtEngine(**header["session"])


def _open_torch(header: dict[str, Any], blob: bytes) -> Any:
    from onnx_lab.runtime.torch_engine import TorchEngine

    return TorchEngine(blob, **header["torch"])


def _open_tensorflow(header: dict[str, Any], _blob: bytes) -> Any:
    from onnx_lab.runtime.tensorflow_engine import TensorFlowEngine

    return TensorFlowEngine(**header["tensorflow"])


def _relax(engine: Any, header: dict[str, Any], _arrays: dict[str, Array]) -> Reply:
    engine.relax(header["shapes"])
    return {}, {}


def _convert(engine: Any, header: dict[str, Any], _arrays: dict[str, Array]) -> Reply:
    return engine.convert(**header["convert"]), {}


def _run(engine: Any, header: dict[str, Any], arrays: dict[str, Array]) -> Reply:
    return {}, engine.run(arrays, header["outputs"]) if "outputs" in header else engine.run(arrays)


def _time(engine: Any, header: dict[str, Any], arrays: dict[str, Array]) -> Reply:
    from onnx_lab.runtime._timing import time_block

    call = engine.bind(arrays)
    try:
        return {"block": vars(time_block(call, **header["block"]))}, {}
    except Exception as e:
        raise engine.explain(e) from e


def _profile(engine: Any, header: dict[str, Any], arrays: dict[str, Array]) -> Reply:
    return {"profile": engine.profile(arrays, **header["profile"])}, {}


def _probe(_engine: Any, _header: dict[str, Any], _arrays: dict[str, Array]) -> Reply:
    from onnx_lab.runtime.sessions import engine_facts

    return {"facts": engine_facts()}, {}


def _onnxsim(_engine: Any, header: dict[str, Any], _arrays: dict[str, Array]) -> Reply:
    from onnx_lab.runtime.simplifier import simplify_file

    return simplify_file(**header["onnxsim"]), {}


def _nncf(_engine: Any, header: dict[str, Any], _arrays: dict[str, Array]) -> Reply:
    from onnx_lab.runtime.nncf_quantizer import quantize_file

    return quantize_file(**header["nncf"]), {}


def _shapes(_engine: Any, header: dict[str, Any], _arrays: dict[str, Array]) -> Reply:
    from onnx_lab.runtime._static_shapes import infer

    return {"types": infer(**header["shapes"])}, {}


_OPENERS: dict[str, Callable[[dict[str, Any], bytes], Any]] = {
    "open": _open_session,
    "torch": _open_torch,
    "tensorflow": _open_tensorflow,
}
_ACTIONS: dict[str, Callable[[Any, dict[str, Any], dict[str, Array]], Reply]] = {
    "run": _run,
    "time": _time,
    "profile": _profile,
    "relax": _relax,
    "convert": _convert,
    "probe": _probe,
    "onnxsim": _onnxsim,
    "nncf": _nncf,
    "shapes": _shapes,
}


def _as_reply(e: Exception) -> dict[str, Any]:
    """An error as JSON; the client raises it again under its own type."""
    if isinstance(e, OnnxLabError):
        return {"error": type(e).__name__, "came": e.came, "accepted": e.accepted, "do": e.do}
    import traceback

    traceback.print_exc()  # to stderr: quoted by the client when nothing better is known
    return {"error": "WorkerError", "came": f"{type(e).__name__}: {e}", "accepted": "", "do": ""}


if __name__ == "__main__":
    main()
