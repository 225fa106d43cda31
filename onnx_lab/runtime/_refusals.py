"""What ONNX Runtime says when it refuses, put into the lab's words: what came, what is accepted, what to do next."""

from __future__ import annotations

import os
import re

from onnx_lab.errors import BadInput, BadModel, OnnxLabError, ProviderError

_TAIL_BYTES = 8192


def load_error(e: Exception, path: str, provider: str) -> OnnxLabError:
    """Why a session could not be opened."""
    text, kind = _message(e), type(e).__name__
    if "allocate" in text or isinstance(e, MemoryError):
        return BadModel(f"{path} does not fit in memory: {text}", do="free memory, or take a smaller form of the model")
    if match := re.search(r"Could not find an implementation for (\S+)", text):
        return BadModel(
            f"{provider} has no kernel for {match[1]}: {text}",
            do="another opset or dtype for that node, or another target; lab.inspect(m) shows where it stands",
        )
    if re.search(r"is not a registered function/op|No Op registered|No opset import|Unrecognized|custom op", text):
        return BadModel(f"{path} uses an operator that this onnxruntime does not know: {text}", do="export it again")
    if re.search(r"opset|ir_version|IR version", text, re.IGNORECASE):
        return BadModel(f"{path} is of a newer version than this onnxruntime: {text}", do="pip install -U onnxruntime")
    if provider != "CPUExecutionProvider" and kind not in ("InvalidProtobuf", "NoSuchFile", "InvalidGraph"):
        return ProviderError(f"{provider} refused {path}: {text}", do="lab.doctor() tells whether it runs at all here")
    return BadModel(f"onnxruntime cannot load {path}: {text}", do="lab.inspect(m), or export it again")


def run_error(e: Exception) -> OnnxLabError:
    """Why a run failed: the feeds, or the model."""
    text, kind = _message(e), type(e).__name__
    if kind == "InvalidArgument" and "Non-zero status" not in text:
        return BadInput(f"the engine refused the feeds: {text}", do="compare with m.inputs")
    if "indices element out of data bounds" in text:
        return BadInput(f"an id is larger than its table: {text}", do="feed ids below the vocabulary's size")
    if "allocate" in text:
        return BadModel(f"the run does not fit in memory: {text}", do="a smaller batch or sequence length")
    return BadModel(
        f"the engine failed in the run: {text}",
        do="check that the feeds agree with each other in batch and length; lab.inspect(m) shows the node",
    )


def absent_library() -> str:
    """The shared library that a provider's loading asked for last and did not find, else nothing.

    ONNX Runtime tells it in its log only. The worker's stderr is a file that its parent made: it is read back here.
    """
    try:
        size = os.fstat(2).st_size
        said = os.pread(2, _TAIL_BYTES, max(0, size - _TAIL_BYTES)).decode(errors="replace")
    except OSError:  # a terminal or a pipe cannot be read back
        return ""
    found = re.findall(r"error: (\S+): cannot open shared object file", said)
    return found[-1] if found else ""


def _message(e: Exception) -> str:
    """ONNX Runtime's message as one line, without its status prefix."""
    text = " ".join(line.strip() for line in str(e).splitlines()[:3] if line.strip()) or type(e).__name__
    return re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text)
