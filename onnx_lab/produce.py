"""The one way a file comes to be: look in the cache, work in a scratch folder, write once, adopt, remember.

Export and every transform go through `produce`. What is written is complete and flushed before it gets its name, so
a crash, a full disk or an interrupt leaves the workspace as it was.
"""

from __future__ import annotations

import contextlib
import contextvars
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnx_lab import workspace
from onnx_lab._memory import WORTH_GIVING_BYTES, give_memory_back
from onnx_lab._quiet import without_progress
from onnx_lab.model import LINEAGE_KEY, Model, Step, lineage_to_json

if TYPE_CHECKING:
    import onnx_ir as ir

#: Above this many bytes of weights they go to an external file; protobuf itself ends at 2 GiB.
EXTERNAL_ABOVE_BYTES = 1_900_000_000

_looking = contextvars.ContextVar("only looking", default=False)


class NotMade(Exception):
    """The step is not in the cache, and was not to be run."""


@contextlib.contextmanager
def only_looking() -> Iterator[None]:
    """Inside, a step that is not in the cache raises `NotMade` and does no work: whether a file is there costs little.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> with only_looking():
    ...     lab.simplify(lab.samples.tiny(), name="not made before")
    Traceback (most recent call last):
    onnx_lab.produce.NotMade
    """
    token = _looking.set(True)
    try:
        yield
    finally:
        _looking.reset(token)


@dataclass
class Made:
    """What the body of a step returns: the graph, what it has to say, and metadata for the file.

    Attributes
    ----------
    graph : onnx_ir.Model
        The finished model.
    notes : dict
        JSON values for the lineage; ``notes["say"]`` is a list of sentences shown on the card.
    metadata : dict of str
        Extra ``metadata_props`` for the file (class names, session hints).
    external : bool
        Weights go beside the file, however few they are.
    """

    graph: ir.Model
    notes: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    external: bool = False


def produce(
    verb: str,
    options: Mapping[str, Any],
    body: Callable[[], Made],
    *,
    tools: Sequence[str],
    name: str,
    parent: Model | None = None,
    cache_key: str | None = None,
    cached: bool = True,
) -> Model:
    """Return the Model of this step, from the cache or by running `body` once.

    Parameters
    ----------
    verb, options : str, mapping
        What goes into the lineage; options are JSON values.
    body : callable
        Does the work and returns `Made`. Not called when the step is cached.
    tools : sequence of str
        Distributions whose versions are part of the key (``"onnxslim"``, ``"onnxruntime-gpu"``, ...).
    parent : Model, optional
        The input; its digest is the key's start and its lineage is continued.
    cache_key : str, optional
        Identity of the input when there is no parent (an export); None means never cached.
    cached : bool, default True
        False for a step that depends on what has no identity, e.g. a function of the user's.

    Raises
    ------
    WorkspaceError
        When the result cannot be written. Whatever `body` raises passes through.
    NotMade
        Inside `only_looking`, when it is not in the cache.
    """
    versions = workspace.versions(tools)
    origin = parent.digest if parent else cache_key
    step_key = workspace.key(verb, origin, {**options, "name": name}, versions) if origin and cached else None
    if step_key and (hit := workspace.recall(step_key, name=name)):
        return hit
    if _looking.get():
        raise NotMade
    with without_progress("onnx_ir", "onnxscript", "onnxslim"):
        made = body()
    step = Step(verb, dict(options), versions, parent.digest if parent else None, made.notes)
    lineage = (*(parent.lineage if parent else ()), step)
    made.graph.metadata_props.update({**made.metadata, LINEAGE_KEY: lineage_to_json(lineage)})
    with workspace.scratch() as folder:
        write_ir(made.graph, folder / f"{name}.onnx", external=made.external)
        model = workspace.adopt(folder, f"{name}.onnx")
    if step_key:
        workspace.remember(step_key, model)
    if model.size_bytes > WORTH_GIVING_BYTES:
        _release(made.graph)
        give_memory_back()
    return model


def _release(graph: ir.Model) -> None:
    """Let go of the weights: onnxscript's matchers keep the last graph they saw for as long as Python runs."""
    for value in graph.graph.initializers.values():
        value.const_value = None


def write_ir(graph: ir.Model, path: Path, *, external: bool = False) -> None:
    """Write `graph` to `path`; weights beside it as ``<name>.onnx.data`` when they are too many for one protobuf."""
    import onnx_ir as ir

    from onnx_lab._streamed import write_streamed

    weights_bytes = sum(v.const_value.nbytes for v in graph.graph.initializers.values() if v.const_value is not None)
    if external or weights_bytes > EXTERNAL_ABOVE_BYTES:
        ir.save(graph, path, external_data=f"{path.name}.data")
    else:
        write_streamed(graph, path)


def options_json(**options: Any) -> dict[str, Any]:
    """Options as JSON values: tuples and sets become lists, paths become text.

    Examples
    --------
    >>> options_json(skip=("a", "b"), tool="onnxslim")
    {'skip': ['a', 'b'], 'tool': 'onnxslim'}
    """
    plain: dict[str, Any] = json.loads(
        json.dumps(options, default=lambda o: sorted(o) if isinstance(o, (set, frozenset)) else str(o))
    )
    return plain
