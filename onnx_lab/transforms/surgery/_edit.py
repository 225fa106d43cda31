"""What every edit shares: a private copy is edited, put in order, checked, run beside the original, written once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from onnx_lab import workspace
from onnx_lab.errors import OnnxLabError, TransformError
from onnx_lab.model import Model
from onnx_lab.produce import Made, options_json, produce
from onnx_lab.runtime.offline import refuse_frozen
from onnx_lab.task import Feeds
from onnx_lab.transforms._carry import fill_scopes
from onnx_lab.transforms._counts import count_nodes, size_sentence
from onnx_lab.transforms.surgery import _check, _shapes

if TYPE_CHECKING:
    import onnx_ir as ir

#: What an edit promises of the answers: they stay, they may differ, or nothing (a part of a graph, a new task).
Promise = Literal["same", "may differ"]

_TOOLS = ("onnx-lab", "onnx-ir", "onnx", "onnxruntime", "onnxruntime-gpu")


def edited(
    m: Model,
    edit: str,
    body: Callable[[ir.Model], Sequence[str]],
    *,
    options: Mapping[str, Any],
    name: str | None = None,
    promise: Promise = "may differ",
    check: bool = True,
    cached: bool = True,
    notes: dict[str, Any] | None = None,
    translate: Callable[[Feeds], Feeds] | None = None,
    back: Callable[[Feeds], Feeds] | None = None,
    called: Mapping[str, str] | None = None,
    external: bool = False,
) -> Model:
    """The Model that `body` makes of a private copy of `m`.

    Parameters
    ----------
    m : Model
    edit : str
        The edit's name, that of its function and file. The lineage calls it ``surgery.<edit>``.
    body : callable
        Edits the ``onnx_ir.Model`` it is given, in place, and returns sentences for the card. It raises BadInput for
        what the caller got wrong and TransformError for what the graph forbids; values whose shape it changes it
        leaves without one (``value.shape = None``).
    options : mapping
        The edit's own, as they were given; JSON values.
    name : str, optional
        Default ``"<m.name>-<edit>"`` with dashes.
    promise : {"same", "may differ"}
        With ``"same"`` an answer that differs from the original's is an error.
    check : bool, default True
        Run original and result on random feeds. The ONNX checker and shape inference run always.
    cached : bool, default True
        False where `options` do not tell everything (a function of the caller's, another file).
    notes : dict, optional
        Filled by `body` with what its plain code needs beside the options (the module's ``FOUND``); JSON values.
    translate : callable, optional
        Feeds of the original -> what to feed the result in their place, where the edit changes what is fed.
    back : callable, optional
        Feeds of the result -> what to feed the original, where the result takes less.
    called : mapping of str to str, optional
        Output of the original -> what the result calls it, where the edit changes that.
    external : bool, default False
        Write the weights beside the file, however few they are.

    Raises
    ------
    TransformError
        When the result breaks a rule of ONNX, does not run where the original does, or breaks its promise.
    """
    refuse_frozen(m, f"surgery.{edit}")
    how = _check.Beside(promise == "same", translate, back, called)
    made = produce(
        f"surgery.{edit}",
        options_json(**options),
        lambda: _body(m, edit, body, how if check else None, {} if notes is None else notes, external),
        tools=_TOOLS,
        name=name or f"{m.name}-{edit.replace('_', '-')}",
        parent=m,
        cached=cached,
    )
    workspace.note_place(m)
    return made


def _body(
    m: Model,
    edit: str,
    body: Callable[[ir.Model], Sequence[str]],
    how: _check.Beside | None,
    notes: dict[str, Any],
    external: bool,
) -> Made:
    model = m.to_ir()
    with _told(m, edit):
        _name_nodes(model)
        before = count_nodes(model)
        say = list(body(model))
        after = count_nodes(model)
        if before != after:
            say.append(size_sentence(before, after))
        in_order(model, edit)
        _shapes.must_fit(m, model, edit)
    if how is not None:
        say.append(_check.beside(m, model, edit, how))
    return Made(
        model, {**notes, "say": say, "nodes": {"before": before.nodes, "after": after.nodes}}, external=external
    )


@contextlib.contextmanager
def _told(m: Model, edit: str) -> Iterator[None]:
    """A graph that contradicts itself ends onnx_ir, onnx and numpy in ways of their own: here it is one error."""
    try:
        yield
    except OnnxLabError:
        raise
    except Exception as e:
        reason = next((s.strip() for s in str(e).splitlines() if s.strip()), "no reason given")
        raise TransformError(
            f"surgery.{edit}: {m.name} could not be edited ({type(e).__name__}: {reason})",
            do="lab.nodes(m) shows its nodes, and what each is made from",
        ) from e


def _name_nodes(model: ir.Model) -> None:
    """A node without a name gets one that says what it makes, so that sentences and errors can name it."""
    for node in model.graph.all_nodes():
        if not node.name:
            node.name = f"{node.op_type}.{next((o.name for o in node.outputs if o.name), '')}"


def in_order(model: ir.Model, edit: str) -> None:
    """Names for what has none, nodes sorted, shapes inferred, modules filled in, the ONNX checker asked; in place.

    Raises
    ------
    TransformError
        When the graph has a cycle, or the checker refuses it.
    """
    from onnx_ir.passes.common import NameFixPass

    sort(model, edit)
    NameFixPass()(model)
    fill_scopes(model)
    _shapes.inform(model)
    _check.rules(model, edit)


def sort(model: ir.Model, edit: str) -> None:
    """Makers before readers, in place.

    Raises
    ------
    TransformError
        When the graph has a cycle.
    """
    try:
        model.graph.sort()
    except ValueError as e:
        raise TransformError(f"surgery.{edit}: the graph would have a cycle ({e})", do="another place") from None
