"""The tour runs a notebook in a real kernel, prints its summary, and leaves the executed copy behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from onnx_lab.jupyter import tour


def notebook(folder: Path, *sources: tuple[str, list[str]]) -> Path:
    import nbformat  # here and below: it takes seconds, which the quick tests need not pay

    book = nbformat.v4.new_notebook()
    book.cells.append(nbformat.v4.new_markdown_cell("# One\ntext"))
    book.cells += [nbformat.v4.new_code_cell(s, metadata={"tags": tags}) for s, tags in sources]
    path = folder / "in.ipynb"
    nbformat.write(book, path)
    return path


@pytest.mark.slow
def test_the_summary_is_printed_and_the_copy_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import nbformat

    source = notebook(tmp_path, ("x = 6", []), ("x * 7", ["summary"]))
    assert tour.run(source, tmp_path / "out" / "done.ipynb")
    printed = capsys.readouterr().out
    assert "[ 2/2] One" in printed
    assert "\n42\n" in printed
    book = nbformat.read(tmp_path / "out" / "done.ipynb", as_version=4)
    assert tour.summary(book) == "42"
    assert not nbformat.read(source, as_version=4).cells[2].outputs, "the source is not touched"


@pytest.mark.slow
def test_a_failing_cell_fails_the_tour_and_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import nbformat

    source = notebook(tmp_path, ("1 / 0", []), ("'not reached'", ["summary"]))
    assert not tour.run(source, tmp_path / "done.ipynb", quiet=True)
    assert "ZeroDivisionError" in capsys.readouterr().err
    kinds = [o.output_type for o in nbformat.read(tmp_path / "done.ipynb", as_version=4).cells[1].outputs]
    assert kinds == ["error"]
