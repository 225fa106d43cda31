"""A claim: one line of what was asked beside what was measured. Shared by the benchmarks of this folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from onnx_lab.card import Table

_WORDS = {True: "met", False: "MISSED", None: "-"}


@dataclass(frozen=True)
class Claim:
    """What was asked, what was measured, whether the one meets the other (None: nothing asked, or not to be had)."""

    what: str
    asked: str
    measured: str
    met: bool | None


def claims_table(title: str, claims: Sequence[Claim]) -> str:
    """The claims as text."""
    rows = tuple((c.what, c.asked, c.measured, _WORDS[c.met]) for c in claims)
    return Table(("claim", "asked", "measured", ""), rows, title).text()
