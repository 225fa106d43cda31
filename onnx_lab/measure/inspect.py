"""inspect: what is in this file, and what it will cost. No engine is opened unless asked, and no weights are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, ClassVar

from onnx_lab._a_model import check_model
from onnx_lab._blocks import fused_blocks, open_blocks
from onnx_lab._memory import WORTH_GIVING_BYTES, give_memory_back
from onnx_lab._metadata import operator_of
from onnx_lab.card import Card
from onnx_lab.errors import BadInput
from onnx_lab.feeds import input_shapes
from onnx_lab.measure._inspection_card import inspection_card
from onnx_lab.measure._modules import ModuleWork, module_tree
from onnx_lab.measure._parts import Domain, LocalFunction, SubGraph, domains, functions, subgraphs
from onnx_lab.measure._result import Machine, Result, this_machine
from onnx_lab.measure._static_work import Activations, NodeWork, activations_of, is_glue, work_of
from onnx_lab.measure._weights import Weight, weights_of
from onnx_lab.measure.profile import Profile
from onnx_lab.model import Model, Step, TensorSpec
from onnx_lab.runtime.client import Worker
from onnx_lab.runtime.shapes import shapes_of
from onnx_lab.runtime.target import Target


@dataclass(frozen=True)
class OperatorWork:
    """All nodes of one operator: how many, their weights, and their multiply-accumulates.

    `unknown` is the number of nodes whose multiply-accumulates could not be told.
    """

    operator: str
    nodes: int
    weight_bytes: int
    macs: int
    unknown: int
    glue: bool


@dataclass(frozen=True, repr=False)
class Inspection(Result):
    """What is in a file.

    Attributes
    ----------
    operators : dict of str to int
        Operator -> nodes, sub-graphs included, most frequent first. Operators of another domain than ONNX's own are
        written ``domain::operator``.
    glue : int
        Nodes that only move or reshape data (see `onnx_lab.model.GLUE`).
    attention_blocks, attention_fused : int
        Attention blocks found, and those that are a single node.
    weights : tuple of Weight
        All constant tensors, largest first.
    work : tuple of NodeWork
        Every node with its multiply-accumulates, weights and result, at the sizes in `shape`.
    activations : Activations
        Memory of what is computed on the way, an estimate.
    subgraphs : tuple of SubGraph
        What lies inside If, Loop and Scan.
    functions : tuple of LocalFunction
        Functions that the file defines.
    domains : tuple of Domain
        Sets of operators that it uses, and who knows them.
    providers : dict of str to dict of str to int
        Provider -> operator -> nodes, from the engine itself, after it optimized the graph; empty unless `target` was
        given.
    module_seconds : dict of str to float
        Module -> time of its own nodes, from the profile that was given.
    """

    FORMAT: ClassVar[int] = 2

    name: str
    size_bytes: int
    producer: str
    ir_version: int
    opsets: dict[str, int]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    shape: str
    operators: dict[str, int]
    glue: int
    subgraphs: tuple[SubGraph, ...]
    functions: tuple[LocalFunction, ...]
    domains: tuple[Domain, ...]
    attention_blocks: int
    attention_fused: int
    weights: tuple[Weight, ...]
    work: tuple[NodeWork, ...] = field(repr=False)
    activations: Activations
    lineage: tuple[Step, ...]
    machine: Machine
    notes: tuple[str, ...] = ()
    target: str = ""
    providers: dict[str, dict[str, int]] = field(default_factory=dict)
    module_seconds: dict[str, float] = field(default_factory=dict)

    @property
    def nodes(self) -> int:
        """Nodes in all graphs of the file."""
        return sum(self.operators.values())

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one run, as far as they are known (see `unknown_macs`)."""
        return sum(n.macs or 0 for n in self.work)

    @property
    def unknown_macs(self) -> dict[str, int]:
        """Operators that compute products of unknown size -> nodes."""
        return dict(Counter(n.operator for n in self.work if n.macs is None).most_common())

    @property
    def weight_bytes(self) -> dict[str, int]:
        """dtype -> bytes of all weights of that dtype, largest first."""
        total: Counter[str] = Counter()
        for w in self.weights:
            total[w.dtype] += w.size_bytes
        return dict(total.most_common())

    @property
    def dynamic_axes(self) -> dict[str, tuple[str, ...]]:
        """Name of an axis -> where it is found: ``{"batch": ("ids[0]", "mask[0]")}``; "?" is what has no name."""
        found: dict[str, list[str]] = {}
        for spec in (*self.inputs, *self.outputs):
            for axis, dim in enumerate(spec.shape):
                if not isinstance(dim, int):
                    found.setdefault(dim or "?", []).append(f"{spec.name}[{axis}]")
        return {name: tuple(places) for name, places in found.items()}

    @property
    def by_operator(self) -> tuple[OperatorWork, ...]:
        """The work of each operator, most frequent first."""
        weights: Counter[str] = Counter()
        macs: Counter[str] = Counter()
        unknown: Counter[str] = Counter()
        for n in self.work:
            weights[n.operator] += n.weight_bytes
            macs[n.operator] += n.macs or 0
            unknown[n.operator] += n.macs is None
        return tuple(
            OperatorWork(op, n, weights[op], macs[op], unknown[op], is_glue(op)) for op, n in self.operators.items()
        )

    @property
    def modules(self) -> tuple[ModuleWork, ...]:
        """The user's own modules, each before those below it; "" at the end is what no module made."""
        return module_tree(self.work, self.module_seconds)

    def _records(self) -> list[dict[str, Any]]:
        return [vars(o) for o in self.by_operator]

    def _card(self) -> Card:
        return inspection_card(self)


def inspect(
    m: Model,
    *,
    batch: int = 1,
    seq: int = 128,
    axes: Mapping[str, int] | None = None,
    target: str | Target | None = None,
    profile: Profile | None = None,
) -> Inspection:
    """What is in a file and what it costs: operators, weights, multiply-accumulates, memory, modules, sub-graphs.

    Parameters
    ----------
    m : Model
        Any Model. Its weights are not read, whatever their size.
    batch, seq : int
        Sizes of the dynamic axes, for multiply-accumulates and memory. Default 1 and 128.
    axes : dict of str to int, optional
        Sizes by the names of axes; they win over `batch` and `seq`.
    target : str or Target, optional
        Also ask the engine which provider will run each operator: the file is opened there, in a child process.
        Default: no engine is opened.
    profile : Profile, optional
        Of the same model, from `lab.profile`: adds time to the modules.

    Returns
    -------
    Inspection
        Shows itself; `.to_pandas()` is the table of operators, `.modules` the tree of modules, `.plot()` a picture.

    Raises
    ------
    BadModel
        When the file is gone, was edited, or is not a model.
    BadInput
        For a size below 1, or the profile of another model.
    ProviderError
        When `target` does not run here.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> look = lab.inspect(lab.samples.tiny())
    >>> look.operators["MatMul"], look.glue, look.weights[0].name, look.macs
    (2, 1, 'w1', 192)
    """
    check_model(m)
    for name, size in {"batch": batch, "seq": seq, **(axes or {})}.items():
        if size < 1:
            raise BadInput(f"{name}={size}", accepted="1 or more")
    if profile is not None and profile.model != m.name:
        raise BadInput(f"a profile of {profile.model}", accepted=f"one of {m.name}", do=f"lab.profile({m.name})")
    found = _inspected(m, input_shapes(m.inputs, batch=batch, seq=seq, axes=axes), target, profile)
    if m.size_bytes > WORTH_GIVING_BYTES:
        give_memory_back()
    return found


def _inspected(
    m: Model, sizes: Mapping[str, tuple[int, ...]], target: str | Target | None, profile: Profile | None
) -> Inspection:
    with ThreadPoolExecutor(1) as beside:  # the child works while the graph is read here
        asked = beside.submit(shapes_of, m, sizes)
        graph = m.to_graph()
    shapes = asked.result()
    nodes = list(graph.graph.all_nodes())
    operators = Counter(operator_of(n) for n in nodes)
    fused, still_open = fused_blocks(graph.graph), open_blocks(graph.graph)
    pairs = list(weights_of(graph))
    weight_bytes: Counter[int] = Counter()
    for weight, user in pairs:
        weight_bytes[id(user)] += weight.size_bytes
    return Inspection(
        name=m.name,
        size_bytes=m.size_bytes,
        producer=" ".join(filter(None, (graph.producer_name, graph.producer_version))),
        ir_version=graph.ir_version,
        opsets=dict(graph.opset_imports),
        inputs=m.inputs,
        outputs=m.outputs,
        shape=", ".join(f"{name} {list(dims)}" for name, dims in sizes.items()),
        operators=dict(operators.most_common()),
        glue=sum(n for op, n in operators.items() if is_glue(op)),
        subgraphs=tuple(subgraphs(graph.graph)),
        functions=functions(graph, operators),
        domains=domains(graph, nodes),
        attention_blocks=len(fused) + len(still_open),
        attention_fused=len(fused),
        weights=tuple(sorted((w for w, _ in pairs), key=lambda w: -w.size_bytes)),
        work=work_of(nodes, weight_bytes, shapes),
        activations=activations_of(graph.graph, shapes),
        lineage=m.lineage,
        machine=this_machine(),
        notes=(f"shapes are not known: {shapes.why_not}",) * bool(shapes.why_not),
        target=str(Target.of(target)) if target is not None else "",
        providers=_providers(m, target) if target is not None else {},
        module_seconds=dict(profile.modules) if profile is not None else {},
    )


def _providers(m: Model, target: str | Target) -> dict[str, dict[str, int]]:
    with Worker.for_model(m, target) as worker:
        return dict(worker.info["operators"])
