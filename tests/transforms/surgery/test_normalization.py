"""fold, take out and put in a normalization: the same answers, at a padded border too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import NodeProto, TensorProto, helper
from small_graphs import answer, said, small

import onnx_lab as lab
from onnx_lab.errors import BadInput, TransformError
from onnx_lab.model import Model

RNG = np.random.default_rng(0)
MEAN = np.array([123.675, 116.28, 103.53], np.float32)
STD = np.array([58.395, 57.12, 57.375], np.float32)
WEIGHTS = {
    "w": RNG.normal(0, 0.2, (4, 3, 3, 3)).astype(np.float32),
    "b": RNG.normal(0, 1, 4).astype(np.float32),
    "mean": MEAN.reshape(1, 3, 1, 1),
    "std": STD.reshape(3, 1, 1),
    "scale": np.float32(1 / 127.5),
    "minus": np.float32(-1),
}
PIXELS = RNG.uniform(0, 255, (2, 3, 9, 9)).astype(np.float32)


def torch_like(
    folder: Path, bias: bool = True, extra: list[NodeProto] | None = None, name: str = "net", **conv: Any
) -> Model:
    """(x - mean) / std, then a Conv: channels first."""
    nodes = [
        helper.make_node("Sub", ["x", "mean"], ["x0"], "sub"),
        helper.make_node("Div", ["x0", "std"], ["x1"], "div"),
        *(extra or []),
        helper.make_node("Conv", ["x2" if extra else "x1", "w", *["b"] * bias], ["c"], "conv", **conv),
        helper.make_node("Relu", ["c"], ["y"], "relu"),
    ]
    return small(
        folder, nodes, [("x", np.float32, ["n", 3, 9, 9])], [("y", np.float32, None)],
        {**WEIGHTS, "edges": np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64)}, name=name,
    )  # fmt: skip


def keras_like(folder: Path, size: int | str = 9, stride: int = 2) -> Model:
    """Rescaling(1/127.5, -1), channels last, then a Conv with 'same' padding."""
    nodes = [
        helper.make_node("Mul", ["x", "scale"], ["x0"], "rescale/mul"),
        helper.make_node("Add", ["x0", "minus"], ["x1"], "rescale/add"),
        helper.make_node("Transpose", ["x1"], ["x2"], "to_nchw", perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["x2", "w", "b"], ["y"], "conv", auto_pad="SAME_UPPER", strides=[stride, stride]),
    ]
    return small(
        folder, nodes, [("x", np.float32, ["n", size, size, 3])], [("y", np.float32, None)],
        {k: WEIGHTS[k] for k in ("w", "b", "scale", "minus")},
    )  # fmt: skip


def same(a: Model, b: Model, x: Any, y: Any = None) -> bool:
    expected = answer(a, x=x)["y"]
    return bool(np.allclose(answer(b, x=x if y is None else y)["y"], expected, atol=1e-4 * np.abs(expected).max()))


@pytest.mark.slow
def test_without_padding_all_of_it_is_in_the_weights(tmp_path: Path) -> None:
    for bias in (True, False):
        m = torch_like(tmp_path, bias)
        folded = lab.surgery.fold_normalization(m)
        assert folded.header.operators == {"Conv": 1, "Relu": 1}
        assert "2 nodes of normalization are in conv (exact: nothing is padded)" in said(folded)
        assert same(m, folded, PIXELS)


@pytest.mark.slow
def test_same_padding_of_keras_is_padded_by_what_becomes_zero(tmp_path: Path) -> None:
    m = keras_like(tmp_path)
    folded = lab.surgery.fold_normalization(m)
    assert folded.header.operators == {"Transpose": 1, "Pad": 1, "Conv": 1}
    assert "a Pad with 127.5 in front of it, which becomes its zeros" in said(folded)
    x = PIXELS.transpose(0, 2, 3, 1)
    assert same(m, folded, x)
    kept = lab.surgery.fold_normalization(m, padding="shift", check=False)
    assert kept.header.operators == {"Transpose": 1, "Add": 1, "Conv": 1}
    assert same(m, kept, x)


@pytest.mark.slow
def test_where_the_padding_is_not_known_the_shift_stays(tmp_path: Path) -> None:
    m = keras_like(tmp_path, size="side")
    folded = lab.surgery.fold_normalization(m)
    assert "one Add stays: how far conv pads depends on the size" in said(folded)
    assert same(m, folded, PIXELS.transpose(0, 2, 3, 1))
    lined = keras_like(tmp_path, size="side", stride=1)  # stride 1 pads by the kernel alone
    assert "Pad" in lab.surgery.fold_normalization(lined, check=False).header.operators


def test_channels_with_zeros_of_their_own_keep_one_add(tmp_path: Path) -> None:
    m = torch_like(tmp_path, pads=[1, 1, 1, 1])
    folded = lab.surgery.fold_normalization(m, "x", check=False)
    assert folded.header.operators == {"Add": 1, "Conv": 1, "Relu": 1}
    assert "conv sees 0 beyond the border, which is another raw value in each channel" in said(folded)
    assert same(m, folded, PIXELS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "left"), [("reflect", {"Pad", "Conv", "Relu"}), ("constant", {"Add", "Pad", "Conv", "Relu"})]
)
def test_a_pad_in_front_of_the_conv_follows(tmp_path: Path, mode: str, left: set[str]) -> None:
    pad = helper.make_node("Pad", ["x1", "edges"], ["x2"], "pad", mode=mode)
    m = torch_like(tmp_path, extra=[pad])
    folded = lab.surgery.fold_normalization(m, check=False)
    assert folded.header.operators.keys() == left | {"Conv", "Relu"}
    assert same(m, folded, PIXELS)


@pytest.mark.slow
def test_a_grouped_conv_and_a_pad_of_one_value(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Sub", ["one", "x"], ["x0"], "flip"),
        helper.make_node("Mul", ["x0", "two"], ["x1"], "twice"),
        helper.make_node("Pad", ["x1", "edges"], ["x2"], "pad"),
        helper.make_node("Conv", ["x2", "w"], ["y"], "conv", group=3),
    ]
    weights = {
        "one": np.float32(1), "two": np.array([2, 4, 8], np.float32).reshape(3, 1, 1),
        "edges": np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64),
        "w": RNG.normal(0, 1, (6, 1, 3, 3)).astype(np.float32),
    }  # fmt: skip
    m = small(tmp_path, nodes, [("x", np.float32, ["n", 3, 9, 9])], [("y", np.float32, None)], weights)
    folded = lab.surgery.fold_normalization(m)
    assert "pad pads with 1, which becomes what it was" in said(folded)
    assert folded.header.operators == {"Pad": 1, "Conv": 1}
    assert same(m, folded, PIXELS / 255)


def test_what_stands_in_the_way_is_named(tmp_path: Path) -> None:
    two = torch_like(tmp_path, extra=[helper.make_node("Softmax", ["x1"], ["x2"], "soft")])
    assert "0 inputs folded: x is normalized, and then goes to Softmax soft, which is no Conv" in said(
        lab.surgery.fold_normalization(two, check=False)
    )
    shown = lab.surgery.expose(torch_like(tmp_path, name="shown"), "x1", check=False)
    assert "0 inputs folded" in said(lab.surgery.fold_normalization(shown, check=False))
    with pytest.raises(BadInput, match="tensor='z'"):
        lab.surgery.fold_normalization(two, "z")


@pytest.mark.slow
def test_taken_out_the_caller_feeds_normalized_data(tmp_path: Path) -> None:
    m = torch_like(tmp_path)
    bare = lab.surgery.take_out_normalization(m)
    assert bare.header.operators == {"Conv": 1, "Relu": 1}
    assert "x: feed (x - [123.675, 116.28, 103.53]) / [58.395, 57.12, 57.375] from now on, along axis 1" in said(bare)
    assert "answers as" in said(bare)
    normal = (PIXELS - MEAN[:, None, None]) / STD[:, None, None]
    assert same(m, bare, PIXELS, normal)
    back = lab.surgery.put_in_normalization(bare, "x", MEAN.tolist(), STD.tolist())
    assert same(m, back, PIXELS)
    keras = keras_like(tmp_path)
    raw = lab.surgery.take_out_normalization(keras)
    assert "x: feed (x - 127.5) / 127.5 from now on" in said(raw)
    x = PIXELS.transpose(0, 2, 3, 1)
    assert same(keras, raw, x, x / 127.5 - 1)
    with pytest.raises(TransformError, match="x goes to Conv conv"):
        lab.surgery.take_out_normalization(raw)


@pytest.mark.slow
def test_bytes_in_and_floats_out_of_the_graph_again(tmp_path: Path) -> None:
    bare = lab.surgery.take_out_normalization(torch_like(tmp_path))
    bytes_in = lab.surgery.put_in_normalization(bare, "x", MEAN.tolist(), STD.tolist(), dtype="uint8")
    assert str(bytes_in.inputs[0]) == "x: uint8[n, 3, 9, 9]"
    pixels = PIXELS.astype(np.uint8)
    normal = ((pixels - MEAN[:, None, None]) / STD[:, None, None]).astype(np.float32)
    assert same(bare, bytes_in, normal, pixels)
    floats = lab.surgery.take_out_normalization(bytes_in)
    assert str(floats.inputs[0]) == "x: float32[n, 3, 9, 9]"
    assert same(bare, floats, normal)
    with pytest.raises(BadInput, match="2 numbers for axis 1 of x, which is 3"):
        lab.surgery.put_in_normalization(bare, "x", [1, 2], 1)
    ids = small(
        tmp_path, [helper.make_node("Cast", ["x"], ["y"], "cast", to=TensorProto.FLOAT)],
        [("x", np.int64, ["n"])], [("y", np.float32, ["n"])], name="ids",
    )  # fmt: skip
    with pytest.raises(TransformError, match="x is int64, and only floats"):
        lab.surgery.put_in_normalization(ids, "x", 1, 1)
