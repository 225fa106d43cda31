"""%onnx_edit: the list of edits, one edit's manual, its completion, its errors, its value."""

from __future__ import annotations

from typing import Any

import pytest

import onnx_lab as lab
from onnx_lab.errors import BadInput
from onnx_lab.surgery import EDITS


def test_alone_it_lists_every_edit_with_its_words(notebook: Any) -> None:
    for line in ("%onnx_edit", "%onnx_edit -h"):
        listed = repr(notebook.run(line))
        for edit, what in EDITS.items():
            assert f" {edit}" in listed, edit
            assert what in listed
        assert "%onnx_edit m expose tensor... [options]" in listed


def test_an_edit_is_run_and_its_value_kept(notebook: Any) -> None:
    edited = notebook.run("out = %onnx_edit m expose h1,h2 --name seen;\nout")
    assert [s.name for s in edited.outputs] == ["logits", "h1", "h2"]
    assert edited.name == "seen"
    assert edited.lineage[-1].verb == "surgery.expose"


@pytest.mark.parametrize("edit", EDITS)
def test_each_edit_has_its_manual(notebook: Any, edit: str) -> None:
    manual = repr(notebook.run(f"%onnx_edit m {edit} -h"))
    assert manual.startswith("%onnx_edit ")
    assert f" {edit}" in manual.splitlines()[0]
    assert "--code" in manual


def test_code_is_that_of_the_edit(notebook: Any) -> None:
    code = str(notebook.run("%onnx_edit m expose h1 --code"))
    assert code.startswith('# model.onnx: m.save("model.onnx")')
    assert "['h1']" in code


def test_tab_offers_models_then_edits_then_options(notebook: Any) -> None:
    assert "m" in notebook.tab("%onnx_edit ")
    assert notebook.tab("out = %onnx_edit m expo") == ["expose"]
    assert set(EDITS) <= set(notebook.tab("%onnx_edit m "))
    assert notebook.tab("%onnx_edit m expose h1 --na") == ["--name"]
    assert notebook.tab("%onnx_edit m remove_output lo") == ["logits"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("%onnx_edit m expos h1", r"'expos' is no edit(.|\n)*did you mean 'expose'"),
        ("%onnx_edit m", "which edit"),
        ("%onnx_edit m expose", "%onnx_edit expose needs tensor(.|\n)*%onnx_edit m expose tensor"),
        ("%onnx_edit m expose h11", "did you mean 'h1'"),
        ("%onnx_edit m expose h1 --nam x", "did you mean '--name'"),
    ],
)
def test_errors_name_what_is_near(notebook: Any, line: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        notebook.run(line)


@pytest.mark.slow
def test_beside_the_cell_it_is_a_job(notebook: Any) -> None:
    job = notebook.run("%onnx_edit m expose h1 --background")
    assert job.verb == "surgery.expose"
    assert [s.name for s in job.result.outputs] == ["logits", "h1"]


def test_an_edit_is_a_step_of_a_recipe() -> None:
    recipe = lab.Recipe("simplify", ("surgery.expose", {"tensor": ["h1"]}), name="seen")
    assert lab.Recipe.from_json(recipe.to_json()) == recipe
    made = recipe(lab.samples.tiny())
    assert [s.verb for s in made.lineage] == ["tiny", "simplify", "surgery.expose"]
    assert [v for v, _ in lab.Recipe.of(made).steps] == ["simplify", "surgery.expose"]
    assert "m = lab.surgery.expose(m, tensor=['h1'])" in recipe.to_python()
    with pytest.raises(BadInput, match=r"did you mean 'surgery\.expose'"):
        lab.Recipe("surgery.expos")
