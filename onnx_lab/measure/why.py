"""why: what makes one file faster or slower than another, in words with numbers.

Both are profiled on the same feeds, one after the other. The sentences come from those profiles: which kind of work
takes the time, how many products a second each kind reaches, and what was added that the other does not have.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from onnx_lab._a_model import check_model
from onnx_lab.card import Card, Table, milliseconds
from onnx_lab.errors import BadInput
from onnx_lab.feeds import model_feeds
from onnx_lab.measure._kinds import WORDS
from onnx_lab.measure._result import Machine, Result
from onnx_lab.measure._why_int8 import about_int8
from onnx_lab.measure.profile import Profile, profile
from onnx_lab.model import Model
from onnx_lab.runtime._hardware import memory_bandwidth, this_hardware
from onnx_lab.runtime.target import Target
from onnx_lab.task import Feeds

#: Shares of the time below this are not worth a sentence.
_WORTH_SAYING = 0.04
#: A run of which the kernels take less than this waits for something else.
_BUSY = 0.75
_PRODUCTS = ("float", "int8", "nbits")
#: Weights that come slower than this are on no machine bound by its memory, in bytes per second.
_SLOWEST_MEMORY = 3e9
#: Between these shares of what the memory gives they are; above them they come from a cache.
_BOUND = (0.6, 1.3)


@dataclass(frozen=True, repr=False)
class Why(Result):
    """What makes `model` faster or slower than `other`.

    Attributes
    ----------
    sentences : tuple of str
        The reasons, the weightiest first.
    own, others : Profile
        What they rest on.
    """

    model: str
    other: str
    sentences: tuple[str, ...]
    own: Profile
    others: Profile
    machine: Machine

    @property
    def ratio(self) -> float:
        """Speed relative to the other, under the profiler; `onnx_lab.bench` gives the honest figure."""
        return self.others.seconds / self.own.seconds

    def _records(self) -> list[dict[str, Any]]:
        kinds = sorted({*self.own.kinds, *self.others.kinds}, key=lambda k: -self.others.kinds.get(k, 0.0))
        return [
            {
                "kind": k,
                self.other: self.others.kinds.get(k, 0.0) * self.others.kernels,
                self.model: self.own.kinds.get(k, 0.0) * self.own.kernels,
            }
            for k in kinds
        ]

    def _card(self) -> Card:
        rows = []
        for r in self._records():
            was, now = r[self.other], r[self.model]
            rows.append((WORDS[r["kind"]], milliseconds(was) if was else "", milliseconds(now) if now else ""))
        table = Table(("time in", self.other, self.model), tuple(rows))
        title = f"why {self.model} is {_speed(self.ratio)} {self.other}"
        facts = [("shape", self.own.shape), ("on", self.own.target), ("cpu", self.machine.cpu)]
        return Card(title, facts, [table], self.sentences)


def why(
    m: Model,
    against: Model,
    feeds: Feeds | None = None,
    *,
    batch: int = 1,
    seq: int = 128,
    target: str | Target | None = None,
    runs: int = 20,
) -> Why:
    """Say what makes `m` faster or slower than `against`.

    Parameters
    ----------
    m, against : Model
        Two forms of one network.
    feeds, batch, seq, target, runs
        As in `onnx_lab.profile`.

    Returns
    -------
    Why
        ``.sentences``, and the two profiles.

    Raises
    ------
    BadInput
        When both are the same file.
    ProviderError
        When the target does not run here.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> m = lab.samples.tiny()
    >>> lab.why(lab.quantize(m), m, runs=3).own.kinds.keys() >= {"int8"}
    True
    """
    check_model(m, against)
    if m == against:
        raise BadInput(f"{m.name} against itself", accepted="two files", do="lab.why(int8, fp32)")
    given = feeds if feeds is not None else model_feeds(against, batch=batch, seq=seq)
    others, own = (profile(x, given, target=target, runs=runs) for x in (against, m))
    return Why(m.name, against.name, tuple(reasons(own, others, m)), own, others, own.machine)


def reasons(own: Profile, others: Profile, m: Model | None = None) -> list[str]:
    """The sentences, from two profiles on the same feeds; `m` is the file of the first, to look things up in."""
    said = [_main_work(own), *_exchanged(own, others), *_added(own, others), _from_memory(own)]
    if "int8" not in others.kinds:
        said += about_int8(own, m)
    if own.busy < _BUSY:
        said.append(f"{1 - own.busy:.0%} of a run is spent between kernels: many small nodes, or threads that wait")
    return [s for s in said if s]


def _speed(ratio: float) -> str:
    return (
        f"{ratio:.1f} times as fast as"
        if ratio >= 1.05
        else f"slower ({ratio:.2f}) than"
        if ratio < 0.95
        else "no faster than"
    )


def _main_work(own: Profile) -> str:
    kind, share = next(iter(own.kinds.items()), ("other", 1.0))
    rate = own.rate(kind)
    reached = f", {rate / 1e9:.3g} GMAC/s" if rate else ""
    return f"{share:.0%} of the kernels' time is {WORDS[kind]}{reached}"


def _exchanged(own: Profile, others: Profile) -> list[str]:
    """What became of the other's products."""
    said = []
    was = others.rate("float")
    for kind in _PRODUCTS[1:]:
        rate = own.rate(kind)
        if rate and was:
            sentence = f"{WORDS[kind]} run at {rate / was:.1f} times the rate of {others.model}'s float products"
            said.append(sentence + _because(kind, rate / was))
    left = own.kinds.get("float", 0.0)
    if said and left > _WORTH_SAYING:
        nodes = sum(n.kind == "float" for n in own.nodes)
        macs = sum(n.macs for n in own.nodes if n.kind == "float") / (sum(n.macs for n in own.nodes) or 1)
        said.append(
            f"{left:.0%} of the time is still float products ({nodes} nodes, {macs:.0%} of the multiply-accumulates)"
        )
    return said


def _from_memory(own: Profile) -> str:
    """Whether weights come as fast as the memory gives them: then arithmetic is not what takes the time."""
    if own.weight_rate < _SLOWEST_MEMORY:
        return ""
    limit = memory_bandwidth()
    if not _BOUND[0] <= own.weight_rate / limit <= _BOUND[1]:
        return ""
    return (
        f"bound by memory: products read their weights at {own.weight_rate / 1e9:.1f} GB/s, and a plain read on this "
        f"machine reaches {limit / 1e9:.1f}: fewer bytes pay here, or more samples at once"
    )


def _because(kind: str, gain: float) -> str:
    has = this_hardware().features
    if kind == "nbits":
        return ": weights are unpacked at each run, which saves bytes, not work"
    if has.get("AMX_INT8"):
        return " (this CPU has AMX)"
    if has.get("VNNI"):
        return " (this CPU has VNNI)"
    return ": this CPU has no VNNI, an 8-bit product takes several instructions" if gain < 3 else ""


def _added(own: Profile, others: Profile) -> list[str]:
    """Work that the other does not have, or has less of."""
    said = []
    for kind in ("scaling", "cast", "glue", "normalization"):
        now, before = own.kinds.get(kind, 0.0) * own.kernels, others.kinds.get(kind, 0.0) * others.kernels
        if now - before > _WORTH_SAYING * own.kernels:
            nodes, had = (sum(n.kind == kind for n in p.nodes) for p in (own, others))
            said.append(
                f"{WORDS[kind]}: {now / own.kernels:.0%} of the time in {nodes} nodes, where {others.model} has {had}"
            )
    elsewhere = {n.provider for n in own.nodes} - {n.provider for n in others.nodes}
    if elsewhere and len({n.provider for n in own.nodes}) > 1:
        said.append(f"nodes run on {', '.join(sorted({n.provider for n in own.nodes}))}: data moves between them")
    return said
