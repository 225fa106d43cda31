"""What a converter wrote -> Made: named as asked, and its answers checked against the source on a scratch file.

PyTorch has a road of its own; here go the frameworks whose converter gives a finished graph (scikit-learn, Keras,
TensorFlow, Paddle).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from onnx_lab import workspace
from onnx_lab.errors import BadInput
from onnx_lab.exporters import _preprocessing, parity
from onnx_lab.exporters._inputs import Inputs
from onnx_lab.exporters._options import ExportOptions
from onnx_lab.exporters.parity import Array
from onnx_lab.produce import Made, write_ir
from onnx_lab.task import Feeds

if TYPE_CHECKING:
    import onnx_ir as ir

#: Options that only PyTorch's exporters have -> what they must be elsewhere.
_PYTORCH_ONLY = {"exporter": "dynamo", "constant_folding": True}


@dataclass(frozen=True)
class Original:
    """A source of any framework: `call` takes feeds and gives the outputs, in the order of the file's.

    Attributes
    ----------
    framework : str
        Its name in messages.
    inputs : Inputs
        The named axes are those that are dynamic in the file.
    call : callable
        Feeds -> arrays, one for each output.
    output_names : tuple of str
        Their names in the file.
    """

    framework: str
    inputs: Inputs
    call: Callable[[Feeds], Sequence[Array]]
    output_names: tuple[str, ...]

    def run(self, feeds: Feeds) -> dict[str, Array]:
        """The original's answers, by the names they have in the file."""
        return dict(zip(self.output_names, self.call(feeds), strict=True))


def refuse_pytorch_options(options: ExportOptions, framework: str) -> None:
    """Say that an option has no meaning for `framework`, rather than ignore it."""
    for name, neutral in _PYTORCH_ONLY.items():
        if (given := getattr(options, name)) != neutral:
            raise BadInput(f"{name}={given!r} for a {framework} model", accepted="a PyTorch module", do="leave it out")


def finish(
    graph: ir.Model,
    source: Original,
    tests: Mapping[str, Sequence[int]],
    options: ExportOptions,
    *,
    code: str,
    said: Sequence[str] = (),
    metadata: Mapping[str, str] | None = None,
) -> Made:
    """Rename, check, and say what happened.

    Parameters
    ----------
    graph : onnx_ir.Model
        As the converter wrote it, in the opset asked for.
    source : Original
        Its inputs and outputs bear the names they have in `graph`.
    tests : mapping of str to sequence of int
        Dynamic axis -> sizes other than the example's that the source takes.
    options : ExportOptions
    code : str
        The plain code that this export amounts to.
    said : sequence of str
        Sentences for the card that are known already.
    metadata : mapping, optional
        For the file.

    Raises
    ------
    BadInput
        When the names asked for are not as many as the inputs or outputs.
    ExportError, ParityError
        When the file does not run, or answers otherwise.
    """
    source = _renamed(graph, source, options)
    if options.check:
        with workspace.scratch() as folder:
            write_ir(graph, folder / "export.onnx")
            model = workspace.open_model(folder / "export.onnx")
            checked = parity.check(model, source, parity.trials(source.inputs, tests), options.tolerance)
    else:
        checked = {"say": [f"not compared with {source.framework} (check=False)"]}
    notes: dict[str, Any] = {
        "say": [*checked.pop("say"), *said, *_preprocessing.sentences(graph)],
        "parity": checked,
        "code": code,
    }
    return Made(graph, notes, {**(metadata or {}), **options.metadata})


def _renamed(graph: ir.Model, source: Original, options: ExportOptions) -> Original:
    """Graph and source under the caller's names, where given."""
    for what, wanted, values in (
        ("input_names", options.input_names, graph.graph.inputs),
        ("output_names", options.output_names, graph.graph.outputs),
    ):
        if wanted is None:
            continue
        if len(wanted) != len(values):
            raise BadInput(
                f"{len(wanted)} {what}",
                accepted=f"{len(values)} names, for {', '.join(str(v.name) for v in values)}",
                do="name them all",
            )
        names = {str(v.name): new for v, new in zip(values, wanted, strict=True)}
        for value in values:
            value.name = names[str(value.name)]
        if what == "input_names":
            source = replace(source, inputs=source.inputs.renamed(names), call=_under(names, source.call))
        else:
            source = replace(source, output_names=tuple(names[n] for n in source.output_names))
    return source


def _under(names: Mapping[str, str], call: Callable[[Feeds], Sequence[Array]]) -> Callable[[Feeds], Sequence[Array]]:
    """`call` for feeds that bear the new names."""
    return lambda feeds: call({old: feeds[new] for old, new in names.items()})
