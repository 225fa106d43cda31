"""accuracy: the share that is right, its interval, and clear words when scores cannot be read."""

from __future__ import annotations

import json

import numpy as np
import pytest

import onnx_lab as lab
from onnx_lab.errors import BadInput, BadModel
from onnx_lab.runtime.client import session


def toy_task(n: int = 40) -> lab.Task:
    """Random feeds labelled by the tiny model itself, except that every fourth label is moved by one."""
    rng = np.random.default_rng(0)
    feeds = [{"x": rng.standard_normal((10, 8)).astype(np.float32)} for _ in range(n // 10)]
    truth = np.concatenate([session(lab.samples.tiny()).run(f)["logits"].argmax(axis=1) for f in feeds])
    truth[::4] = (truth[::4] + 1) % 4
    return lab.Task("toy", feeds, truth.astype(np.int64), ("a", "b", "c", "d"))


def test_value_counts_and_per_class() -> None:
    task = toy_task()
    found = lab.accuracy(lab.samples.tiny(), task)
    assert (found.n, found.correct, found.value) == (40, 30, 0.75)
    assert float(found) == 0.75
    weighted = sum(
        found.per_class[c] * (task.labels == i).sum() for i, c in enumerate(task.classes) if c in found.per_class
    )
    assert weighted == pytest.approx(30)


def test_wilson_interval_against_the_published_example() -> None:
    # Newcombe 1998, Statistics in Medicine 17, table I: 81 of 263 gives 0.2553 to 0.3662
    labels = np.zeros(263, np.int64)
    predictions = np.ones(263, np.int64)
    predictions[:81] = 0
    found = lab.accuracy(lab.samples.tiny(), toy_task())
    low, high = type(found)("m", "t", "cpu", ("a", "b"), predictions, labels, found.machine).interval
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)


@pytest.mark.slow
def test_a_torch_module_is_taken_too() -> None:
    import torch

    net = torch.nn.Linear(8, 4)
    feeds = [{"input": np.eye(8, dtype=np.float32)}]
    with torch.no_grad():
        truth = net(torch.eye(8)).argmax(dim=1).numpy()
    task = lab.Task("toy", feeds, truth, ("a", "b", "c", "d"))
    assert lab.accuracy(net, task).value == 1.0


@pytest.mark.slow
def test_the_scores_are_found_behind_another_output() -> None:
    import torch

    class Labelled(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"label": x.argmax(dim=1), "scores": x}

    task = lab.Task("toy", [{"x": np.eye(4, dtype=np.float32)}], np.arange(4), ("a", "b", "c", "d"))
    assert lab.accuracy(Labelled(), task).value == 1.0


def test_a_task_without_samples() -> None:
    with pytest.raises(BadInput, match="0 samples"):
        lab.accuracy(lab.samples.tiny(), lab.Task("none", [], np.zeros(0, np.int64), ("a", "b")))


def test_scores_that_do_not_fit_the_classes() -> None:
    task = toy_task()
    two = lab.Task("two", task.feeds, np.minimum(task.labels, 1), ("a", "b"))
    with pytest.raises(BadInput, match="one score per class"):
        lab.accuracy(lab.samples.tiny(), two)
    other = lab.Task("other", task.feeds, task.labels, task.classes, output="nope")
    with pytest.raises(BadInput, match="accepted: logits"):
        lab.accuracy(lab.samples.tiny(), other)


def test_nan_scores_are_an_error_not_a_wrong_answer() -> None:
    task = toy_task()
    task.feeds[1]["x"][3] = np.nan
    with pytest.raises(BadModel, match="NaN for 10% of the samples"):
        lab.accuracy(lab.samples.tiny(), task)


def test_what_is_no_model() -> None:
    with pytest.raises(BadInput, match="a str"):
        lab.accuracy("model.onnx", toy_task())  # type: ignore[arg-type]


def test_it_shows_itself_and_travels() -> None:
    found = lab.accuracy(lab.samples.tiny(), toy_task())
    assert "75.0% of 40 samples (30)" in str(found)
    assert len(json.loads(found.to_json())["predictions"]) == 40
    assert set(found.to_pandas().columns) == {"class", "samples", "accuracy"}
