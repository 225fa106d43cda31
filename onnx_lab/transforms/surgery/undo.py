"""undo: the Model that a step began with, by the lineage that the file carries."""

from __future__ import annotations

from onnx_lab import workspace
from onnx_lab._a_model import check_model
from onnx_lab.errors import BadInput, BadModel
from onnx_lab.model import Model


def undo(m: Model, steps: int = 1) -> Model:
    """Go back: the Model from which the last step made this one, an edit or any other.

    Nothing is computed: the file is looked up in the workspace; one that lay elsewhere is found where it was, when it
    is still the same.

    Parameters
    ----------
    m : Model
    steps : int, default 1
        How far to go back.

    Returns
    -------
    Model

    Raises
    ------
    BadInput
        When there are not so many steps to take back.
    BadModel
        When the file is gone; says how it was made.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> m = lab.samples.tiny()
    >>> lab.surgery.undo(lab.surgery.expose(m, "h1")).digest == m.digest
    True
    """
    check_model(m)
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise BadInput(f"steps={steps!r}", accepted="a whole number, 1 or more")
    taken = m.lineage[-steps:] if steps <= len(m.lineage) else ()
    parent = taken[0].parent if taken else None
    if parent is None:
        able = sum(1 for s in m.lineage if s.parent)
        raise BadInput(
            f"{m.name} has no {'step' if steps == 1 else f'{steps} steps'} to take back",
            accepted=f"1 to {able}" if able else "a Model that a step made of another",
        )
    before = m.lineage[:-steps]
    found = workspace.find(parent)
    if found is None:
        made = " → ".join(map(str, before)) or "a file from elsewhere"
        raise BadModel(
            f"what {taken[0]} began with is gone: neither in the workspace nor where it was",
            accepted=f"the file with the digest {parent[:12]}…, made by: {made}",
            do="lab.load(path) the original again" if not before else "make it again: the same steps, the same file",
        )
    return found


def plain_code(*, steps: int = 1) -> str:
    """There is none: a file does not know what it was before.

    Examples
    --------
    >>> print(plain_code())
    # nothing to run: open the file that the last step began with
    """
    began = "the last step" if steps == 1 else f"the last {steps} steps"
    return f"# nothing to run: open the file that {began} began with"
