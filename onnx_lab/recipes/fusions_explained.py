"""explain: which fusions were made for a target, which were not, at which node, and what to do about it.

`optimize` is asked what it makes of the model; what it leaves is held against the patterns.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from onnx_lab.card import Card, Table
from onnx_lab.measure._result import Machine, Result, this_machine
from onnx_lab.model import Model
from onnx_lab.runtime.target import Target
from onnx_lab.transforms import fusions
from onnx_lab.transforms._near_gelu import open_gelus
from onnx_lab.transforms._near_norm import open_norms, open_skips
from onnx_lab.transforms.explain import Unfused
from onnx_lab.transforms.optimize import optimize

_APART = "left apart on purpose: the fused node is no faster on {}"
_FORCE = "nothing, or enable=['skip_layer_norm'] to force it"
_MADE = {
    "layer_norm": frozenset({"LayerNormalization", "SkipLayerNormalization", "EmbedLayerNormalization"}),
    "gelu": frozenset({"Gelu", "FastGelu", "BiasGelu", "QuickGelu"}),
    "skip_layer_norm": frozenset({"SkipLayerNormalization"}),
}
WORDS = {
    "attention": "attention",
    "layer_norm": "layer normalization",
    "gelu": "Gelu",
    "skip_layer_norm": "residual and normalization",
}


@dataclass(frozen=True)
class Left:
    """A place where a fusion was not made: the node, the user's module, the condition that failed, the cure."""

    fusion: str
    node: str
    module: str
    reason: str
    do: str


@dataclass(frozen=True, repr=False)
class Explanation(Result):
    """What `optimize` fuses in a model for a target, and what it leaves; truthy when nothing is left.

    Attributes
    ----------
    made : dict of str to int
        Fusion -> single nodes that are in the optimized file.
    left : tuple of Left
        Each place that a fusion is nearly fit for.
    on_purpose : tuple of Left
        Places that fit, and are better left on this target.
    optimized : Model
        What it was read off.
    """

    model: str
    target: str
    made: dict[str, int]
    left: tuple[Left, ...]
    on_purpose: tuple[Left, ...]
    optimized: Model
    machine: Machine

    def __bool__(self) -> bool:
        return not self.left

    @property
    def sentences(self) -> tuple[str, ...]:
        """One for each reason, with how many places it is true of."""
        groups: dict[tuple[str, str, str], list[Left]] = {}
        for x in self.left:
            groups.setdefault((x.fusion, x.reason, x.do), []).append(x)
        said = []
        for (fusion, reason, do), alike in groups.items():
            first = alike[0]
            where = f"{first.module} (node {first.node})" if first.module else f"node {first.node}"
            more = f" and {len(alike) - 1} more" if len(alike) > 1 else ""
            said.append(f"{WORDS[fusion]} not fused: {where}{more}: {reason}. Try: {do}")
        said = said or ["nothing that a fusion is fit for was left"]
        for fusion in dict.fromkeys(x.fusion for x in self.on_purpose):
            alike = [x for x in self.on_purpose if x.fusion == fusion]
            said.append(f"{len(alike)} × {WORDS[fusion]} {alike[0].reason}")
        return tuple(said)

    def _records(self) -> list[dict[str, Any]]:
        return [vars(x) for x in self.left]

    def _card(self) -> Card:
        left = [x.fusion for x in self.left]
        rows = tuple((WORDS[f], str(n), str(left.count(f)) if f in left else "") for f, n in self.made.items())
        table = Table(("fusion", "one node", "left open"), rows)
        before, after = (self.optimized.lineage[-1].notes["nodes"][k] for k in ("before", "after"))
        facts = [("target", self.target), ("nodes", f"{before} → {after}")]
        return Card(f"what is fused in {self.model}, and what is not", facts, [table], self.sentences)


def explain(m: Model, *, target: str | Target | None = None) -> Explanation:
    """Say which fusions `optimize` makes of a model, and why it does not make the others.

    Attention, layer normalization, Gelu, and the residual in front of a normalization: for each place that nearly fits,
    the node, the condition that failed, and what to do.

    Parameters
    ----------
    m : Model
        Before `optimize`, or after it.
    target : str or Target, optional
        Fusions differ by target. Default: the CPU provider.

    Returns
    -------
    Explanation
        Truthy when nothing was left; ``.made``, ``.left``, ``.sentences``.

    Raises
    ------
    BadInput
        For an unknown target.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> found = lab.explain(lab.samples.tiny())
    >>> bool(found), found.made["gelu"]
    (True, 0)
    """
    where = Target.of(target)
    optimized = optimize(m, target=where)
    notes, graph = optimized.lineage[-1].notes, optimized.to_ir()
    made = {"attention": int(notes["attention_blocks"]["fused"])}
    made |= {f: sum(n.op_type in ops for n in graph.graph) for f, ops in _MADE.items()}
    blocks = _named("attention", [Unfused(**x) for x in notes["unfused"]])
    skips = _named("skip_layer_norm", open_skips(graph))
    wanted = fusions.wanted(where.provider)
    slower = [replace(x, reason=_APART.format(where.provider), do=_FORCE) for x in skips]
    purpose = [*(blocks if "attention" not in wanted else []), *(slower if "skip_layer_norm" not in wanted else [])]
    left = [
        *(blocks if "attention" in wanted else []),
        *_named("layer_norm", open_norms(graph)),
        *_named("gelu", open_gelus(graph)),
        *(skips if "skip_layer_norm" in wanted else []),
    ]
    return Explanation(m.name, str(where), made, tuple(left), tuple(purpose), optimized, this_machine())


def _named(fusion: str, places: Iterable[Unfused]) -> list[Left]:
    return [Left(fusion, p.node, p.module, p.reason, p.do) for p in places]
