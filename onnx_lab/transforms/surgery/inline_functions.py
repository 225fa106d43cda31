"""inline_functions: calls of the model's own functions become the nodes that they stand for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from onnx_lab.errors import BadInput, TransformError, did_you_mean
from onnx_lab.model import Model
from onnx_lab.transforms._options import names
from onnx_lab.transforms.surgery._code import program
from onnx_lab.transforms.surgery._edit import edited

if TYPE_CHECKING:
    import onnx_ir as ir


def inline_functions(
    m: Model, functions: str | Iterable[str] = "*", *, name: str | None = None, check: bool = True
) -> Model:
    """Replace calls of the model's functions by the nodes inside.

    Parameters
    ----------
    m : Model
    functions : str or iterable of str, default "*"
        By name or glob, with or without the domain: ``Focus``, ``my.domain::Focus``.
    name : str, optional
        Default ``"<name>-inline-functions"``.
    check : bool, default True
        Run both files on random feeds and hold the answers against each other.

    Returns
    -------
    Model

    Raises
    ------
    BadInput
        For a function that the model does not have.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> lab.surgery.inline_functions(lab.samples.tiny()).lineage[-1].notes["say"][0]
    'the model has no functions'
    """
    wanted = names("functions", functions)
    return edited(
        m, "inline_functions", lambda g: _inline(g, wanted), options={"functions": list(wanted)}, name=name,
        promise="same", check=check,
    )  # fmt: skip


def _inline(model: ir.Model, wanted: Sequence[str]) -> list[str]:
    from onnx_ir.passes.common import InlinePass

    if not model.functions:
        return ["the model has no functions"]
    _refuse_unknown(model, wanted)
    try:
        result = InlinePass(criteria=lambda f: any(_named(f, w) for w in wanted))(model)
    except ValueError as e:
        raise TransformError(f"surgery.inline_functions: {e}") from None
    counts = getattr(result, "id_count", {})
    return [f"{_title(d, n)}: {count} call{'s' * (count != 1)} inlined" for (d, n, _), count in counts.items()]


def _title(domain: str, name: str) -> str:
    return f"{domain}::{name}" if domain else name


def _named(function: ir.Function, word: str) -> bool:
    return any(fnmatchcase(t, word) for t in (function.name, _title(function.domain, function.name)))


def _refuse_unknown(model: ir.Model, wanted: Sequence[str]) -> None:
    known = [f.name for f in model.functions.values()]
    for word in wanted:
        if not any(_named(f, word) for f in model.functions.values()):
            raise BadInput(f"functions: {word!r}", accepted=", ".join(known), do=did_you_mean(word, known))


def plain_code(*, functions: str | Iterable[str] = "*") -> str:
    """The plain code of an inline_functions step.

    Examples
    --------
    >>> print(plain_code().splitlines()[-3])
    InlinePass()(model)
    """
    wanted = list(names("functions", functions))
    criteria = "" if wanted == ["*"] else f"criteria=lambda f: any(fnmatchcase(f.name, w) for w in {wanted!r})"
    imports = ["from onnx_ir.passes.common import InlinePass"]
    return program(
        "inline_functions", f"InlinePass({criteria})(model)",
        imports=imports + ["from fnmatch import fnmatchcase"] * bool(criteria),
    )  # fmt: skip
