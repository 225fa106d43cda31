"""Cards: the few lines, as text and as HTML, by which Models and results show themselves.

A `Card` is plain data; `text()` and `html()` only lay it out. Three readers decide the HTML: JupyterLab and VS Code in
a light and in a dark theme, a saved notebook that nobody has trusted yet, and GitHub, which strips every style: what is
left there is headings, plain tables and paragraphs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape


# Text inherits the page's colour; what is said by colour too is mixed with it, which gives a contrast of 4.5 and more
# on white and on #111: no single colour has that on both. No CSS variables: a notebook that is not trusted yet loses
# every declaration that has one. It loses the mixed colours too, and inherits: the words say the same.
def _ink(colour: str) -> str:
    return f"color-mix(in srgb,currentColor 40%,{colour})"


DIM = _ink("#737982")
LINE = "rgba(128,128,128,.35)"
_ROW = f"background:transparent;border-bottom:1px solid {LINE}"
_SIZE = "font-size:13px;line-height:1.45"
TONES = {"good": "#238b57", "bad": "#d24b5d", "warn": "#a57109"}
#: Cells with more characters than this may wrap.
_LONG = 48
_BAR = "rgba(35,126,199,.28)"


@dataclass(frozen=True)
class Table:
    """Rows under a header; numbers are formatted by whoever makes the table.

    `tones` marks single cells ``(row, column) -> "good" | "bad" | "warn"``; the word in the cell still says it,
    colour never stands alone. `bars` draws a bar behind single cells, ``(row, column) -> 0.0 to 1.0``.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    tones: dict[tuple[int, int], str] = field(default_factory=dict)
    bars: dict[tuple[int, int], float] = field(default_factory=dict)

    def text(self) -> str:
        """Fixed-width text; columns of numbers are right-aligned."""
        all_rows = [self.header, *self.rows]
        widths = [max(len(r[c]) for r in all_rows) for c in range(len(self.header))]
        numbers = [self._is_number(c) for c in range(len(self.header))]
        lines = [
            "  ".join(x.rjust(w) if number else x.ljust(w) for x, w, number in zip(r, widths, numbers, strict=True))
            for r in all_rows
        ]
        lines.insert(1, "  ".join("-" * w for w in widths))
        return "\n".join([self.caption] * bool(self.caption) + [line.rstrip() for line in lines])

    def html(self) -> str:
        """An HTML table that follows the theme."""
        style = f"caption-side:top;text-align:left;color:{DIM};padding:4px 0"
        cap = f"<caption style='{style}'>{escape(self.caption)}</caption>"
        numbers = [self._is_number(c) for c in range(len(self.header))]
        head = "".join(_cell("th", h, numbers[c]) for c, h in enumerate(self.header))
        body = "".join(f"<tr style='{_ROW}'>{self._row_html(r, numbers)}</tr>" for r in range(len(self.rows)))
        return (
            f"<table style='border-collapse:collapse;margin:8px 0 2px;{_SIZE};"
            f"font-variant-numeric:tabular-nums'>"
            f"{cap if self.caption else ''}<thead><tr style='{_ROW}'>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table>"
        )

    def _row_html(self, r: int, numbers: Sequence[bool]) -> str:
        return "".join(
            _cell("td", x, numbers[c], self.tones.get((r, c), ""), self.bars.get((r, c)))
            for c, x in enumerate(self.rows[r])
        )

    def _is_number(self, column: int) -> bool:
        """Whether most cells of a column begin like a number; the first column never counts as one."""
        cells = [row[column] for row in self.rows if row[column] not in ("", "-")]
        return column > 0 and 2 * sum(x[0].isdigit() or x[0] in "+-−×<≤±." for x in cells) > len(cells)


@dataclass(frozen=True)
class Card:
    """A title, rows of (name, value), pictures with their captions, tables, and notes in plain words.

    `pictures` are (``data:`` address, caption); as text only the captions are left.
    """

    title: str
    rows: Sequence[tuple[str, str]] = ()
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()
    pictures: Sequence[tuple[str, str]] = ()

    def text(self) -> str:
        """The card as text, for terminals and for readers without HTML."""
        width = max((len(k) for k, _ in self.rows), default=0)
        lines = [self.title]
        lines += [f"  {k.ljust(width)}  {v}" for k, v in self.rows]
        for t in self.tables:
            lines += ["", *("  " + line for line in t.text().splitlines())]
        lines += [f"  note: {n}" for n in self.notes]
        return "\n".join(lines)

    def html(self) -> str:
        """The card as HTML."""
        facts = "".join(_fact(k, v) for k, v in self.rows)
        notes = "".join(f"<p style='color:{DIM};margin:4px 0 0;max-width:90ch'>{escape(n)}</p>" for n in self.notes)
        return panel(
            f"<div style='font-weight:600;font-size:14px;margin-bottom:4px'><strong>{escape(self.title)}</strong></div>"
            + (f"<table style='border-collapse:collapse;margin:0;{_SIZE}'>{facts}</table>" if facts else "")
            + "".join(_figure(address, caption) for address, caption in self.pictures)
            + "".join(t.html() for t in self.tables)
            + notes
        )


class Shown:
    """Mixin: whoever has `_card()` shows itself as text and as HTML."""

    def _card(self) -> Card:
        raise NotImplementedError

    def __str__(self) -> str:
        return self._card().text()

    def __repr__(self) -> str:
        return self._card().text()

    def _repr_html_(self) -> str:
        return self._card().html()


def panel(inner: str) -> str:
    """`inner` HTML in the frame of a card."""
    return (
        f"<div class='onnx-lab-card' style='display:inline-block;box-sizing:border-box;min-width:min(420px,100%);"
        f"max-width:100%;border:1px solid {LINE};border-radius:6px;padding:10px 16px 12px;margin:2px 0;"
        f"overflow-x:auto;font-family:var(--jp-ui-font-family,inherit);{_SIZE}'>{inner}</div>"
    )


def _fact(name: str, value: str) -> str:
    plain = "padding:1px 16px 1px 0;border:none;text-align:left;vertical-align:top;background:transparent"
    return (
        f"<tr style='background:transparent'>"
        f"<th scope='row' style='{plain};color:{DIM};font-weight:400;white-space:nowrap'>{escape(name)}</th>"
        f"<td style='{plain};overflow-wrap:anywhere;white-space:pre-line;max-width:90ch'>{escape(value)}</td></tr>"
    )


def _figure(address: str, caption: str) -> str:
    """A picture with its caption below; several stand side by side."""
    words = escape(caption)
    return (
        f"<figure style='display:inline-block;margin:6px 12px 2px 0;vertical-align:top;max-width:14ch'>"
        f"<img src='{address}' alt='{words}' style='max-width:96px;border-radius:4px'>"
        f"<figcaption style='color:{DIM};overflow-wrap:anywhere'>{words}</figcaption></figure>"
    )


def _cell(tag: str, value: str, number: bool, tone: str = "", bar: float | None = None) -> str:
    """One cell; only what a front end's own table style would get wrong is said, for the notebook's size."""
    style = "padding:3px 8px;text-align:" + ("right" if number else "left")
    style += ";min-width:32ch" if len(value) > _LONG else ";white-space:nowrap"
    if tag == "th" or tone:
        style += f";color:{DIM if tag == 'th' else _ink(TONES[tone])};font-weight:600"
    if bar is not None:
        share = f"{max(0.0, min(1.0, bar)) * 100:.0f}%"
        style += f";background:linear-gradient(to right,{_BAR} {share},transparent {share})"
    align = " align='right'" if number else ""  # where styles are stripped, this is not
    return f"<{tag}{align} style='{style}'>{escape(value)}</{tag}>"


def megabytes(size_bytes: float) -> str:
    """Bytes as MB (10^6), the unit of every size the lab prints.

    Examples
    --------
    >>> megabytes(438_000_000), megabytes(12_300)
    ('438.0 MB', '0.012 MB')
    """
    mb = size_bytes / 1e6
    return f"{mb:.1f} MB" if mb >= 1 else f"{mb:.3f} MB"


def milliseconds(seconds: float) -> str:
    """Seconds as milliseconds with three significant digits.

    Examples
    --------
    >>> milliseconds(0.0404), milliseconds(0.00123), milliseconds(5.6e-6)
    ('40.4 ms', '1.23 ms', '0.0056 ms')
    """
    ms = seconds * 1e3
    return (
        f"{ms:.0f} ms" if ms >= 100 else f"{ms:.1f} ms" if ms >= 10 else f"{ms:.2f} ms" if ms >= 1 else f"{ms:.3g} ms"
    )
