"""The check itself: what it lets through, what it calls a mismatch, and the numbers it shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

import onnx_lab as lab
from onnx_lab.errors import ExportError, ParityError
from onnx_lab.exporters import parity
from onnx_lab.exporters._inputs import Inputs, Padding
from onnx_lab.exporters.parity import Array, Trial
from onnx_lab.model import TensorSpec
from onnx_lab.task import Feeds


@dataclass(frozen=True)
class Twin:
    """The tiny sample in NumPy, with its answers changed by a function."""

    change: Callable[[Array], Array]
    framework: str = "NumPy"

    @property
    def inputs(self) -> Inputs:
        return Inputs((TensorSpec("x", "float32", ("batch", 8)),), {"x": np.zeros((2, 8), np.float32)})

    def run(self, feeds: Feeds) -> dict[str, Array]:
        import onnx

        w = {t.name: onnx.numpy_helper.to_array(t) for t in lab.samples.tiny().to_proto().graph.initializer}
        hidden = np.maximum(feeds["x"] @ w["w1"] + w["b1"], 0)
        return {"logits": self.change((hidden @ w["w2"] + w["b2"]).astype(np.float32))}


TODO = (Trial({"batch": 1}, False, 1), Trial({"batch": 3}, False, 2))


def checked(change: Callable[[Array], Array], tolerance: float = 1e-4) -> dict[str, Any]:
    return parity.check(lab.samples.tiny(), Twin(change), TODO, tolerance)


def test_equal_answers_pass_with_numbers() -> None:
    found = checked(lambda y: y)
    assert found["largest"] < 1e-5
    assert found["shapes"] == ["(1, 8)", "(3, 8)"]
    assert found["say"][0].startswith("largest difference to NumPy ")


def nan_at_the_end(y: Array) -> Array:
    y[-1, -1] = np.nan
    return y


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda y: y + np.float32(0.01), r"differs from NumPy by 0\.01 at \(1, 8\): element \[0, \d\] is"),
        (lambda y: y[:, :3], r"is float32\[1, 4\] in the file and float32\[1, 3\] in NumPy"),
        (lambda y: y[0], "drops a batch of 1"),
        (lambda y: y.astype(np.int64), "int64"),
        (nan_at_the_end, "should be nan"),
        (lambda y: y * np.inf, "should be"),
    ],
)
def test_any_other_answer_is_a_mismatch(change: Callable[[Array], Array], says: str) -> None:
    with pytest.raises(ParityError, match=says):
        checked(change)


def test_the_tolerance_is_the_callers() -> None:
    assert checked(lambda y: y + np.float32(0.01), tolerance=0.1)["largest"] == pytest.approx(0.01, rel=1e-3)


def test_a_file_that_does_not_run_is_an_export_error(monkeypatch: pytest.MonkeyPatch) -> None:
    other = Inputs((TensorSpec("y", "float32", (1,)),), {"y": np.zeros(1, np.float32)})
    monkeypatch.setattr(Twin, "inputs", other)
    monkeypatch.setattr(Twin, "run", lambda _self, feeds: feeds)
    with pytest.raises(ExportError, match="does not run the file"):
        checked(lambda y: y)


@pytest.mark.parametrize(
    ("want", "got", "difference"),
    [
        ([1.0, np.nan], [1.0, np.nan], [0, 0]),
        ([1.0, np.nan], [1.0, 2.0], [0, np.inf]),
        ([np.inf, -np.inf], [np.inf, np.inf], [0, np.inf]),
        ([3, 4], [3, 6], [0, 2]),
        ([True, False], [True, True], [0, 1]),
    ],
)
def test_differences(want: list[Any], got: list[Any], difference: list[float]) -> None:
    assert parity._difference(np.array(want), np.array(got)).tolist() == difference


def test_what_is_allowed_follows_the_magnitude_and_the_type() -> None:
    ones = np.ones(3, np.float32)
    assert parity._allowed(ones, 1e-4) == pytest.approx(1e-4)
    assert parity._allowed(ones * 500, 1e-4) == pytest.approx(5e-2)
    assert parity._allowed(ones.astype(np.float16), 1e-4) == pytest.approx(16 * 2**-10)
    assert parity._allowed(ones.astype(np.int64), 1e-4) == 0


def test_padding_is_masked_on_the_right() -> None:
    inputs = Inputs(
        tuple(TensorSpec(n, "int64", ("batch", "sequence")) for n in ("input_ids", "attention_mask")),
        {n: np.ones((2, 4), np.int64) for n in ("input_ids", "attention_mask")},
        ids_below={"input_ids": 9},
        padding={"attention_mask": Padding("input_ids", 7)},
    )
    first, second = parity.trials(inputs, {"batch": (1, 3), "sequence": (5, 12)})
    assert not first.padded
    assert second.padded
    assert second.sizes == {"batch": 3, "sequence": 12}
    feeds = inputs.feeds(second.sizes, seed=2, padded=True)
    mask, ids = feeds["attention_mask"], feeds["input_ids"]
    assert mask.shape == (3, 12)
    assert mask.sum(1).tolist() == [8, 9, 9]
    assert (np.diff(mask, axis=1) <= 0).all(), "ones, then zeros"
    assert ((ids == 7) == (mask == 0)).all()


@pytest.mark.slow
def test_answers_too_small_to_tell_apart_are_said() -> None:
    class Faint(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 1e-9

    example = torch.randn(2, 8)
    assert "the check says little" in "".join(lab.export(Faint(), example).lineage[-1].notes["say"])
    assert "says little" not in "".join(lab.export(torch.nn.ReLU(), example).lineage[-1].notes["say"])
