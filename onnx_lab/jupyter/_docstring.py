"""The parts of a numpydoc docstring that a manual shows."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Docstring:
    """Summary, the paragraphs after it, parameter -> (declared type, text as written), and what is returned."""

    summary: str
    more: str
    parameters: dict[str, tuple[str, str]]
    returns: str


def parse_numpydoc(doc: str) -> Docstring:
    """The parts of a numpydoc docstring that a manual shows; inline markup is removed."""
    parts = re.split(r"^(\w[\w ]*)\n-{3,}\n", doc, flags=re.MULTILINE)
    summary, _, more = parts[0].strip().partition("\n\n")
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    parameters: dict[str, tuple[str, str]] = {}
    for head, body in re.findall(
        r"^(\S.*)\n((?:[ \t]+\S.*\n?|\n)*)", sections.get("Parameters", "") + "\n", re.MULTILINE
    ):
        names, _, declared = head.partition(" : ")
        for name in names.split(","):
            parameters[name.strip().lstrip("*")] = (declared, body)
    returns = sections.get("Returns", "").strip().split("\n")[0]
    return Docstring(plain(summary), "\n\n".join(plain(p) for p in more.split("\n\n")), parameters, plain(returns))


def plain(text: str) -> str:
    """Text without inline markup and line breaks.

    Examples
    --------
    >>> plain("like ``numpy`` and :func:`~onnx_lab.load`")
    'like numpy and onnx_lab.load'
    """
    return re.sub(r"\s+", " ", re.sub(r":\w+:`~?([^`]*)`|``?([^`]+)``?", r"\1\2", text)).strip()
