"""The notebooks: they run from the top in a real kernel, and as saved they read without one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest

from onnx_lab.jupyter import tour

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("[0-9]*.ipynb"))
LIMIT_BYTES = 200_000


def outputs(book: Any) -> list[Any]:
    return [o for c in book.cells if c.cell_type == "code" for o in c.outputs]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_runs_from_the_top_without_noise(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONNX_LAB_PROFILE", "tiny")
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    out = tmp_path / f"executed-{path.name}"
    assert tour.run(copy, out, timeout_s=600, quiet=True)
    book = nbformat.read(out, as_version=4)
    assert not [o for o in outputs(book) if o.output_type == "error"]
    noise = [o.text for o in outputs(book) if o.output_type == "stream" and o.name == "stderr"]
    assert not noise, noise
    assert not [o for o in outputs(book) if any("widget-view" in mime for mime in o.get("data", {}))]
    assert out.stat().st_size < LIMIT_BYTES


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_is_saved_with_outputs_that_need_no_kernel(path: Path) -> None:
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    assert path.stat().st_size < LIMIT_BYTES
    assert "widgets" not in book.metadata
    assert all(c.execution_count for c in book.cells if c.cell_type == "code"), "saved without having been run"
    for o in outputs(book):
        assert o.output_type != "error"
        if "data" in o:
            assert "text/plain" in o.data, "every output reads as text"
            assert not any("widget-view" in mime for mime in o.data)
        assert "Warning" not in str(o.get("text", ""))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_has_a_summary_for_the_tour_and_names_no_machine_path(path: Path) -> None:
    book = nbformat.read(path, as_version=4)
    assert "ms" in tour.summary(book)
    text = path.read_text()
    assert "/home/" not in text
    assert "/root/" not in text


def test_there_are_notebooks() -> None:
    assert [p.stem for p in NOTEBOOKS][:2] == ["00_quickstart", "01_bert"]
