"""Recipe: applied in order, read back from JSON and from a lineage, checked before any work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import onnx_lab as lab
from onnx_lab.errors import BadInput


def test_applies_its_steps_in_order_and_caches() -> None:
    recipe = lab.Recipe("simplify", ("quantize", {"method": "dynamic"}), name="small")
    made = recipe(lab.samples.tiny())
    assert [s.verb for s in made.lineage] == ["tiny", "simplify", "quantize"]
    assert made.name.endswith("-small")
    again = recipe(lab.samples.tiny())
    assert again.cached
    assert again == made


def test_recipes_nest() -> None:
    inner = lab.Recipe("simplify")
    assert lab.Recipe(inner, "fp16").steps == (("simplify", {}), ("fp16", {}))


@pytest.mark.slow
def test_the_lineage_of_a_model_is_a_recipe() -> None:
    made = lab.quantize(lab.simplify(lab.samples.tiny()), method="dynamic")
    recipe = lab.Recipe.of(made)
    assert [v for v, _ in recipe.steps] == ["simplify", "quantize"]
    again = recipe(lab.samples.tiny())
    assert lab.compare(made, again, {"x": np.ones((3, 8), np.float32)}).largest == 0


def test_json_and_python_say_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = lab.Recipe("simplify", ("fp16", {"keep_io": False}), name="half")
    assert lab.Recipe.from_json(recipe.to_json()) == recipe
    monkeypatch.chdir(tmp_path)
    lab.samples.tiny().save("model.onnx")
    exec(recipe.to_python(), {})
    x = {"x": np.ones((1, 8), np.float16)}
    assert lab.infer(lab.load("half.onnx"), x).outputs["logits"].dtype == np.float16


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        (["simplifi"], "did you mean 'simplify'"),
        ([("fp16", {"keepio": True})], "did you mean 'keep_io'"),
        ([("fp16", {"name": "x"})], "option 'name'"),
        ([3], "step 3"),
    ],
)
def test_what_is_wrong_is_told_before_any_work(steps: list[object], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        lab.Recipe(*steps)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"kind": "Recipe", "format": 99, "name": "x", "steps": []}'])
def test_text_that_is_no_recipe(text: str) -> None:
    with pytest.raises(BadInput):
        lab.Recipe.from_json(text)


def test_it_shows_itself() -> None:
    assert "keep_io=True" in str(lab.Recipe(("fp16", {"keep_io": True})))


@pytest.mark.slow
def test_a_calibrated_step_from_a_lineage_is_given_its_feeds_anew() -> None:
    m = lab.samples.tiny()
    feeds = [{"x": np.random.default_rng(0).standard_normal((4, 8)).astype(np.float32)}]
    made = lab.quantize(lab.optimize(m, name="o"), method="static", data=feeds, quantize_output=True, name="q")
    recipe = lab.Recipe.of(made)
    with pytest.raises(BadInput, match=r"recipe\(m, data="):
        recipe(m)
    assert recipe(m, data=feeds).header.operators == made.header.operators
    assert lab.Recipe("optimize")(m, data=feeds).name == "tiny-recipe"  # a step without data does not mind
