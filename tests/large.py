"""A file of 4 GB that takes no place: what does not read weights opens it at once."""

from __future__ import annotations

from pathlib import Path

from onnx import TensorProto, helper


def four_gigabytes(folder: Path) -> Path:
    """``y = x @ w`` with w of 32,768 x 32,768 in a sparse file beside it."""
    spec = helper.make_tensor_value_info
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[32_768, 32_768])
    weight.data_location = TensorProto.EXTERNAL
    for k, v in (("location", "w.bin"), ("offset", "0"), ("length", str(4 << 30))):
        weight.external_data.add(key=k, value=v)
    with (folder / "w.bin").open("wb") as f:
        f.truncate(4 << 30)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "big",
        [spec("x", TensorProto.FLOAT, ["batch", 32_768])],
        [spec("y", TensorProto.FLOAT, ["batch", 32_768])],
        [weight],
    )
    path = folder / "big.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]).SerializeToString())
    return path
