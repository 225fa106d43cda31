"""Checks of options, made before any work: what came, what is accepted, the nearest right word."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from onnx_lab.errors import BadInput, did_you_mean


def one_of(option: str, value: str, accepted: Collection[str]) -> str:
    """Return `value` when it is one of `accepted`.

    Raises
    ------
    BadInput

    Examples
    --------
    >>> one_of("tool", "onnxslim", ["onnxslim", "onnxsim"])
    'onnxslim'
    """
    if value not in accepted:
        raise BadInput(f"{option}={value!r}", accepted=", ".join(accepted), do=did_you_mean(str(value), accepted))
    return value


def names(option: str, value: str | Iterable[str], accepted: Collection[str] | None = None) -> tuple[str, ...]:
    """Return `value` as a tuple of names, each one of `accepted` (any, when it is None).

    A single word is taken for a list of one: it is what people type.

    Raises
    ------
    BadInput

    Examples
    --------
    >>> names("disable", "gelu", ["gelu", "attention"])
    ('gelu',)
    """
    given: Sequence[str] = (value,) if isinstance(value, str) else tuple(value)
    for word in given:
        if not isinstance(word, str):
            raise BadInput(f"{option}: {word!r}", accepted="names as text", do=f"{option}=('name', ...)")
        if accepted is not None and word not in accepted:
            raise BadInput(f"{option}: {word!r}", accepted=", ".join(accepted), do=did_you_mean(word, accepted))
    return tuple(dict.fromkeys(given))
