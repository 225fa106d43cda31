"""The quick way through channels gives onnxruntime's own numbers, bit for bit, and leaves nothing changed behind."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from onnxruntime.quantization import QuantType, base_quantizer, qdq_quantizer, quant_utils, quantize_dynamic

import onnx_lab as lab
from onnx_lab.transforms._quick_channels import quick_channels

RNG = np.random.default_rng(0)
CHANNELS = [
    RNG.standard_normal(257),
    np.abs(RNG.standard_normal(64)),
    -np.abs(RNG.standard_normal(64)),
    np.zeros(5),
    np.array([1e-42, -1e-42]),
    np.array([3.0]),
    np.array([-1e-30, 2e-31]),
    np.array([1e38, -3e38]),
    np.linspace(-1, 1, 511),  # many values half way between two steps
    RNG.standard_normal(300) * np.where(RNG.random(300) < 0.01, 1e3, 1),
]


@pytest.mark.parametrize("kind", [TensorProto.INT8, TensorProto.UINT8])
@pytest.mark.parametrize(("symmetric", "reduced"), list(itertools.product((True, False), repeat=2)))
def test_the_same_numbers_bit_for_bit(kind: int, symmetric: bool, reduced: bool) -> None:
    for channel in CHANNELS:
        data = channel.astype(np.float32)
        wanted = quant_utils.quantize_data(data, kind, symmetric, reduced)
        with quick_channels():
            got = quant_utils.quantize_data(data, kind, symmetric, reduced)
        for a, b in zip(wanted, got, strict=True):
            assert a.dtype == b.dtype
            assert a.shape == b.shape
            assert a.tobytes() == b.tobytes(), (data[:5], a, b)


def test_what_it_does_not_know_goes_to_the_original() -> None:
    others: list[tuple[Any, ...]] = [
        (np.ones(4, np.float16), TensorProto.INT8, True),
        (np.ones(4, np.float32), TensorProto.INT16, True),
        (np.ones(4, np.float32), TensorProto.INT8, True, False, 0.5),
        (np.ones(4, np.float32), TensorProto.UINT8, False, False, None, -2.0, 2.0),
    ]
    for arguments in others:
        wanted = quant_utils.compute_data_quant_params(*arguments)
        with quick_channels():
            got = quant_utils.compute_data_quant_params(*arguments)
        assert [(v.dtype, v.tobytes()) for v in got] == [(v.dtype, v.tobytes()) for v in wanted]


def test_nothing_stays_changed_also_after_an_error() -> None:
    def known() -> list[Any]:
        modules = (quant_utils, base_quantizer, qdq_quantizer)
        names = ("compute_data_quant_params", "quantize_nparray")
        return [getattr(m, n, None) for m in modules for n in names]

    before = known()
    with quick_channels():
        assert known() != before
    assert known() == before
    with pytest.raises(TypeError), quick_channels():
        quant_utils.compute_data_quant_params([1.0], TensorProto.INT8, True)
    assert known() == before


def test_a_whole_file_has_the_weights_of_onnxruntimes_own_run(tmp_path: Path) -> None:
    m = lab.samples.tiny(features=64)
    plain = onnx.load(m.path)
    del plain.graph.value_info[:]
    options: dict[str, Any] = {"per_channel": True, "reduce_range": True, "weight_type": QuantType.QInt8}
    quantize_dynamic(plain, tmp_path / "own.onnx", op_types_to_quantize=["MatMul", "Gemm"], **options)
    own = onnx.load(tmp_path / "own.onnx").graph.initializer
    ours = onnx.load(lab.quantize(m, reduce_range=True).path).graph.initializer
    weights = {
        t.name: onnx.numpy_helper.to_array(t) for t in own if t.data_type == TensorProto.INT8 and len(t.dims) == 2
    }
    found = {t.name: onnx.numpy_helper.to_array(t) for t in ours}
    assert weights
    for name, value in weights.items():
        np.testing.assert_array_equal(found[name], value)
