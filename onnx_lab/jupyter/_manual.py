"""The manual of a magic: what ``-h`` and ``?`` show, made from the core function's signature and docstring."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from html import escape
from typing import Any

from onnx_lab.card import DIM, panel
from onnx_lab.jupyter._convert import accepted
from onnx_lab.jupyter._parse import CODE, usage
from onnx_lab.jupyter._signature import Parameter, Signature

_INDENT = 24
_WIDTH = 96
_OWN = (
    (CODE, "show the plain onnx / onnxruntime code of this step, and do not run it"),
    ("-h, --help", "this manual; %magic? shows it, too"),
)
_OBJECTS = (
    "Objects are given by name (net, bert.model, nets[0]), files by path (quote spaces), {any expression} works as a "
    "word. The value of the line is its result: keep it with  x = {magic} ...  and end the line with ; to show nothing."
)


@dataclass(frozen=True, repr=False)
class Manual:
    """Shows itself as text and as HTML."""

    magic: str
    signature: Signature

    def __repr__(self) -> str:
        s = self.signature
        parts = [
            usage(self.magic, s),
            "",
            *_wrap(s.summary),
            *(line for p in s.more.split("\n\n") for line in _wrap(p)),
        ]
        for title, rows in self._sections():
            parts += ["", title]
            for name, text in rows:
                first, *rest = _wrap(text, _WIDTH - _INDENT) or [""]
                fits = len(name) + 4 <= _INDENT
                parts += [f"  {name}".ljust(_INDENT) + first] if fits else [f"  {name}", " " * _INDENT + first]
                parts += [" " * _INDENT + line for line in rest]
        return "\n".join([*parts, "", *_wrap(self._closing())])

    def _repr_html_(self) -> str:
        s = self.signature
        cell = "padding:2px 18px 2px 0;border:none;text-align:left;vertical-align:top;background:transparent"
        body = ""
        for title, rows in self._sections():
            lines = "".join(
                f"<tr style='background:transparent'><td style='{cell}'>{_mono(name)}</td>"
                f"<td style='{cell};max-width:80ch'>{escape(text)}</td></tr>"
                for name, text in rows
            )
            body += (
                f"<div style='color:{DIM};margin:10px 0 2px'>{title}</div>"
                f"<table style='border-collapse:collapse;margin:0;font-size:13px'>{lines}</table>"
            )
        paragraphs = [s.summary, *filter(None, s.more.split("\n\n"))]
        text = "".join(f"<p style='margin:4px 0;max-width:90ch'>{escape(p)}</p>" for p in paragraphs)
        head = f"<strong>{_mono(usage(self.magic, s))}</strong>"
        foot = f"<p style='color:{DIM};margin:10px 0 0;max-width:90ch'>{escape(self._closing())}</p>"
        return panel(f"<div style='margin-bottom:6px'>{head}</div>{text}{body}{foot}")

    def _sections(self) -> list[tuple[str, list[tuple[str, str]]]]:
        parameters = self.signature.parameters
        words = [(p.name, _told(p)) for p in parameters if p.positional]
        options = [(_written(p), _told(p)) for p in parameters if not p.positional]
        return [("words", words)] * bool(words) + [("options", [*options, *_OWN])]

    def _closing(self) -> str:
        returns = f"Returns {self.signature.returns}. " if self.signature.returns else ""
        return returns + _OBJECTS.replace("{magic}", self.magic)


def _mono(text: str) -> str:
    return f"<code style='background:transparent;padding:0;white-space:nowrap'>{escape(text)}</code>"


def _written(p: Parameter) -> str:
    """``--batch N,N``, ``--per-channel``, ``--method dynamic|static``."""
    takes = p.takes
    if takes.flag:
        return f"{p.option}, --no-{p.option[2:]}" if p.negates else p.option
    if takes.choices:
        value = "|".join(takes.choices)
        return f"{p.option} {value}" if len(value) < 40 else f"{p.option} WORD"
    number = "N" if takes.whole or takes.real else ""
    value = number or (
        "OBJECT" if takes.objects and not takes.text else "TARGET" if "Target" in takes.objects else "TEXT"
    )
    return f"{p.option} {value},..." if takes.many else f"{p.option} {value}"


def _told(p: Parameter) -> str:
    """What the docstring says, what is accepted when it says nothing, and the default."""
    text = p.doc or accepted(p)
    if p.positional and p.declared:
        text = f"{p.declared.removesuffix(', optional')}. {p.doc}".strip()
    if len("|".join(p.takes.choices)) >= 40 and not all(c in text for c in p.takes.choices):
        text += " One of: " + ", ".join(p.takes.choices) + "."
    known = p.required or p.default in (None, "", ()) or "efault" in text
    return text if known else f"{text.rstrip('.')}. Default: {_default(p.default)}."


def _default(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else f"{value}"


def _wrap(text: str, width: int = _WIDTH) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
