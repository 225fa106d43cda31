"""Frames carry any array there and back, bit for bit, and a torn one is an error."""

from __future__ import annotations

import io
import os
import threading

import numpy as np
import pytest

from onnx_lab.runtime import _wire
from onnx_lab.runtime._pipe import Deadline, Pipe

ARRAYS = {
    "floats": np.arange(12, dtype=np.float32).reshape(3, 4),
    "not contiguous": np.arange(12, dtype=np.int64).reshape(3, 4).T[::2],
    "scalar": np.array(7, np.int32),
    "empty": np.zeros((0, 5), np.float16),
    "nan": np.array([np.nan, np.inf, -0.0]),
    "bools": np.array([True, False]),
    "texts": np.array([["a", "ü\n"], ["", "{"]], object),
    "bytes": np.array([b"x", b"yz"]),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_there_and_back(name: str) -> None:
    sent = ARRAYS[name]
    data = b"".join(bytes(p) for p in _wire.encode({"op": "run", "n": 1}, {"a": sent, "b": sent}))
    source = io.BytesIO(data + b"rest")
    header, got = _wire.decode(source)
    assert header == {"op": "run", "n": 1}
    assert source.read() == b"rest"
    for back in got.values():
        assert back.shape == sent.shape
        if sent.dtype.kind in "OS":
            assert back.tolist() == np.char.decode(sent).tolist() if sent.dtype.kind == "S" else sent.tolist()
        else:
            assert back.dtype == sent.dtype
            assert back.tobytes() == np.ascontiguousarray(sent).tobytes()


def test_a_torn_frame_is_the_end() -> None:
    data = b"".join(bytes(p) for p in _wire.encode({}, {"a": ARRAYS["floats"]}))
    with pytest.raises(EOFError):
        _wire.decode(io.BytesIO(data[:-1]))
    with pytest.raises(EOFError):
        _wire.decode(io.BytesIO(b""))


def test_a_large_frame_passes_through_a_small_pipe() -> None:
    sent = np.random.default_rng(0).integers(0, 255, 5_000_000).astype(np.uint8)
    out, into = os.pipe()
    reader, writer = Pipe(out, lambda: None), Pipe(into, lambda: None)
    frame = _wire.encode({"op": "x"}, {"a": sent})
    sender = threading.Thread(target=lambda: [writer.write(p) for p in frame])
    sender.start()
    header, got = _wire.decode(reader)
    sender.join()
    assert header == {"op": "x"}
    assert (got["a"] == sent).all()
    got["a"][0] = 1  # what arrives may be written to
    os.close(into)
    with pytest.raises(EOFError):
        _wire.decode(reader)
    os.close(out)


def test_a_silent_pipe_meets_its_deadline() -> None:
    out, into = os.pipe()
    reader = Pipe(out, lambda: None)
    reader.deadline = 0.0
    with pytest.raises(Deadline):
        reader.readline()
    os.close(out)
    os.close(into)
