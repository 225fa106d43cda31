"""Does the benchmark tell the truth? Three trials on this machine, about 20 minutes; leave it alone meanwhile.

    python benchmarks/honesty.py [--json FILE] [--self-budget 14] [--slowed-budget 60] [--quick]

a. A model against itself, 40 times: a false "faster" or "slower" at most twice.
b. A model against a copy slowed by 5 %, 10 runs of at most 60 s: called "slower" in at least 9. The copy runs the very
   same session; after each run its worker keeps one thread busy for 5 % of what that run took, inside the timed span.
   So it is slower by exactly that share, whatever the machine does, which no edit of the model could promise.
c. The lab's own figure for a session against a bare ``InferenceSession.run`` loop in a process that has never heard of
   the lab, taking turns in the same rounds: within 2 %.

The model: two feed-forward blocks of BERT-base on 128 tokens, 10 to 20 ms on two cores.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import onnx_lab as lab
from onnx_lab._turns import measuring
from onnx_lab.card import Table
from onnx_lab.feeds import model_feeds
from onnx_lab.measure._benchmark import log_ratios
from onnx_lab.measure._entrants import contestants
from onnx_lab.measure._rounds import Rounds
from onnx_lab.measure._stats import Interval, Speed, ratio_interval, verdict
from onnx_lab.measure._taken import Entrant
from onnx_lab.model import Model
from onnx_lab.produce import Made, produce
from onnx_lab.runtime.client import Block
from onnx_lab.runtime.target import allowed_cpus
from onnx_lab.task import Feeds

TOKENS, WIDTH, LAYERS = 128, 768, 2

_BARE = """
import json, sys, time
import numpy as np, onnxruntime as ort
path, arrays, threads = sys.argv[1:]
options = ort.SessionOptions()
options.intra_op_num_threads, options.inter_op_num_threads = int(threads), 1
options.log_severity_level = 3
session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
feeds = dict(np.load(arrays))
for line in sys.stdin:
    asked = json.loads(line)
    end = time.perf_counter() + asked["lead_in_seconds"]
    while time.perf_counter() < end:
        session.run(None, feeds)
    taken = []
    end = time.perf_counter() + asked["min_seconds"]
    while time.perf_counter() < end or len(taken) < asked["min_runs"]:
        start = time.perf_counter()
        session.run(None, feeds)
        taken.append(time.perf_counter() - start)
    print(json.dumps(taken), flush=True)
"""


@dataclass(frozen=True)
class Trial:
    """One promise: what was asked, what was measured, whether it is kept."""

    name: str
    asked: str
    measured: str
    kept: bool
    details: dict[str, Any]


class BareLoop:
    """A contestant without the lab: a script around ``InferenceSession.run`` in a process of its own."""

    def __init__(self, model: Model, arrays: Path, threads: int) -> None:
        self.info: dict[str, Any] = {"load_seconds": 0.0}
        self.peak_rss_bytes = 0
        command = [sys.executable, "-c", _BARE, str(model.path), str(arrays), str(threads)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def block(self, feeds: Feeds, **options: Any) -> Block:
        """One block, by the script's own clock. The feeds are those it was started with."""
        del feeds
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked = {"lead_in_seconds": 0.0, "min_seconds": 0.0, "min_runs": 1, **options}
        print(json.dumps(asked), file=self._process.stdin, flush=True)
        return Block(tuple(json.loads(self._process.stdout.readline())))

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def model() -> Model:
    """Two feed-forward blocks of BERT-base, random weights."""
    return produce("honesty", {"layers": LAYERS}, _build, tools=["onnx"], name="blocks", cache_key="bench:honesty")


def against_itself(m: Model, *, times: int = 40, budget_s: float = 14.0) -> Trial:
    """Trial a."""
    said: Counter[str] = Counter()
    ratios = []
    for seed in range(times):
        row = lab.bench({"one": m, "the same": m}, budget_s=budget_s, seed=seed).rows[1]
        said[row.verdict] += 1
        ratios.append(row.ratio)
        _tell(f"a {seed + 1}/{times}: {row.ratio:.3f} [{row.ratio_low:.3f}, {row.ratio_high:.3f}] {row.verdict}")
    false = said[Speed.FASTER] + said[Speed.SLOWER]
    allowed = times * 2 // 40
    words = ", ".join(f"{n} × {v}" for v, n in said.most_common())
    return Trial(
        f"itself, {times} times of {budget_s:.0f} s",
        f"at most {allowed} false verdicts",
        f"{false} false ({words}; ratios {min(ratios):.3f} to {max(ratios):.3f})",
        false <= allowed,
        {"verdicts": dict(said), "ratios": ratios},
    )


def against_slowed(m: Model, *, times: int = 10, budget_s: float = 60.0, share: float = 0.05) -> Trial:
    """Trial b."""
    said: Counter[str] = Counter()
    ratios, longest = [], 0.0
    for seed in range(times):
        one, other = _entrants(m)
        ratio, seconds = _duel(one, replace(other, extra_share=share), budget_s, seed)
        longest = max(longest, seconds)
        said[verdict(ratio)] += 1
        ratios.append(ratio.mid)
        _tell(f"b {seed + 1}/{times}: {ratio.mid:.3f} [{ratio.low:.3f}, {ratio.high:.3f}] {verdict(ratio)}")
    need = -(-times * 9 // 10)
    return Trial(
        f"a copy slowed by {share:.0%}, {times} runs",
        f"slower in at least {need}, each at most {budget_s:.0f} s",
        f"slower in {said[Speed.SLOWER]}, longest {longest:.0f} s, ratios {min(ratios):.3f} to {max(ratios):.3f}",
        said[Speed.SLOWER] >= need and longest <= budget_s * 1.1,
        {"verdicts": dict(said), "ratios": ratios, "longest_s": longest},
    )


def against_bare(m: Model, *, budget_s: float = 60.0) -> Trial:
    """Trial c."""
    with tempfile.TemporaryDirectory() as folder:
        arrays = Path(folder) / "feeds.npz"
        feeds = model_feeds(m)
        np.savez(arrays, **feeds)  # type: ignore[arg-type]
        _, own = _entrants(m)
        bare = Entrant("bare loop", "cpu", lambda: BareLoop(m, arrays, allowed_cpus()), (feeds,))
        ratio, _ = _duel(bare, own, budget_s, seed=0)
    off = abs(ratio.mid - 1)
    return Trial(
        "the lab's figure against a bare loop",
        "within 2 %",
        f"{ratio.mid - 1:+.1%} [{ratio.low - 1:+.1%}, {ratio.high - 1:+.1%}]",
        off <= 0.02,
        {"ratio": ratio.mid, "low": ratio.low, "high": ratio.high},
    )


def _duel(one: Entrant, other: Entrant, budget_s: float, seed: int) -> tuple[Interval, float]:
    """The ratio of two entrants, measured as `lab.bench` does, and the seconds it took."""
    start = time.monotonic()
    with measuring(lambda seconds, who: _tell(f"waiting for {who}: {seconds:.0f} s")):
        taken = Rounds([one, other], budget_s=budget_s, seed=seed).run()
    base, own = ([s for s in taken.samples if s.name == e.name] for e in (one, other))
    return ratio_interval(log_ratios(own, base)), time.monotonic() - start


def _entrants(m: Model) -> tuple[Entrant, Entrant]:
    found = contestants({"one": m, "other": m}, ["cpu"])
    one, other = (c.entrant((model_feeds(m),), allowed_cpus()) for c in found)
    return one, other


def _build() -> Made:
    import onnx_ir as ir
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    nodes, weights, x = [], {}, "x"
    for i in range(LAYERS):
        for name, rows, columns in (("up", WIDTH, 4 * WIDTH), ("down", 4 * WIDTH, WIDTH)):
            weights[f"{name}{i}"] = rng.normal(0, rows**-0.5, (rows, columns)).astype(np.float32)
        weights[f"scale{i}"] = np.ones(WIDTH, np.float32)
        nodes += [
            helper.make_node("MatMul", [x, f"up{i}"], [f"a{i}"]),
            helper.make_node("Gelu", [f"a{i}"], [f"b{i}"]),
            helper.make_node("MatMul", [f"b{i}", f"down{i}"], [f"c{i}"]),
            helper.make_node("Add", [f"c{i}", x], [f"d{i}"]),
            helper.make_node("LayerNormalization", [f"d{i}", f"scale{i}"], [f"e{i}"]),
        ]
        x = f"e{i}"
    shape: list[str | int | None] = ["batch", TOKENS, WIDTH]
    graph = helper.make_graph(
        nodes,
        "blocks",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(w, k) for k, w in weights.items()],
    )
    return Made(ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)))


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    """Run the trials, print the table, write JSON; 1 when a promise is broken."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the trials to this file")
    parser.add_argument("--self-budget", type=float, default=14.0, help="seconds of each run against itself")
    parser.add_argument("--slowed-budget", type=float, default=60.0, help="seconds of each run against the slowed copy")
    parser.add_argument("--quick", action="store_true", help="a few short repetitions: shows that it works, no more")
    args = parser.parse_args()
    m = model()
    if args.quick:
        trials = [
            against_itself(m, times=2, budget_s=6.0),
            against_slowed(m, times=2, budget_s=6.0),
            against_bare(m, budget_s=6.0),
        ]
    else:
        trials = [
            against_itself(m, budget_s=args.self_budget),
            against_slowed(m, budget_s=args.slowed_budget),
            against_bare(m),
        ]
    rows = tuple((t.name, t.asked, t.measured, "kept" if t.kept else "BROKEN") for t in trials)
    print(Table(("trial", "asked", "measured", "promise"), rows).text())
    if args.json:
        args.json.write_text(json.dumps([vars(t) for t in trials], indent=1))
    return 0 if args.quick or all(t.kept for t in trials) else 1


if __name__ == "__main__":
    sys.exit(main())
