"""Model: one ONNX file that is never edited, its digest, and its lineage.

A Model is a handle. It keeps no weights in memory: the header is read once, and what a card needs is kept.
Lineage and session hints travel inside the file, in ``metadata_props``, so a file that is mailed around still says
how it came to be and what an engine needs to be told to run it fast.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from onnx_lab.card import Card, Shown, megabytes
from onnx_lab.errors import BadModel

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir

_T = TypeVar("_T")

LINEAGE_KEY = "onnx_lab.lineage"
SESSION_KEY = "onnx_lab.session"
LABELS_KEY = "onnx_lab.labels"
#: What a file may tell a session to do.
_HINTS = ("disabled_optimizers", "graph_optimization_level")

#: Operators that move or reshape and compute nothing; counted apart because exporters leave too many.
GLUE = frozenset(
    "Cast CastLike Concat ConstantOfShape Constant Expand Flatten Gather GatherND Identity Range Reshape Shape Slice "
    "Split Squeeze Tile Transpose Unsqueeze Where".split()
)


@dataclass(frozen=True)
class TensorSpec:
    """Name, dtype and shape of one input or output; a dynamic axis is its name, an unnamed one is ``None``."""

    name: str
    dtype: str
    shape: tuple[int | str | None, ...]

    def __str__(self) -> str:
        dims = ", ".join("?" if d is None else str(d) for d in self.shape)
        return f"{self.name}: {self.dtype}[{dims}]"


@dataclass(frozen=True)
class Step:
    """One line of lineage: the verb, its options, the versions that did it, and what it had to say.

    `options` and `notes` hold JSON values only. `parent` is the digest of the input Model, None for an export.
    """

    verb: str
    options: Mapping[str, Any] = field(default_factory=dict)
    tools: Mapping[str, str] = field(default_factory=dict)
    parent: str | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        args = ", ".join(f"{k}={v!r}" for k, v in self.options.items())
        return f"{self.verb}({args})"


@dataclass(frozen=True)
class Header:
    """What a card shows, read from the graph without touching external weights."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    opsets: Mapping[str, int]
    operators: Mapping[str, int]
    weights: Mapping[str, int]  #: dtype -> number of elements
    metadata: Mapping[str, str]
    external: tuple[str, ...]  #: external-data files, relative to the model's folder

    @property
    def nodes(self) -> int:
        """Number of nodes of the main graph."""
        return sum(self.operators.values())

    @property
    def glue(self) -> int:
        """Number of nodes that only move or reshape data."""
        return sum(n for op, n in self.operators.items() if op in GLUE)


@dataclass(frozen=True, repr=False)
class Model(Shown):
    """One ONNX file, never edited.

    Made by `onnx_lab.load`, `onnx_lab.export` and every transform; not by hand.

    Attributes
    ----------
    path : Path
        The ``.onnx`` file; external data lies beside it.
    name : str
        Short name for tables and plots.
    lineage : tuple of Step
        How it came to be, oldest first; empty for a file from elsewhere.
    cached : bool
        True when the last step was found in the workspace and not computed.
    """

    path: Path
    name: str
    lineage: tuple[Step, ...] = ()
    cached: bool = field(default=False, compare=False)
    _stat: tuple[int, int] = field(default=(0, 0), compare=False)

    @cached_property
    def header(self) -> Header:
        """Inputs, outputs, opsets, operator counts and weight dtypes. No external weights are read."""
        from onnx_lab._onnxfile import read_header

        return read_header(self.path)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the file and its external data, in hex."""
        from onnx_lab._onnxfile import file_digest

        self.check_unchanged()
        return file_digest([self.path, *(self.path.parent / e for e in self.header.external)])

    @cached_property
    def size_bytes(self) -> int:
        """Bytes on disk, external data included."""
        return sum(p.stat().st_size for p in [self.path, *(self.path.parent / e for e in self.header.external)])

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Inputs a caller feeds, in order."""
        return self.header.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Outputs, in order."""
        return self.header.outputs

    @property
    def session_hints(self) -> dict[str, Any]:
        """What a session needs to be fast with this file, e.g. ``{"disabled_optimizers": [...]}``.

        What else a file may say there is not taken: it could name files to write to.
        """
        found = _json(self.header.metadata.get(SESSION_KEY, "{}"))
        return {k: found[k] for k in _HINTS if k in found} if isinstance(found, dict) else {}

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names carried by the file, empty when unknown."""
        found = _json(self.header.metadata.get(LABELS_KEY, "[]"))
        return tuple(map(str, found)) if isinstance(found, list) else ()

    def check_unchanged(self) -> None:
        """Raise BadModel when the file was removed or edited since it was loaded."""
        try:
            st = self.path.stat()
        except OSError:
            raise BadModel(f"{self.path} is gone", do="load or make the model again") from None
        if self._stat != (0, 0) and self._stat != (st.st_size, st.st_mtime_ns):
            raise BadModel(f"{self.path} was edited after it was loaded", do="lab.load(path) again")

    def to_ir(self) -> ir.Model:
        """A private ``onnx_ir`` copy for editing; weights are read when they are touched."""
        import onnx_ir as ir

        from onnx_lab import workspace
        from onnx_lab._in_place import open_ir

        self.check_unchanged()
        # a file of the user's can be written anew while we look at it, which would end this Python
        trusted = self.path.resolve().is_relative_to(workspace.root().resolve())
        return self._read(open_ir if trusted else ir.load)

    def to_graph(self) -> ir.Model:
        """A private ``onnx_ir`` copy for looking at: larger weights have a type and a shape, and no numbers."""
        from onnx_lab._in_place import open_graph

        self.check_unchanged()
        return self._read(open_graph)

    def to_proto(self) -> onnx.ModelProto:
        """A private ``onnx.ModelProto`` with all weights in memory."""
        import onnx

        self.check_unchanged()
        return self._read(onnx.load)

    def _read(self, how: Callable[[Path], _T]) -> _T:
        try:
            return how(self.path)
        except OSError:
            raise  # a disk's trouble says what it is
        except Exception as e:  # each library has its own for a graph that contradicts itself
            while e.__cause__ is not None and isinstance(e.__cause__, Exception):
                e = e.__cause__
            raise BadModel(
                f"the graph of {self.path} cannot be read: {e}",
                accepted="names that are made once, attributes and tensors of the types that they claim",
                do="onnx.checker.check_model(path) says where; export it again",
            ) from e

    def save(self, path: str | Path) -> Path:
        """Copy the file (and its external data) to `path`, atomically; the user's own copy to take home.

        Raises
        ------
        WorkspaceError
            When the disk is full or the folder cannot be written.
        """
        from onnx_lab._onnxfile import copy_model

        return copy_model(self.path, Path(path), self.header.external)

    def _card(self) -> Card:
        h = self.header
        ops = ", ".join(f"{d or 'ai.onnx'} {v}" for d, v in sorted(h.opsets.items()))
        total = sum(h.weights.values()) or 1
        shares = {t: n / total for t, n in Counter(h.weights).most_common()}
        mix = ", ".join(f"{t} {share:.0%}" for t, share in shares.items() if share > 0.005) or "none"
        rows = [
            ("size", megabytes(self.size_bytes) + (" with external data" if h.external else "")),
            ("nodes", f"{h.nodes} ({h.glue} of them glue)"),
            ("opset", ops),
            ("inputs", "; ".join(map(str, h.inputs))),
            ("outputs", "; ".join(map(str, h.outputs))),
            ("weights", f"{total / 1e6:.1f} M: {mix}"),
            ("lineage", " → ".join(map(str, self.lineage)) or "a file from elsewhere"),
        ]
        title = f"{self.name}  (cached)" if self.cached else self.name
        return Card(title, rows, notes=_notes(self.lineage[-1]) if self.lineage else ())


def lineage_to_json(lineage: tuple[Step, ...]) -> str:
    """The lineage as the JSON text that is kept in the file."""
    return json.dumps([asdict(s) for s in lineage], sort_keys=True)


def lineage_from_json(text: str) -> tuple[Step, ...]:
    """Read what `lineage_to_json` wrote; unknown text gives an empty lineage, never an error."""
    try:
        steps = tuple(Step(**s) for s in json.loads(text))
    except (ValueError, TypeError, RecursionError):
        return ()
    kinds = [(s.verb, str) for s in steps] + [(x, dict) for s in steps for x in (s.options, s.tools, s.notes)]
    return steps if all(isinstance(x, kind) for x, kind in kinds) else ()


def _json(text: str) -> Any:
    """What a file's metadata holds, None where it is broken."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _notes(step: Step) -> tuple[str, ...]:
    said = step.notes.get("say", ())
    return tuple(said) if isinstance(said, (list, tuple)) else (str(said),)
