"""A magic's line, cut into words the way a shell would, with notebook habits: objects, ``;`` and ``# comments``.

Quotes group and are removed; inside brackets everything is kept as typed, so ``nets["a b"]`` and ``{1 if x else 2}``
are one word each. A backslash escapes only what would otherwise mean something, so Windows paths survive.
"""

from __future__ import annotations

from dataclasses import dataclass

from onnx_lab.errors import BadInput

_PAIRS = {"{": "}", "[": "]", "(": ")"}
_ESCAPABLE = " \t'\"\\#;{}$"


@dataclass(frozen=True)
class Word:
    """One word: what it says, whether quotes were around a part of it, and where it begins in the line."""

    text: str
    quoted: bool
    start: int


@dataclass(frozen=True)
class Line:
    """The words of a line, and what its end said.

    Attributes
    ----------
    silent : bool
        A ``;`` ends the line: the value is not shown.
    unfinished : str
        The quote or bracket that is still open at the end, else empty.
    open_word : bool
        The last word touches the end of the line: someone may still be typing it.
    """

    words: tuple[Word, ...]
    silent: bool = False
    unfinished: str = ""
    open_word: bool = False


def split(text: str) -> Line:
    r"""Cut a line into words; never raises, see `complete_words`.

    Examples
    --------
    >>> [w.text for w in split("net 'a b.onnx' {n + 1} C:\\new nets['x y']  # why").words]
    ['net', 'a b.onnx', '{n + 1}', 'C:\\new', "nets['x y']"]
    >>> split("net;").silent
    True
    """
    reader = _Reader(text)
    while reader.word():
        pass
    words = reader.words
    silent = False
    if words and reader.bare_end and words[-1].text.endswith(";"):
        silent = True
        last = words.pop()
        if bare := last.text.rstrip(";"):
            words.append(Word(bare, last.quoted, last.start))
    return Line(tuple(words), silent, reader.open, reader.touches_end)


def complete_words(text: str) -> Line:
    """`split` for a line that is run: an open quote or bracket is a BadInput."""
    line = split(text)
    if line.unfinished:
        raise BadInput(f"a {line.unfinished} is not closed in: {text.strip()}", do="close it, or put it in quotes")
    return line


class _Reader:
    """Reads one word after the other; keeps what was open when the text ended."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self.words: list[Word] = []
        self.open = ""
        self.touches_end = False
        self.bare_end = False  # the last character of the last word was outside of quotes

    def word(self) -> bool:
        """Read one word; False at the end of the line."""
        text = self.text
        while self.at < len(text) and text[self.at].isspace():
            self.at += 1
        if self.at == len(text) or text[self.at] == "#":
            return False
        start, quoted = self.at, False
        parts: list[str] = []
        while self.at < len(text) and not text[self.at].isspace():
            c = text[self.at]
            self.bare_end = c not in "'\""
            if c in "'\"":
                quoted = True
                parts.append(self._quoted(c))
            elif c in _PAIRS:
                parts.append(self._bracketed())
            elif c == "\\" and text[self.at + 1 : self.at + 2] and text[self.at + 1] in _ESCAPABLE:
                parts.append(text[self.at + 1])
                self.at += 2
                self.bare_end = False
            else:
                parts.append(c)
                self.at += 1
        self.words.append(Word("".join(parts), quoted, start))
        self.touches_end = self.at == len(text)
        return True

    def _quoted(self, quote: str) -> str:
        """The text up to the closing quote, without the quotes; ``\\`` escapes the quote itself."""
        self.at += 1
        parts: list[str] = []
        while self.at < len(self.text):
            c = self.text[self.at]
            if c == quote:
                self.at += 1
                return "".join(parts)
            if c == "\\" and self.text[self.at + 1 : self.at + 2] == quote:
                self.at += 1
                c = quote
            parts.append(c)
            self.at += 1
        self.open = quote
        return "".join(parts)

    def _bracketed(self) -> str:
        """The text of a bracket as typed, nested brackets and quoted strings included."""
        start, waiting, quote = self.at, [], ""
        while self.at < len(self.text):
            c = self.text[self.at]
            self.at += 1
            if quote:
                quote = "" if c == quote else quote
            elif c in "'\"":
                quote = c
            elif c in _PAIRS:
                waiting.append(_PAIRS[c])
            elif waiting and c == waiting[-1]:
                waiting.pop()
                if not waiting:
                    return self.text[start : self.at]
        self.open = quote or {v: k for k, v in _PAIRS.items()}[waiting[-1]]
        return self.text[start:]
