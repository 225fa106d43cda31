"""Numbers as a person types them into a field, and back."""

from __future__ import annotations

import math

from onnx_lab.errors import BadInput


def number_or_none(text: str, what: str) -> float | None:
    """A number of 0 or more from a text field, None when it is empty.

    Raises
    ------
    BadInput
        For what is no number, below 0, or endless.

    Examples
    --------
    >>> number_or_none(" 2.5 ", "seconds"), number_or_none("", "MB")
    (2.5, None)
    """
    if not text.strip():
        return None
    try:
        value = float(text)
    except ValueError:
        raise BadInput(f"{what} {text!r}", accepted="a number, or nothing") from None
    if not value >= 0 or math.isinf(value):
        raise BadInput(f"{what} {text!r}", accepted="a number of 0 or more")
    return value


def plain(value: float | None) -> str:
    """A number as one would type it, and as it was typed.

    Examples
    --------
    >>> plain(20.0), plain(0.999999999), plain(None)
    ('20', '0.999999999', '')
    """
    if value is None:
        return ""
    return str(int(value)) if value == int(value) else repr(value)
