"""expose: what is computed inside becomes an output, and the rest stays."""

from __future__ import annotations

import numpy as np
import pytest

import onnx_lab as lab
from onnx_lab.errors import BadInput
from onnx_lab.transforms.code import code_for


def test_an_inner_tensor_comes_out() -> None:
    m = lab.samples.tiny()
    edited = lab.surgery.expose(m, ["h1", "h2"])
    assert [s.name for s in edited.outputs] == ["logits", "h1", "h2"]
    assert [s.name for s in m.outputs] == ["logits"]
    got = lab.infer(edited, {"x": np.ones((3, 8), np.float32)}).outputs
    assert np.array_equal(np.maximum(got["h1"], 0), got["h2"])
    assert "largest difference 0" in edited.lineage[-1].notes["say"][-1]
    assert "ir.save" in code_for(edited.lineage[-1])


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(BadInput, match=r"no tensor 'h11'(.|\n)*did you mean 'h1'"):
        lab.surgery.expose(lab.samples.tiny(), "h11")


def test_an_unknown_edit_names_the_others() -> None:
    with pytest.raises(AttributeError, match=r"it has: .*expose"):
        lab.surgery.exposed  # noqa: B018
