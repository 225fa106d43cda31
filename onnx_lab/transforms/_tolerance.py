"""Whether rounded answers are near enough: by a tolerance, or by the user's own word."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from onnx_lab.errors import BadInput, TransformError

Answers = Mapping[str, npt.NDArray[np.generic]]
Validate = Callable[[dict[str, Any], dict[str, Any]], bool]


class Judge:
    """Compares two answers to one batch: ``|a - b| <= atol + rtol * |b|`` on all float outputs, or `validate`.

    Attributes
    ----------
    largest : float
        The largest difference since `start`.
    share : float
        The largest part of its tolerance that a difference took since `start`; above 1 is a failure.
    """

    def __init__(self, rtol: float, atol: float, validate: Validate | None) -> None:
        self.rtol, self.atol, self.validate = rtol, atol, validate
        self.start()

    def start(self) -> None:
        """Forget what was seen."""
        self.largest = self.share = 0.0

    def accepts(self, batch: int, exact: Answers, got: Answers) -> bool:
        """Whether `got` is near enough to `exact`; `batch` is for messages.

        Raises
        ------
        BadInput
            When `validate` raises, or answers with something that is no bool.
        """
        for name, a in exact.items():
            if a.dtype.kind == "f":
                self._add(a.astype(np.float64), got[name].astype(np.float64))
        if self.validate is None:
            return self.share <= 1.0
        return self._ask(self.validate, batch, exact, got)

    def _add(self, exact: npt.NDArray[np.float64], got: npt.NDArray[np.float64]) -> None:
        with np.errstate(invalid="ignore"):  # inf - inf
            gap = np.abs(exact - got)
        gap[exact == got] = 0.0  # also two infinities
        gap[np.isnan(gap)] = np.inf
        allowed = self.atol + self.rtol * np.abs(exact)
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(gap == 0, 0.0, gap / allowed)
        self.largest = max(self.largest, float(gap.max(initial=0.0)))
        self.share = max(self.share, float(np.nan_to_num(share, nan=np.inf, posinf=np.inf).max(initial=0.0)))

    def _ask(self, validate: Validate, batch: int, exact: Answers, got: Answers) -> bool:
        try:
            word = validate(dict(exact), dict(got))
        except Exception as e:
            raise BadInput(
                f"validate failed on batch {batch}: {type(e).__name__}: {e}",
                accepted="a function (float32 outputs, mixed outputs) -> bool; both map output names to arrays",
                do="try it alone: answers = lab.infer(m, feeds).outputs; validate(answers, answers)",
            ) from e
        if not isinstance(word, bool | np.bool_):
            raise BadInput(
                f"validate answered with a {type(word).__name__} on batch {batch}",
                accepted="True or False",
                do="return bool(...), of one value: bool((a == b).all())",
            )
        return bool(word)


def judge_by(rtol: float, atol: float, validate: Validate | None) -> Judge:
    """A Judge from options. Raises BadInput for what is no function, or no tolerance."""
    if validate is not None and not callable(validate):
        raise BadInput(
            f"validate={validate!r}", accepted="a function (float32 outputs, mixed outputs) -> bool", do="leave it out"
        )
    if validate is None and not (rtol >= 0 and atol >= 0 and rtol + atol > 0):
        raise BadInput(f"rtol={rtol}, atol={atol}", accepted="two numbers from 0, one of them above 0")
    return Judge(rtol, atol, validate)


def check_reference(batch: int, exact: Answers, judge: Judge) -> None:
    """Refuse what nothing can be compared with.

    Raises
    ------
    BadInput
        When there is neither a float output nor `validate`.
    TransformError
        When the float32 model answers NaN.
    """
    floats = {k: v for k, v in exact.items() if v.dtype.kind == "f"}
    if not floats and judge.validate is None:
        raise BadInput(
            f"no output is a float tensor: {', '.join(exact)}", accepted="a model with one, or validate=your function"
        )
    for name, value in floats.items():
        if np.isnan(value).any():
            raise TransformError(
                f"the float32 model itself answers NaN: output {name!r}, batch {batch} of data",
                do="look at that batch: an empty mask, or numbers that the model was not trained on",
            )
