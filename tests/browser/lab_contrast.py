"""How well text on a page reads: the contrast of WCAG, of each piece of text against what is really behind it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

_SCRIPT = Path(__file__).with_name("lab_contrast.js").read_text().split("\n", 1)[1]

#: WCAG's level AA for text of normal size.
ENOUGH = 4.5


def contrasts(page: Page, selector: str) -> list[tuple[str, float]]:
    """The first words and the contrast of each visible piece of text below the elements that match.

    Half-transparent colours and gradients count with what is below them; of several possible backgrounds, the worst.
    """
    return [(str(text), float(ratio)) for text, ratio in page.evaluate(_SCRIPT, selector)]


def too_faint(page: Page, selector: str, enough: float = ENOUGH) -> list[tuple[str, float]]:
    """Those of `contrasts` below `enough`; fails when nothing matches, so that it cannot pass on an empty page."""
    found = contrasts(page, selector)
    assert found, f"no text in {selector}"
    return [(text, ratio) for text, ratio in found if ratio < enough]
