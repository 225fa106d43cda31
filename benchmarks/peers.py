"""The lab, by `lab.best` alone, beside what the rivals make of the same model: one run, in turns, ratios to PyTorch.

    python benchmarks/peers.py [--model bert|bert-padded|vgg16|clip] [--rivals ort,olive,...] [--budget 400]

Each rival works in an environment of its own, which is made the first time (some GB of packages), and follows its own
pages; the wall time and the peak memory of making its files are taken. Then everything is timed together as `lab.bench`
times: fresh processes, equal threads, shuffled rounds, ratios inside rounds. Answers are compared with PyTorch's.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import peer_venvs
from peer_making import Making, Memory, make
from peer_sources import SOURCES, Source, fed

import onnx_lab as lab
from onnx_lab._turns import measuring
from onnx_lab.card import Table
from onnx_lab.errors import OnnxLabError
from onnx_lab.measure._benchmark import log_ratios
from onnx_lab.measure._entrants import contestants
from onnx_lab.measure._result import this_machine
from onnx_lab.measure._rounds import Rounds
from onnx_lab.measure._stats import Interval, midmean, ratio_interval
from onnx_lab.measure._taken import Entrant, Samples
from onnx_lab.model import Model
from onnx_lab.runtime.client import Block
from onnx_lab.runtime.target import allowed_cpus
from onnx_lab.task import Feeds

HERE = Path(__file__).parent
#: Rival -> the environment it lives in, and its script.
RIVALS = {
    "torch": ("own", "torch_itself"),
    "ort": ("own", "ort_tools"),
    "optimum": ("optimum", "optimum_cli"),
    "olive": ("olive", "olive_run"),
    "openvino": ("openvino", "openvino_nncf"),
}
#: What still counts as the same answers: near-lossless, and 8 bits.
COSINE = {"exact": 0.9995, "int8": 0.99}


@dataclass
class Contestant:
    """One file of somebody's, and how to open it."""

    who: str
    name: str
    kind: str
    entrant: Callable[[tuple[Feeds, ...]], Entrant]
    answer: Callable[[int], np.ndarray]
    megabytes: float
    cosine: float = 0.0
    ratios: list[Interval] = field(default_factory=list)


class Loop:
    """A rival's process, in its own environment, with the interface of a worker."""

    def __init__(self, python: Path, engine: str, file: str, feeds: tuple[Feeds, ...], folder: Path) -> None:
        self.info: dict[str, Any] = {"load_seconds": 0.0}
        self.peak_rss_bytes = 0
        self._feeds = feeds
        command = [python, HERE / "peer_loop.py", engine, file, folder, str(allowed_cpus())]
        self._process = subprocess.Popen(
            [str(c) for c in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._line()

    def block(self, feeds: Feeds, **options: Any) -> Block:
        """One block at the shape of these feeds, by the rival's own clock."""
        shape = next(i for i, f in enumerate(self._feeds) if f is feeds)
        options.pop("extra_share", None)
        return Block(tuple(self._ask({"shape": shape, **options})))

    def answers(self, shape: int) -> np.ndarray:
        """The first output."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "answers.npy"
            self._ask({"shape": shape, "answers": str(file)})
            return np.asarray(np.load(file))

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _ask(self, asked: dict[str, Any]) -> list[float]:
        assert self._process.stdin is not None
        print(json.dumps(asked), file=self._process.stdin, flush=True)
        return list(json.loads(self._line()))

    def _line(self) -> str:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        if not (line := self._process.stdout.readline()):
            raise RuntimeError(self._process.stderr.read().strip()[-800:])
        return line


def rivals(source: Source, wanted: Sequence[str], folder: Path) -> Iterator[tuple[Making, list[Contestant]]]:
    """Let each make its files in its own way, and say what that cost."""
    for who in wanted:
        venv, step = RIVALS[who]
        python, out = peer_venvs.python(venv), folder / who
        print(f"{who} makes its files", flush=True)
        shutil.rmtree(out, ignore_errors=True)  # nothing that was made, or cached, before
        making, told = make(who, [python, HERE / "peer_steps" / f"{step}.py", source.folder, out])
        yield making, [_of_rival(who, python, source, *line.values()) for line in told]


def _of_rival(who: str, python: Path, source: Source, name: str, file: str, engine: str, kind: str) -> Contestant:
    def opened(feeds: tuple[Feeds, ...]) -> Loop:
        return Loop(python, engine, file, feeds, source.folder / "feeds")

    def answer(shape: int) -> np.ndarray:
        loop = opened(source.feeds)
        try:
            return loop.answers(shape)
        finally:
            loop.close()

    size = sum(p.stat().st_size for p in (Path(file), *Path(file).parent.glob(Path(file).stem + ".*data"))) / 1e6
    if file.endswith(".xml"):
        size = Path(file).with_suffix(".bin").stat().st_size / 1e6
    return Contestant(who, name, kind, lambda feeds: Entrant(name, engine, lambda: opened(feeds), feeds), answer, size)


def ours(source: Source, budget_s: float) -> tuple[Making, list[Contestant]]:
    """What `lab.best` takes at each shape, nothing picked by hand: its best, and its best in float arithmetic."""
    start = time.monotonic()
    m = lab.export(source.net, source.example) if source.example is not None else lab.export(source.net)
    taken: dict[str, tuple[Model, Any, str]] = {}
    with Memory(os.getpid()) as memory:
        for shape in source.shapes:
            options = {**shape, **source.facts}
            ranking = lab.best(m, [fed(m, f) for f in source.calibration], budget_s=budget_s, explain=False, **options)
            fit = [r for r in ranking.rows if r.qualifies]
            for kind in COSINE:
                row = next((r for r in fit if (kind == "int8") == _is_int8(ranking.models[r.name][0])), None)
                if row:
                    taken.setdefault(row.name, (*ranking.models[row.name], kind))
    found = [_of_lab(source, *one) for one in taken.values()]
    return Making("onnx_lab, measuring included", time.monotonic() - start, memory.bytes), found


def _is_int8(m: Model) -> bool:
    return sum(m.header.weights.get(w, 0) for w in ("int8", "uint8")) > m.header.weights.get("float32", 0)


def _of_lab(source: Source, m: Model, target: Any, kind: str) -> Contestant:
    name = f"onnx_lab: {m.name} on {target}"

    def entrant(feeds: tuple[Feeds, ...]) -> Entrant:
        own = tuple(fed(m, f) for f in feeds)
        return contestants({name: (m, target)}, ["cpu"])[0].entrant(own, allowed_cpus())

    def answer(shape: int) -> np.ndarray:
        return next(iter(lab.infer(m, fed(m, source.feeds[shape]), target=target).outputs.values()))

    return Contestant("onnx_lab", name, kind, entrant, answer, m.size_bytes / 1e6)


def entered(source: Source, found: list[Contestant], base: Entrant) -> list[Contestant]:
    """Those whose answers can be had and that are no slower than half of PyTorch's speed at the smallest shape.

    One that is slower would spend the time of all the others; it is named instead.
    """
    truth, least = source.answers(0), seconds_alone(base)
    kept = []
    for c in found:
        if c.kind not in COSINE:  # made for its size
            continue
        try:
            c.cosine = cosine(truth, c.answer(0))
            speed = least / seconds_alone(c.entrant(source.feeds))
        except (RuntimeError, OnnxLabError) as e:
            print(f"not raced: {c.name} does not run: {e}")
            continue
        if speed < 0.5:
            print(f"not raced: {c.name}, about × {speed:.2f}")
        else:
            kept.append(c)
    return kept


def seconds_alone(e: Entrant) -> float:
    """Middle of a few runs at the smallest shape, alone and after a warm-up."""
    live = e.open()
    try:
        live.block(e.feeds[0], min_seconds=0.5, min_runs=5, max_runs=200)
        return midmean(live.block(e.feeds[0], min_seconds=0.5, min_runs=5, max_runs=200).seconds)
    finally:
        live.close()


def race(source: Source, found: list[Contestant], base: Entrant, budget_s: float) -> list[float]:
    """Time all of them in turns; each gets its ratios, and the reference's median seconds per shape come back."""
    entrants = [base, *(c.entrant(source.feeds) for c in found)]
    with measuring(lambda seconds, who: print(f"waiting for {who}: {seconds:.0f} s", file=sys.stderr)):
        taken = Rounds(entrants, budget_s=budget_s).run()
    print(f"{taken.generations} generations, {len(taken.samples)} blocks")
    of: dict[tuple[str, int], list[Samples]] = {}
    for s in taken.samples:
        of.setdefault((s.name, s.shape), []).append(s)
    for c, e in zip(found, entrants[1:], strict=True):
        c.ratios = [ratio_interval(log_ratios(of[e.name, i], of["PyTorch", i])) for i in range(len(source.shapes))]
    return [midmean([x for s in of["PyTorch", i] for x in s.seconds]) for i in range(len(source.shapes))]


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """The mean over samples."""
    x, y = (v.reshape(len(v), -1).astype(np.float64) for v in (a, b))
    return float(np.mean((x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)))


def table(source: Source, found: Sequence[Contestant]) -> Table:
    """All of them, best first within their kind."""
    header = ("", "kind", "MB", "cosine", *map(str, source.labels))
    rows = tuple(
        (c.name, c.kind, f"{c.megabytes:.1f}", f"{c.cosine:.5f}", *(_ratio(r) for r in c.ratios))
        for c in sorted(found, key=lambda c: (c.kind, -c.ratios[0].mid))
    )
    return Table(header, rows, f"{source.name}: times faster than PyTorch eager float32 [99 %]")


def verdicts(source: Source, found: Sequence[Contestant]) -> Table:
    """Cell by cell: the lab's best next to the rivals' best of those whose answers hold."""
    rows = []
    for kind, least in COSINE.items():
        fit = [c for c in found if c.cosine >= least and (c.kind == kind or kind == "int8")]
        for i, label in enumerate(source.labels):
            lab_, others = ([c for c in fit if (c.who == "onnx_lab") == own] for own in (True, False))
            if lab_ and others:
                a, b = (max(g, key=lambda c: c.ratios[i].mid) for g in (lab_, others))
                held = "yes" if a.ratios[i].high >= b.ratios[i].low else "NO"
                rows.append((kind, label, _ratio(a.ratios[i]), _ratio(b.ratios[i]), b.name, held))
    return Table(("kind", "shape", "onnx_lab", "best rival", "which", "at least as fast"), tuple(rows), "cell by cell")


def _ratio(r: Interval) -> str:
    return f"× {r.mid:.2f} [{r.low:.2f}, {r.high:.2f}]"


def main() -> int:
    """Make everything, time everything, print the tables, write JSON."""
    options = _options()
    source = SOURCES[options.model](options.out / options.model)
    wanted = [r for r in options.rivals.split(",") if r in source.rivals]
    makings, found = theirs(source, wanted, options.out)
    if options.making:
        return 0
    making, made = ours(source, options.best_budget)
    print(f"{making.who}: {len(made)} files, {making}", flush=True)
    base_entrant = contestants({"PyTorch": source.net}, ["cpu"])[0].entrant(source.feeds, allowed_cpus())
    found = entered(source, [*found, *made], base_entrant)
    base = race(source, found, base_entrant, options.budget)
    print(table(source, found).text(), verdicts(source, found).text(), sep="\n\n")
    times = (f"{x}: {t * 1e3:.1f} ms" for x, t in zip(source.labels, base, strict=True))
    print(f"{this_machine().cpu}; PyTorch: {', '.join(times)}")
    value = {"makings": [asdict(m) for m in (*makings, making)], "base_s": base, "rows": [_record(c) for c in found]}
    (options.out / f"{options.model}.json").write_text(json.dumps(value, indent=1))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=list(SOURCES), default="bert")
    parser.add_argument("--rivals", default=",".join(RIVALS), help="comma separated (default: all)")
    parser.add_argument("--budget", type=float, default=400.0, help="seconds of timing (default 400)")
    parser.add_argument("--best-budget", type=float, default=45.0, help="seconds lab.best measures at each shape")
    parser.add_argument("--making", action="store_true", help="only make the files, and say what that cost")
    parser.add_argument("--out", type=Path, default=peer_venvs.HOME / "files", help="where sources and files go")
    return parser.parse_args()


def theirs(source: Source, wanted: Sequence[str], out: Path) -> tuple[list[Making], list[Contestant]]:
    """All rivals' files; where Olive is among them, the lab makes the same set, to compare what that costs."""
    makings: list[Making] = []
    found: list[Contestant] = []
    for making, made in rivals(source, wanted, out / source.folder.name):
        makings.append(making)
        found += made
        print(f"{making.who}: {len(made)} files, {making}", flush=True)
    if "olive" in wanted:
        shutil.rmtree(out / "lab", ignore_errors=True)
        command = [sys.executable, HERE / "peer_steps" / "lab_itself.py", source.folder, out / "lab"]
        same, _ = make("onnx_lab, the files that Olive makes", command)
        print(f"{same.who}: {same}", flush=True)
        makings.append(same)
    return makings, found


def _record(c: Contestant) -> dict[str, Any]:
    ratios = [[r.low, r.mid, r.high] for r in c.ratios]
    return {"who": c.who, "name": c.name, "kind": c.kind, "mb": c.megabytes, "cosine": c.cosine, "ratios": ratios}


if __name__ == "__main__":
    sys.exit(main())
