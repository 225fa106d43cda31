"""Files in two parts: what is read in place and written weight by weight is what onnx itself reads and writes."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnx_lab as lab
from onnx_lab import _in_place
from onnx_lab._in_place import WORTH_BYTES, open_ir, skeleton
from onnx_lab._streamed import write_streamed
from onnx_lab.errors import BadModel

ROWS = WORTH_BYTES // 4
KINDS = [np.float32, np.float16, np.float64, np.int8, np.uint8, np.int64, np.bool_, ml_dtypes.bfloat16]


def model(*weights: onnx.TensorProto) -> onnx.ModelProto:
    """Weights of many kinds, and two floats that are used."""
    big = numpy_helper.from_array(np.arange(ROWS * 2, dtype=np.float32).reshape(2, ROWS), "big")
    small = numpy_helper.from_array(np.float32(2.0), "small")
    nodes = [helper.make_node("Add", ["x", "big"], ["y"]), helper.make_node("Mul", ["y", "small"], ["z"])]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", ROWS])
    z = helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", ROWS])
    graph = helper.make_graph(nodes, "g", [x], [z], [big, *weights, small])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def of_all_kinds() -> onnx.ModelProto:
    rng = np.random.default_rng(0)
    weights = [numpy_helper.from_array(rng.integers(0, 2, (3, ROWS)).astype(k), f"w{i}") for i, k in enumerate(KINDS)]
    four = helper.make_tensor("four", TensorProto.INT4, [WORTH_BYTES * 4], rng.bytes(WORTH_BYTES * 2), raw=True)
    listed = helper.make_tensor("listed", TensorProto.FLOAT, [ROWS * 2], np.ones(ROWS * 2).tolist())
    words = helper.make_tensor("words", TensorProto.STRING, [2], [b"a" * WORTH_BYTES, b"b"])
    return model(*weights, four, listed, words)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "m.onnx"
    onnx.save(of_all_kinds(), path)
    return path


def test_the_skeleton_is_the_model_without_its_larger_arrays(path: Path) -> None:
    whole = onnx.load(path)
    found, places = skeleton(path)
    assert set(places) == {"big", *(f"w{i}" for i, k in enumerate(KINDS) if np.dtype(k).itemsize * 3 * ROWS > 1 << 16)}
    data = path.read_bytes()
    for tensor in found.graph.initializer:
        if tensor.name in places:
            place = places[tensor.name]
            tensor.raw_data = data[place.offset : place.offset + place.length]
    assert found == whole


def test_what_is_opened_in_place_is_what_onnx_ir_loads(path: Path) -> None:
    one, other = open_ir(path), ir.load(path)
    assert list(one.graph.initializers) == list(other.graph.initializers)
    for name, value in other.graph.initializers.items():
        mine, theirs = one.graph.initializers[name].const_value, value.const_value
        assert mine is not None
        assert theirs is not None
        assert (mine.dtype, mine.shape) == (theirs.dtype, theirs.shape)
        if mine.dtype != ir.DataType.STRING:
            assert mine.tobytes() == theirs.tobytes()


@pytest.mark.parametrize("read", [open_ir, ir.load])
def test_what_is_written_by_weights_is_what_onnx_writes(path: Path, tmp_path: Path, read: object) -> None:
    assert callable(read)
    write_streamed(read(path), tmp_path / "streamed.onnx")
    ir.save(ir.load(path), tmp_path / "saved.onnx")
    written, saved = onnx.load(tmp_path / "streamed.onnx"), onnx.load(tmp_path / "saved.onnx")
    onnx.checker.check_model(written)
    for ours, theirs in zip(written.graph.initializer, saved.graph.initializer, strict=True):
        if ours.name == "listed":  # a list of floats becomes bytes: the same numbers
            np.testing.assert_array_equal(numpy_helper.to_array(ours), numpy_helper.to_array(theirs))
            ours.CopyFrom(theirs)
    assert written == saved


def test_writing_leaves_the_graph_as_it_was(path: Path, tmp_path: Path) -> None:
    graph = open_ir(path)
    write_streamed(graph, tmp_path / "once.onnx")
    write_streamed(graph, tmp_path / "twice.onnx")
    assert (tmp_path / "once.onnx").read_bytes() == (tmp_path / "twice.onnx").read_bytes()


def test_external_weights_come_inside(tmp_path: Path) -> None:
    source = tmp_path / "external.onnx"
    onnx.save(of_all_kinds(), source, save_as_external_data=True, location="w.bin", size_threshold=0)
    write_streamed(ir.load(source), tmp_path / "inside.onnx")
    (tmp_path / "w.bin").unlink()
    inside = {t.name: t for t in onnx.load(tmp_path / "inside.onnx").graph.initializer}
    assert inside["small"].data_location == inside["big"].data_location == TensorProto.DEFAULT
    assert float(numpy_helper.to_array(inside["small"])) == 2.0


@pytest.mark.parametrize("keep", [0.3, 0.9, 0.999])
def test_a_file_that_is_cut_off_is_told_as_before(path: Path, keep: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data))])
    with pytest.raises(ValueError, match=r"cut off|byte"):
        skeleton(path)
    with pytest.raises(BadModel, match="cut off"):
        lab.load(path).header  # noqa: B018


def test_a_length_that_lies_leaves_the_tensor_to_onnx(tmp_path: Path) -> None:
    proto = model()
    proto.graph.initializer[0].dims[0] = 3
    onnx.save(proto, tmp_path / "lies.onnx")
    found, places = skeleton(tmp_path / "lies.onnx")
    assert not places
    assert found == proto


def test_transforms_read_the_labs_own_files_in_place_and_the_users_whole(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []
    real = open_ir
    monkeypatch.setattr(_in_place, "open_ir", lambda p: opened.append(p) or real(p))
    mine = lab.samples.tiny()
    mine.to_ir()
    lab.load(path).to_ir()
    assert opened == [mine.path]
