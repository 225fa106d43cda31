"""What a method of `quantize` is: the options it takes, how it prepares its work, and its plain code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from onnx_lab.errors import BadInput
from onnx_lab.produce import Made

if TYPE_CHECKING:
    from onnx_lab.model import Model
    from onnx_lab.task import Dataset

#: What `prepare` returns: the options of the lineage (JSON values, settled) and the body that does the work.
Prepared = tuple[dict[str, Any], Callable[[], Made]]


@dataclass(frozen=True)
class Method:
    """One way to quantize.

    Attributes
    ----------
    takes : frozenset of str
        Those of `quantize`'s options that mean something here, beside ``m``, ``method``, ``data`` and ``name``.
    prepare : callable
        ``prepare(m, given, data)``: checks the options and returns `Prepared` before any work is done. `given` holds
        the value of each option in `takes`, as the caller or the signature gave it.
    plain_code : callable
        ``plain_code(**options)`` with options of the lineage: a script, ``model.onnx`` in, a new file out.
    data : str
        Whether ``data=`` is needed, taken or refused.
    about_data : str
        What is accepted, in the words of the error when it is missing or refused.
    suffix : str
        Ends the name of the Model.
    """

    takes: frozenset[str]
    prepare: Callable[[Model, Mapping[str, Any], Dataset | None], Prepared]
    plain_code: Callable[..., str]
    data: Literal["needed", "taken", "refused"]
    about_data: str
    suffix: str = "int8"


def options_of(
    methods: Mapping[str, Method], method: str, given: Mapping[str, Any], defaults: Mapping[str, Any]
) -> dict[str, Any]:
    """The options in `given` that `method` takes.

    Raises
    ------
    BadInput
        For one that it does not take and that is not its default; names the methods that take it.

    Examples
    --------
    >>> only = Method(frozenset({"bits"}), lambda m, given, data: ({}, Made), str, "refused", "no data")
    >>> options_of({"only": only, "other": only}, "only", {"bits": 4}, {"bits": 8})
    {'bits': 4}
    """
    for option, value in given.items():
        if option in methods[method].takes or value is defaults[option] or value == defaults[option]:
            continue
        those = [name for name, other in methods.items() if option in other.takes]
        raise BadInput(
            f"{option}={value!r} for method={method!r}",
            accepted=f"{option} with method " + " or ".join(map(repr, those)),
            do=f"leave {option} out",
        )
    return {k: v for k, v in given.items() if k in methods[method].takes}
