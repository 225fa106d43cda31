"""buckets: a text of any length gets the file that is just long enough, and the answers that it had."""

from __future__ import annotations

import numpy as np
import pytest

import onnx_lab as lab
from onnx_lab.errors import BadInput
from onnx_lab.model import Model
from onnx_lab.task import Feeds
from onnx_lab.transforms.length_buckets import Buckets


@pytest.fixture(scope="module")
def lengths(bert: Model) -> Buckets:
    return lab.buckets(bert, batch=2, seq=(24, 8, 8))


def texts(length: int, *, ends: int | None = None) -> Feeds:
    ids = np.random.default_rng(length).integers(1, 200, (2, length))
    mask = np.ones_like(ids)
    mask[1, ends or length :] = 0
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": ids % 2}


@pytest.mark.slow
@pytest.mark.parametrize(("length", "bucket"), [(1, 8), (8, 8), (9, 24), (24, 24)])
def test_the_shortest_that_holds_it_answers_as_the_dynamic_file_does(
    bert: Model, lengths: Buckets, length: int, bucket: int
) -> None:
    feeds = texts(length, ends=max(1, length - 3))
    model, filled = lengths.fit(feeds)
    assert model is lengths[bucket]
    assert {v.shape for v in filled.values()} == {(2, bucket)}
    assert filled["attention_mask"].sum() == feeds["attention_mask"].sum()
    expected, got = (lab.infer(m, f).outputs for m, f in ((bert, feeds), (model, filled)))
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, atol=1e-5)


def test_what_is_added_can_be_chosen_and_nothing_else_changes(lengths: Buckets) -> None:
    feeds = texts(6)
    kept = {k: v.copy() for k, v in feeds.items()}
    _, filled = lengths.fit(feeds, pad={"input_ids": 1})
    assert (filled["input_ids"][:, 6:] == 1).all()
    assert (filled["attention_mask"][:, 6:] == 0).all()
    assert all((feeds[k] == v).all() for k, v in kept.items())


def test_it_is_a_mapping_and_shows_itself(lengths: Buckets) -> None:
    assert list(lengths) == [8, 24]
    assert len(lengths) == 2
    assert "one file for each length" in str(lengths)
    assert lengths[24].name in lengths._repr_html_()


def test_lengths_that_do_not_fit_are_told(lengths: Buckets) -> None:
    with pytest.raises(BadInput, match=r"a length of 25(.|\n)*at most 24"):
        lengths.fit(texts(25))
    with pytest.raises(BadInput, match=r"lengths \[5, 6\]"):
        lengths.fit({**texts(5), "input_ids": texts(6)["input_ids"]})
    with pytest.raises(BadInput, match="feeds without attention_mask"):
        lengths.fit({k: v for k, v in texts(5).items() if k != "attention_mask"})


def test_models_that_padding_would_harm_are_refused(bert: Model) -> None:
    with pytest.raises(BadInput, match="no dynamic sequence axis"):
        lab.buckets(lab.samples.tiny())
    with pytest.raises(BadInput, match="without padding"):
        lab.buckets(lab.optimize(bert, padding=False), seq=(8,))
    with pytest.raises(BadInput, match="no length"):
        lab.buckets(bert, seq=())
