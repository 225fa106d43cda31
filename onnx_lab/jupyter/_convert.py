"""From words to the value of one parameter: an object by its name, a file by its path, a number, a choice, text."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from onnx_lab.errors import BadInput, did_you_mean
from onnx_lab.jupyter._names import Names, fits
from onnx_lab.jupyter._signature import Parameter, Takes
from onnx_lab.jupyter._words import Word


def value_of(p: Parameter, words: Sequence[Word | bool], names: Names) -> Any:
    takes = p.takes
    if not takes.many or takes.flag:
        last = words[-1]
        return last if isinstance(last, bool) else _convert(p, last, names)
    pieces = [piece for w in words if isinstance(w, Word) for piece in _pieces(w)]
    values: list[Any] = []
    for piece in pieces:
        value = _convert(p, piece, names)
        # one name may stand for a whole list of models
        values += value if isinstance(value, list | tuple) else [value]
        if len(pieces) == 1 and takes.objects and fits(value, takes.objects) and not isinstance(value, list | tuple):
            return value if takes.one else values
    return values[0] if takes.one and len(values) == 1 else values


def _pieces(word: Word) -> list[Word]:
    """The values of a comma list; commas inside quotes and brackets do not count."""
    if word.quoted:
        return [word]
    parts = re.findall(r"(?:[^,{\[(]|\{.*?\}|\[.*?\]|\(.*?\)|[{\[(])+", word.text)
    return [Word(part, False, word.start) for part in parts]


def _convert(p: Parameter, word: Word, names: Names) -> Any:
    """One word to one value."""
    takes, text = p.takes, word.text
    if not word.quoted and is_expression(text):
        value = names.evaluate(text)
        if not isinstance(value, str):
            return _checked(p, value, text)
        if takes.many and len(pieces := _pieces(Word(value, False, word.start))) > 1:  # {"1,8"} is two numbers
            return [_convert(p, piece, names) for piece in pieces]
        text = value
    elif not word.quoted and takes.objects and names.known(text) and not _is_file(text):
        value = names.get(text)
        if not (isinstance(value, str) and (takes.text or takes.choices)):
            return _checked(p, value, text)
        text = value
    if takes.none and text.lower() == "none":
        return None
    for convert in (_choice, _number, _file, _text):
        found = convert(p, text, word, names)
        if found is not None:
            return found
    raise names.unknown(text, takes.expected, accepted(p))


def _choice(p: Parameter, text: str, *_: Any) -> str | None:
    if text in p.takes.choices:
        return text
    if p.takes.choices and not p.takes.text and not p.takes.objects:
        raise BadInput(
            f"{p.option} {text}", accepted=", ".join(p.takes.choices), do=did_you_mean(text, p.takes.choices)
        )
    return None


def _number(p: Parameter, text: str, *_: Any) -> int | float | None:
    takes = p.takes
    kinds: list[Callable[[str], int | float]] = [int] * takes.whole + [float] * takes.real
    for kind in kinds:
        try:
            return kind(text)
        except ValueError:
            continue
    if kinds and not takes.text and not takes.objects:
        raise BadInput(f"{p.option} {text}", accepted=accepted(p))
    return None


def _file(p: Parameter, text: str, *_: Any) -> Any:
    if "Model" in p.takes.objects and _is_file(text):
        from onnx_lab._load import load

        return load(text)
    return Path(text) if p.takes.path and not p.takes.text else None


def _text(p: Parameter, text: str, word: Word, names: Names) -> str | None:
    if not p.takes.text and "Target" not in p.takes.objects:
        return None
    here = names.fitting(p.takes.expected) if p.takes.objects and text.isidentifier() and not word.quoted else []
    if "Target" not in p.takes.objects and did_you_mean(text, here).startswith("did"):
        raise names.unknown(text, p.takes.expected, accepted(p))
    return text


def _is_file(text: str) -> bool:
    return text.lower().endswith(".onnx") or (("/" in text or "\\" in text) and Path(text).exists())


def _checked(p: Parameter, value: Any, text: str) -> Any:
    """`value` when it is what the parameter takes; a path held by a variable becomes its Model."""
    takes = p.takes
    if value is None or not takes.objects:
        return value
    if "Model" in takes.objects and isinstance(value, Path):
        from onnx_lab._load import load

        return load(value)
    items = value if isinstance(value, list | tuple) and takes.many else [value]
    texts = takes.text and all(isinstance(i, str) for i in items)
    if texts or isinstance(value, int | float | str | Path) or all(fits(i, takes.objects) for i in items):
        return value
    owned = vars(value) if hasattr(value, "__dict__") else {}
    near = [f"{text}.{k}" for k, v in owned.items() if not k.startswith("_") and fits(v, takes.objects)]
    raise BadInput(
        f"{text} is a {type(value).__name__}",
        accepted=accepted(p),
        do=" or ".join(near) + ", which it holds" if near else "",
    )


def accepted(p: Parameter) -> str:
    """What a parameter takes, in words."""
    takes: Takes = p.takes
    kinds = [*takes.choices]
    if not kinds:
        kinds += ["a whole number"] * takes.whole + ["a number"] * takes.real
        kinds += [_OBJECTS.get(o, f"a {o.lstrip('~')}") for o in takes.expected]
        kinds += ["a path"] * (takes.path or "Model" in takes.objects) + ["text"] * takes.text
    kinds += ["none"] * takes.none
    return ", ".join(kinds[:-1]) + " or " * (len(kinds) > 1) + kinds[-1] + ", several with commas" * takes.many


_OBJECTS = {
    "Model": "the name of a Model",
    "Module": "the name of a PyTorch module",
    "PreTrainedModel": "the name of a Hugging Face model",
    "dict": "the name of a dict",
    "sequence": "the name of a list",
    "Target": "a target such as cpu or openvino",
    "anything": "the name of an object",
}


def is_expression(text: str) -> bool:
    return bool(re.fullmatch(r"\{.+\}|\$[^\W\d][\w.]*", text, re.DOTALL))
