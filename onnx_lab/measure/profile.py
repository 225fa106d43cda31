"""profile: where a model's time goes, by node, by operator, by kind of work, and by the user's own modules.

ONNX Runtime's profiler times each kernel of some runs in a child process; a node's time is the median of its runs. The
profiler itself costs time, so these figures say what takes which share, not how long a run takes: that is `bench`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnx_lab import workspace
from onnx_lab._a_model import check_model
from onnx_lab._metadata import module_of
from onnx_lab._turns import measuring, waiting
from onnx_lab.card import Card, Table, milliseconds
from onnx_lab.errors import BadInput
from onnx_lab.feeds import model_feeds
from onnx_lab.measure._kinds import WORDS, kind_of, macs_of
from onnx_lab.measure._result import Machine, Result, this_machine
from onnx_lab.model import Model
from onnx_lab.runtime.client import Worker
from onnx_lab.runtime.target import Target
from onnx_lab.task import Feeds

if TYPE_CHECKING:
    import onnx_ir as ir

_ROWS_SHOWN = 12
_WARMUP = 3


@dataclass(frozen=True)
class NodeTime:
    """One kernel of the session: what the engine made of the file, so fused nodes are one.

    `module` is the user's own module, "" where the engine's node has no counterpart in the file; `kind` is one of
    ``int8``, ``nbits``, ``float``, ``attention``, ``scaling``, ``cast``, ``normalization``, ``glue``, ``compiled``,
    ``other``. `macs` are the multiply-accumulates of one run, `weight_bytes` what its weight takes in the file; both 0
    where they are not known.
    """

    name: str
    op: str
    provider: str
    kind: str
    module: str
    seconds: float
    macs: int = 0
    weight_bytes: int = 0


@dataclass(frozen=True, repr=False)
class Profile(Result):
    """Where the time goes.

    Attributes
    ----------
    nodes : tuple of NodeTime
        Slowest first.
    seconds : float
        Median of a whole run under the profiler.
    busy : float
        Share of a run that its kernels take, taken run by run; the rest is between them.
    runs : int
        How many were counted.
    """

    model: str
    target: str
    shape: str
    nodes: tuple[NodeTime, ...]
    seconds: float
    busy: float
    runs: int
    machine: Machine

    @property
    def kernels(self) -> float:
        """Seconds inside kernels."""
        return sum(n.seconds for n in self.nodes)

    @property
    def operators(self) -> dict[str, float]:
        """Operator -> seconds, largest first."""
        return self._by(lambda n: n.op)

    @property
    def kinds(self) -> dict[str, float]:
        """Kind of work -> its share of the kernels' time, largest first."""
        total = self.kernels or 1.0
        return {k: s / total for k, s in self._by(lambda n: n.kind).items()}

    def rate(self, kind: str) -> float:
        """Multiply-accumulates per second of one kind of work, 0 where they are not known."""
        own = [n for n in self.nodes if n.kind == kind and n.macs]
        seconds = sum(n.seconds for n in own)
        return sum(n.macs for n in own) / seconds if seconds else 0.0

    @property
    def weight_rate(self) -> float:
        """Bytes of weights per second of the products that read them: what the memory has to deliver at least."""
        own = [n for n in self.nodes if n.macs and n.weight_bytes]
        seconds = sum(n.seconds for n in own)
        return sum(n.weight_bytes for n in own) / seconds if seconds else 0.0

    @property
    def modules(self) -> dict[str, float]:
        """The user's own module -> seconds, largest first; "" is what has none."""
        return self._by(lambda n: n.module)

    def _share(self, kind: str) -> str:
        rate = f" at {self.rate(kind) / 1e9:.3g} GMAC/s" if self.rate(kind) else ""
        return f"{self.kinds[kind]:.0%} {WORDS[kind]}{rate}"

    def _by(self, key: Any) -> dict[str, float]:
        found: dict[str, float] = {}
        for n in self.nodes:
            found[key(n)] = found.get(key(n), 0.0) + n.seconds
        return dict(sorted(found.items(), key=lambda kv: -kv[1]))

    def _records(self) -> list[dict[str, Any]]:
        return [vars(n) for n in self.nodes]

    def _card(self) -> Card:
        total = self.kernels or 1.0
        counts: dict[str, int] = {}
        for n in self.nodes:
            counts[n.op] = counts.get(n.op, 0) + 1
        cells = tuple(
            (op, str(counts[op]), milliseconds(s), f"{s / total:.0%}") for op, s in list(self.operators.items())
        )[:_ROWS_SHOWN]
        bars = {(i, 3): s / total for i, s in enumerate(list(self.operators.values())[:_ROWS_SHOWN])}
        tables = [Table(("operator", "nodes", "time", "share"), cells, bars=bars)]
        if modules := [(m, s) for m, s in self.modules.items() if m][:_ROWS_SHOWN]:
            rows = tuple((m, milliseconds(s), f"{s / total:.0%}") for m, s in modules)
            tables.append(Table(("module", "time", "share"), rows, "the slowest modules"))
        facts = [
            ("shape", self.shape),
            ("a run", f"{milliseconds(self.seconds)} under the profiler, {self.busy:.0%} in kernels"),
            ("the work", ", ".join(self._share(k) for k, share in self.kinds.items() if share >= 0.01)),
            ("runs", f"{self.runs}, medians"),
        ]
        return Card(f"profile of {self.model} on {self.target}", facts, tables)


def profile(
    m: Model,
    feeds: Feeds | None = None,
    *,
    batch: int = 1,
    seq: int = 128,
    target: str | Target | None = None,
    runs: int = 20,
) -> Profile:
    """Time each node of a model inside ONNX Runtime.

    Parameters
    ----------
    m : Model
    feeds : dict of str to array, optional
        One batch. Default: random feeds of `batch` and `seq`.
    batch, seq : int
        Sizes of the dynamic axes of random feeds. Default 1 and 128.
    target : str or Target, optional
        Default: the CPU provider. A provider that compiles the graph (OpenVINO, TensorRT) is one node.
    runs : int, default 20
        After 3 that are not counted.

    Returns
    -------
    Profile

    Raises
    ------
    BadInput
        For feeds that do not fit, or `runs` below 1.
    ProviderError
        When the target does not run here.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> found = lab.profile(lab.samples.tiny(), runs=3)
    >>> sorted(found.operators)
    ['FusedGemm', 'Gemm']
    """
    check_model(m)
    if runs < 1:
        raise BadInput(f"runs={runs}", accepted="a whole number of 1 or more")
    t = Target.of(target)
    given = feeds if feeds is not None else model_feeds(m, batch=batch, seq=seq)
    with workspace.scratch() as folder:
        hints = {**m.session_hints, "profile_to": str(folder)}
        with measuring(waiting), Worker.for_model(m, t, hints=hints) as worker:
            found = worker.profile(given, runs=runs, warmup=_WARMUP)
    origins = {name: n for n in m.to_ir().graph.all_nodes() for name in _names(n)}
    nodes = [_node_time(n, _origin(n["name"], origins)) for n in found["nodes"]]
    shape = ", ".join(f"{k} {list(v.shape)}" for k, v in given.items())
    ordered = tuple(sorted(nodes, key=lambda n: -n.seconds))
    return Profile(m.name, str(t), shape, ordered, found["seconds"], found["busy"], found["runs"], this_machine())


def _node_time(found: Mapping[str, Any], origin: ir.Node | None) -> NodeTime:
    op, provider = found["op"], found["provider"]
    weight = _weight(origin) if origin else None
    filters = tuple(weight.shape.numpy()) if weight is not None and origin and origin.op_type == "Conv" else ()
    return NodeTime(
        found["name"],
        op,
        provider,
        kind_of(op, provider),
        module_of(origin) if origin else "",
        found["seconds"],
        macs_of(op, found["inputs"], found["outputs"], filters),
        weight.nbytes if weight is not None else 0,
    )


def _names(node: ir.Node) -> list[str]:
    """What a session may call it: by its name; in blocks of channels by its result, or by that of its activation."""
    behind = [c for v in node.outputs for c, _ in v.uses() if node.op_type == "Conv" and len(v.uses()) == 1]
    results = [v.name for n in (node, *behind) for v in n.outputs if v.name and node.op_type == "Conv"]
    return [*filter(None, [node.name]), *(f"{r}_nchwc" for r in results)]


def _weight(node: ir.Node) -> ir.TensorProtocol | None:
    """The second input as the file has it, also behind a DequantizeLinear; None where it is computed."""
    value = node.inputs[1] if len(node.inputs) > 1 else None
    if value is not None and (scaled := value.producer()) is not None and scaled.op_type == "DequantizeLinear":
        value = scaled.inputs[0]
    return value.const_value if value is not None else None


def _origin(name: str, origins: Mapping[str, ir.Node]) -> ir.Node | None:
    """By the node's name; a fused node's begins with that of a node it was made of, or with "fused " before it."""
    name = name.removeprefix("fused ")
    while name:
        if name in origins:
            return origins[name]
        cut = max(name.rfind("_"), name.rfind("/"))
        name = name[:cut] if cut > 0 else ""
    return None
