"""docs/surgery.md: blocks of Python run, each edit of a chapter stands in its table, each magic line is read."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pages
import pytest

from onnx_lab.jupyter._edit_magic import edit_of, without
from onnx_lab.jupyter._words import complete_words
from onnx_lab.jupyter.magics import signature_of
from onnx_lab.surgery import EDITS

PAGE = (pages.FOLDER / "surgery.md").read_text()
CHAPTERS = pages.chapters(PAGE)
PROMISES = r"print\(error\) +# (.*)|print\(said\(\w+\)\) +# (.*)"


@pytest.mark.slow
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_examples_run_one_after_the_other(
    chapter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    pages.run(CHAPTERS[chapter])
    pages.keeps_its_word(CHAPTERS[chapter], PROMISES, capsys.readouterr().out)


@pytest.mark.parametrize("edit", EDITS)
def test_each_edit_has_its_line(edit: str) -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith("| ") and f"| `{edit}` |" in line)
    line = re.search(r"`%onnx_edit (.*?)`", row)
    assert line, row
    word = edit_of(line[1])
    assert word is not None
    assert word.text == edit
    words = complete_words(without(line[1], word)).words
    typed = list(itertools.takewhile(lambda w: not w.text.startswith("-"), words))
    positional = signature_of(f"surgery.{edit}").positional
    assert sum(p.required for p in positional) <= len(typed)
    assert len(typed) <= len(positional) or positional[-1].takes.many
