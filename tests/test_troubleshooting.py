"""docs/troubleshooting.md: each chapter's code runs, and says what its comments promise."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "troubleshooting.md").read_text()
CHAPTERS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.S | re.M))


@pytest.mark.slow
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_what_to_type_says_what_is_promised(
    chapter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", CHAPTERS[chapter], re.S):
        exec(block, scope)
    out = capsys.readouterr().out
    for told in re.findall(r"^print\(found\.\S+\)\s+# (.*)|^print\(len.*?# (.*)", CHAPTERS[chapter], re.M):
        for part in "".join(told).split("..."):
            assert part.strip() in out, (told, out)


def test_each_chapter_has_its_line_in_the_table() -> None:
    anchors = re.findall(r"\]\(#(.+?)\)", PAGE)
    assert anchors == [re.sub(r"[^\w -]", "", c.lower()).replace(" ", "-") for c in CHAPTERS]
