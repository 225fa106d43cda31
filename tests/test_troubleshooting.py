"""docs/troubleshooting.md: each chapter's code runs, and says what its comments promise."""

from __future__ import annotations

import re
from pathlib import Path

import pages
import pytest

PAGE = (pages.FOLDER / "troubleshooting.md").read_text()
CHAPTERS = pages.chapters(PAGE)
PROMISES = r"^print\(found\.\S+\)\s+# (.*)|^print\(len.*?# (.*)"


@pytest.mark.slow
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_what_to_type_says_what_is_promised(
    chapter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    pages.run(CHAPTERS[chapter])
    pages.keeps_its_word(CHAPTERS[chapter], PROMISES, capsys.readouterr().out)


def test_each_chapter_has_its_line_in_the_table() -> None:
    anchors = re.findall(r"\]\(#(.+?)\)", PAGE)
    assert anchors == [re.sub(r"[^\w -]", "", c.lower()).replace(" ", "-") for c in CHAPTERS]
