"""A page of docs/ whose Python runs, chapter by chapter, and whose comments promise what it prints."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "docs"


def chapters(page: str) -> dict[str, str]:
    """Heading -> text of each chapter."""
    return dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", page, re.S | re.M))


def keeps_its_word(chapter: str, promises: str, said: str) -> None:
    """Every promise (a pattern with one group that matched) stands in what was printed; ``...`` is any text."""
    for told in re.findall(promises, chapter, re.M):
        for part in "".join(told).split("..."):
            assert part.strip() in said, (told, said)


def run(chapter: str) -> None:
    """Its blocks of Python, one after the other, in one scope."""
    scope: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", chapter, re.S):
        exec(block, scope)
