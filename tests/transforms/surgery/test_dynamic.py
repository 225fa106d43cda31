"""dynamic, static, set_batch: the batch is free through the whole graph, sample by sample, or a node says why not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import onnx_lab as lab
from onnx_lab.errors import BadInput, TransformError
from onnx_lab.model import Model
from onnx_lab.transforms.code import code_for

HEAD = '<ir_version: 9, opset_import: ["" : 18]>\n'


@pytest.fixture
def graph(tmp_path: Path) -> Any:
    """A Model of ONNX' text form, with random float weights for initializers given as name -> shape."""

    def made(text: str, **weights: Any) -> Model:
        model = onnx.parser.parse_model(HEAD + text)
        rng = np.random.default_rng(0)
        for name, given in weights.items():
            array = given if isinstance(given, np.ndarray) else rng.standard_normal(given).astype(np.float32)
            model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
        path = tmp_path / "net.onnx"
        onnx.save(model, path)
        return lab.load(path)

    return made


def attention(batch: int) -> str:
    """Batch and heads folded, a class token joined, positions added: what exporters write for fixed shapes."""
    return f"""
    net (float[{batch}, 4, 8] x) => (float[{batch}, 5, 8] out, float[{batch}, 8] first) {{
        with_token = Concat <axis = 1> (token, x)
        h = Add(with_token, positions)
        q = MatMul(h, weight)
        split = Constant <value_ints = [{batch}, 5, 2, 4]> ()
        cut = Reshape(q, split)
        turned = Transpose <perm = [0, 2, 1, 3]> (cut)
        fold = Constant <value_ints = [{2 * batch}, 5, 4]> ()
        folded = Reshape(turned, fold)
        keys = Transpose <perm = [0, 2, 1]> (folded)
        scores = MatMul(folded, keys)
        masked = Add(scores, mask)
        shares = Softmax <axis = -1> (masked)
        mixed = MatMul(shares, folded)
        unfold = Constant <value_ints = [{batch}, 2, 5, 4]> ()
        heads = Reshape(mixed, unfold)
        back = Transpose <perm = [0, 2, 1, 3]> (heads)
        join = Constant <value_ints = [{batch}, 5, 8]> ()
        out = Reshape(back, join)
        picked = GatherND(out, which)
        row = Constant <value_ints = [{batch}, 8]> ()
        first = Reshape(picked, row)
    }}"""


def attention_weights(batch: int) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    token, mask = rng.standard_normal((1, 1, 8)), rng.standard_normal((2, 5, 5))
    return {
        "token": np.repeat(token, batch, 0).astype(np.float32),
        "positions": np.repeat(rng.standard_normal((1, 5, 8)), batch, 0).astype(np.float32),
        "mask": np.concatenate([mask] * batch).astype(np.float32),
        "which": np.array([[b, 0] for b in range(batch)], np.int64),
        "weight": (8, 8),
    }


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 2, 4])
def test_folded_heads_tokens_masks_and_indices_follow_the_batch(graph: Any, batch: int) -> None:
    m = graph(attention(batch), **attention_weights(batch))
    free = lab.surgery.dynamic(m)
    assert [str(s) for s in (*free.inputs, *free.outputs)] == [
        "x: float32[batch, 4, 8]",
        "out: float32[batch, 5, 8]",
        "first: float32[batch, 8]",
    ]
    assert any("run at batch 1, 3 and 8" in s for s in free.lineage[-1].notes["say"])
    x = np.random.default_rng(2).standard_normal((6 * batch, 4, 8)).astype(np.float32)
    own = [lab.infer(m, {"x": x[i : i + batch]}).outputs for i in range(0, len(x), batch)]
    got = lab.infer(free, {"x": x}).outputs
    for name in ("out", "first"):
        assert np.allclose(np.concatenate([o[name] for o in own]), got[name], atol=1e-5), name


@pytest.mark.slow
def test_the_plain_code_does_the_same(graph: Any, tmp_path: Path) -> None:
    m = graph(attention(2), **attention_weights(2))
    free = lab.surgery.dynamic(m)
    m.save(tmp_path / "model.onnx")
    code = code_for(free.lineage[-1])
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    x = np.random.default_rng(2).standard_normal((5, 4, 8)).astype(np.float32)
    by_hand = lab.infer(lab.load(tmp_path / "model-dynamic.onnx"), {"x": x}).outputs
    ours = lab.infer(free, {"x": x}).outputs
    assert all(np.allclose(ours[k], by_hand[k], atol=1e-6) for k in ours)


def test_sequence_first_attention_of_one_sample_keeps_samples_apart(graph: Any) -> None:
    """[tokens, 1, 8] to [tokens, heads, 4]: the numbers do not say whether the batch goes to tokens or to heads."""
    m = graph(
        """net (float[1, 4, 8] x) => (float[1, 4, 8] out) {
            turned = Transpose <perm = [1, 0, 2]> (x)
            fold = Constant <value_ints = [4, 2, 4]> ()
            folded = Reshape(turned, fold)
            q = Transpose <perm = [1, 0, 2]> (folded)
            k = Transpose <perm = [1, 2, 0]> (folded)
            scores = MatMul(q, k)
            shares = Softmax <axis = -1> (scores)
            mixed = MatMul(shares, q)
            tokens = Transpose <perm = [1, 0, 2]> (mixed)
            flat = Constant <value_ints = [4, 8]> ()
            rows = Reshape(tokens, flat)
            h = MatMul(rows, weight)
            unflat = Constant <value_ints = [4, 1, 8]> ()
            back = Reshape(h, unflat)
            out = Transpose <perm = [1, 0, 2]> (back)
        }""",
        weight=(8, 8),
    )
    assert str(lab.surgery.dynamic(m).outputs[0]) == "out: float32[batch, 4, 8]"


@pytest.mark.parametrize(
    ("body", "node"),
    [
        ("axes = Constant <value_ints = [0]> ()\n out = ReduceMean <keepdims = 1> (x, axes)", "across the samples"),
        ("i = Constant <value_int = 0> ()\n row = Gather <axis = 0> (x, i)\n out = Unsqueeze(row, i1)", "one sample"),
        ("out = Add(x, other)", "holds other values for each of 2"),
        ("out = Softmax <axis = 0> (x)", "across the samples"),
        ("s = Constant <value_ints = [16]> ()\n flat = Reshape(x, s)\n k = Constant <value_ints = [4, 4]> ()\n"
         "k2 = Reshape(flat, k)\n out = Softmax <axis = 0> (k2)", "Softmax"),
        ("z = Constant <value_ints = [0]> ()\n o = Constant <value_ints = [1]> ()\n out = Slice(x, z, o, z)",
         "samples 0 to 1"),
    ],
)  # fmt: skip
def test_the_node_that_forbids_it_is_named(graph: Any, body: str, node: str) -> None:
    m = graph("net (float[2, 8] x) => (float[N, M] out) {" + body + "}", other=(2, 8), i1=np.array([0], np.int64))
    with pytest.raises(TransformError, match=f"forbids it: (.|\n)*{node}|{node}"):
        lab.surgery.dynamic(m)


@pytest.mark.slow
def test_height_and_width_go_through_a_convolution(graph: Any) -> None:
    m = graph(
        """net (float[2, 3, 8, 12] x) => (float[2, 4] out, float[2, 4, 24] map) {
            c = Conv <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> (x, w)
            s = Constant <value_ints = [2, 4, 24]> ()
            map = Reshape(c, s)
            g = GlobalAveragePool(c)
            out = Flatten(g)
        }""",
        w=(4, 3, 3, 3),
    )
    free = lab.surgery.dynamic(m, ["batch", "height", "x:3=wide"])
    assert str(free.inputs[0]) == "x: float32[batch, 3, height, wide]"
    got = lab.infer(free, {"x": np.ones((3, 3, 10, 20), np.float32)}).outputs
    assert got["map"].shape == (3, 4, 50)
    assert np.allclose(got["map"].mean(2), got["out"], atol=1e-5)


@pytest.mark.slow
def test_an_axis_that_is_dynamic_already_stays_so(graph: Any) -> None:
    m = graph(
        """net (float[2, T, 8] x) => (float[2, T, 8] out) {
            s = Constant <value_ints = [2, -1, 2, 4]> ()
            a = Reshape(x, s)
            b = Transpose <perm = [0, 2, 1, 3]> (a)
            c = Transpose <perm = [0, 2, 1, 3]> (b)
            e = Constant <value_ints = [2, -1, 8]> ()
            out = Reshape(c, e)
        }"""
    )
    free = lab.surgery.dynamic(m)
    assert str(free.outputs[0]) == "out: float32[batch, T, 8]"
    assert lab.infer(free, {"x": np.ones((3, 5, 8), np.float32)}).outputs["out"].shape == (3, 5, 8)


def test_words_that_mean_no_axis_are_refused() -> None:
    m = lab.samples.tiny()
    with pytest.raises(BadInput, match="dynamic already"):
        lab.surgery.dynamic(m)
    fixed = lab.surgery.set_batch(m, 2)
    with pytest.raises(BadInput, match="did you mean 'batch'"):
        lab.surgery.dynamic(fixed, "bach")
    with pytest.raises(BadInput, match="x has no axis 5"):
        lab.surgery.dynamic(fixed, "x:5")
    with pytest.raises(BadInput, match="would be 2 and 8"):
        lab.surgery.dynamic(fixed, ["x:0=n", "x:1=n"])


@pytest.mark.slow
def test_a_batch_is_set_from_any_other(graph: Any) -> None:
    m = graph(attention(2), **attention_weights(2))
    five = lab.surgery.set_batch(m, 5)
    assert [str(s) for s in (five.inputs[0], five.outputs[1])] == ["x: float32[5, 4, 8]", "first: float32[5, 8]"]
    with pytest.raises(BadInput, match="1 or more"):
        lab.surgery.set_batch(m, 0)
    code = code_for(five.lineage[-1])
    compile(code, "code", "exec")
    assert "model-set-batch.onnx" in code


def test_static_fixes_what_is_named() -> None:
    m = lab.samples.tiny()
    assert str(lab.surgery.static(m, "x:0=3").outputs[0]) == "logits: float32[3, 4]"
    for word, message in {"bath=3": "did you mean 'batch'", "batch": "NAME=SIZE", "x:1=3": "no dynamic axis"}.items():
        with pytest.raises(BadInput, match=message):
            lab.surgery.static(m, word)
