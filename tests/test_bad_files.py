"""Every way a file can be wrong is one clear BadModel; the workspace and the process are unharmed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnx_lab as lab
from onnx_lab import workspace
from onnx_lab.errors import BadModel


def good_bytes() -> bytes:
    return lab.samples.tiny().path.read_bytes()


def empty(folder: Path) -> Path:
    path = folder / "empty.onnx"
    path.write_bytes(b"")
    return path


def not_there(folder: Path) -> Path:
    return folder / "nothing.onnx"


def a_folder(folder: Path) -> Path:
    return folder


def text(folder: Path) -> Path:
    path = folder / "text.onnx"
    path.write_text("<html>404 not found</html>")
    return path


def truncated(folder: Path) -> Path:
    path = folder / "cut.onnx"
    path.write_bytes(good_bytes()[:-200])
    return path


def random_bytes(folder: Path) -> Path:
    path = folder / "random.onnx"
    path.write_bytes(np.random.default_rng(0).bytes(4096))
    return path


def zeros(folder: Path) -> Path:
    path = folder / "zeros.onnx"
    path.write_bytes(bytes(4096))
    return path


def unknown_opset(folder: Path) -> Path:
    proto = onnx.load_from_string(good_bytes())
    proto.opset_import[0].version = 999
    path = folder / "future.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def with_external(folder: Path, location: str) -> Path:
    weight = numpy_helper.from_array(np.ones((8, 4), np.float32), "w")
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    spec = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node], "g", [spec("x", TensorProto.FLOAT, ["n", 8])], [spec("y", TensorProto.FLOAT, ["n", 4])], [weight]
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    path = folder / "ext.onnx"
    onnx.save(proto, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    proto = onnx.load(path, load_external_data=False)
    for entry in proto.graph.initializer[0].external_data:
        if entry.key == "location":
            entry.value = location
    path.write_bytes(proto.SerializeToString())
    return path


def missing_external(folder: Path) -> Path:
    path = with_external(folder, "weights.bin")
    (folder / "weights.bin").unlink()
    return path


def cut_external(folder: Path) -> Path:
    path = with_external(folder, "weights.bin")
    (folder / "weights.bin").write_bytes(b"1234")
    return path


def escaping_external(folder: Path) -> Path:
    return with_external(folder, "../../etc/passwd")


def absolute_external(folder: Path) -> Path:
    return with_external(folder, "/etc/passwd")


def strange_name(folder: Path) -> Path:
    path = folder / "strange.onnx"
    path.write_bytes(good_bytes().replace(b"first/matmul", b"first/\xff\xfetmul"))
    return path


def absurd_size(folder: Path) -> Path:
    proto = onnx.load_from_string(good_bytes())
    proto.graph.initializer[0].dims[:] = [1 << 40]
    path = folder / "absurd.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def no_type(folder: Path) -> Path:
    proto = onnx.load_from_string(good_bytes())
    proto.graph.initializer[0].data_type = 99
    path = folder / "typeless.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def outside_in_a_function(folder: Path) -> Path:
    proto = onnx.load_from_string(good_bytes())
    weight = TensorProto(name="w", data_type=1, dims=[4], data_location=TensorProto.EXTERNAL)
    weight.external_data.add(key="location", value="/etc/passwd")
    body = [helper.make_node("Constant", [], ["o"], value=weight)]
    proto.functions.append(helper.make_function("own", "f", [], ["o"], body, [helper.make_opsetid("", 20)]))
    path = folder / "function.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


CASES: list[tuple[Callable[[Path], Path], str]] = [
    (empty, "empty"),
    (not_there, "no file at"),
    (a_folder, "is a folder"),
    (text, "not an ONNX file|holds no ONNX graph"),
    (truncated, "cut off"),
    (random_bytes, "not an ONNX file|holds no ONNX graph"),
    (zeros, "not an ONNX file|holds no ONNX graph"),
    (unknown_opset, "says opset 999"),
    (missing_external, "missing"),
    (cut_external, "ends at 128"),
    (escaping_external, "outside its own folder"),
    (absolute_external, "outside its own folder"),
    (strange_name, "a name that is no text"),
    (absurd_size, r"is float32\[1099511627776\] and has 512 bytes"),
    (no_type, "is of type 99"),
    (outside_in_a_function, "outside its own folder"),
]


@pytest.mark.parametrize(("make", "says"), CASES, ids=[c[0].__name__ for c in CASES])
def test_a_bad_file_is_one_clear_error(make: Callable[[Path], Path], says: str, tmp_path: Path) -> None:
    before = sorted(p for p in workspace.root().rglob("*") if "tmp" not in p.parts)
    with pytest.raises(BadModel, match=says) as caught:
        lab.load(make(tmp_path))
    assert caught.value.do, "an error says what to do next"
    assert sorted(p for p in workspace.root().rglob("*") if "tmp" not in p.parts) == before


@pytest.mark.slow
def test_every_truncation_is_an_error_or_the_whole_graph(tmp_path: Path) -> None:
    whole = good_bytes()
    header = lab.samples.tiny().header
    path = tmp_path / "cut.onnx"
    refused = 0
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        try:
            cut = lab.load(path).header
        except BadModel:
            refused += 1
        else:  # only metadata, which lies behind the graph and the opsets, may be cut off unnoticed
            assert (cut.inputs, cut.outputs, cut.operators) == (header.inputs, header.outputs, header.operators)
    assert refused >= len(whole) - 3


def test_a_good_external_file_loads_and_says_so(tmp_path: Path) -> None:
    model = lab.load(with_external(tmp_path, "weights.bin"))
    assert model.header.external == ("weights.bin",)
    assert "external data" in str(model)
    assert model.size_bytes == model.path.stat().st_size + 128


def test_a_file_edited_after_loading_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(good_bytes())
    model = lab.load(path)
    path.write_bytes(good_bytes() + b"\x00\x00")
    with pytest.raises(BadModel, match="edited after"):
        model.to_ir()
    path.unlink()
    with pytest.raises(BadModel, match="is gone"):
        model.to_proto()
