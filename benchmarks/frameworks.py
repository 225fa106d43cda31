"""Which architectures walk the whole road: export, parity, optimize, infer. Makes docs/frameworks.md.

    python benchmarks/frameworks.py [--out docs/frameworks.md] [--only TEXT]

Every row is run. Where a step fails, the table says so with the lab's own message; the steps after it are not tried.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import warnings
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from architectures import Architecture, architectures

import onnx_lab as lab
from onnx_lab.feeds import model_feeds

STEPS = ("export", "parity", "optimize", "infer")
#: As the optimized file is compared with the exported one.
RTOL, ATOL = 1e-3, 1e-4
_SEQ = 9
_TOOLS = "torch transformers timm torchvision keras scikit-learn skl2onnx paddlepaddle paddle2onnx onnx".split()
_REASON = 150
#: Processes side by side: exporting keeps one core busy.
AT_ONCE = 2


@dataclass(frozen=True)
class Row:
    """What became of one architecture; `steps` holds those that went well, in order."""

    family: str
    name: str
    task: str
    steps: tuple[str, ...] = ()
    difference: float | None = None
    nodes: tuple[int, int] | None = None
    blocks: tuple[int, int] | None = None
    reason: str = ""

    @property
    def good(self) -> bool:
        """Whether every step went well."""
        return self.steps == STEPS


def main() -> int:
    """Run all, print each row as it comes, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the page to this file")
    parser.add_argument("--only", default="", help="rows whose family or name holds this text")
    parser.add_argument("--family", help=argparse.SUPPRESS)  # what `run` asks of its child processes
    options = parser.parse_args()
    if options.family:
        for row in _rows_of(options.family, options.only):
            print(json.dumps(asdict(row)), flush=True)
        return 0
    rows = []
    for row in run(options.only):
        rows.append(row)
        print(line(row), flush=True)
    if options.out:
        options.out.write_text(page(rows))
    print(f"{sum(r.good for r in rows)} of {len(rows)} walk the whole road")
    return 0


def run(only: str = "") -> Iterable[Row]:
    """Each architecture's row, in order; a process for each framework, some abort in another's company."""
    families = dict.fromkeys(a.family for a in architectures())
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for rows in pool.map(partial(_in_a_process, only), families):
            yield from rows


def _in_a_process(only: str, family: str) -> list[Row]:
    command = [sys.executable, __file__, "--family", family, "--only", only]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise RuntimeError(f"{family}: its process ended with {done.returncode}")
    values = [json.loads(text) for text in done.stdout.splitlines() if text.startswith("{")]
    return [Row(**{k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}) for value in values]


def _rows_of(family: str, only: str) -> Iterable[Row]:
    warnings.simplefilter("ignore")
    for a in architectures():
        if a.family == family and only.lower() in f"{a.family} {a.name}".lower():
            started = time.monotonic()
            row = walk(a)
            print(f"{a.family} {a.name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
            yield row


def walk(a: Architecture) -> Row:
    """Take one architecture down the road, as far as it goes."""
    row = Row(a.family, a.name, a.task)
    try:
        m = lab.export(a.build(), example=a.example() if a.example else None)
        row = replace(row, steps=("export", "parity"), difference=float(m.lineage[-1].notes["parity"]["largest"]))
        fast = lab.optimize(m)
        found = fast.lineage[-1].notes["attention_blocks"]
        row = replace(row, nodes=(m.header.nodes, fast.header.nodes), blocks=(found["fused"], found["found"]))
        row = replace(row, reason=_why_open(fast))
        feeds = model_feeds(m, batch=2, seq=_SEQ)
        if not (same := lab.compare(m, fast, feeds, rtol=RTOL, atol=ATOL)):
            return replace(row, reason=f"the optimized file answers otherwise: {same.outputs[0]}"[:_REASON])
        row = replace(row, steps=(*row.steps, "optimize"))
        outputs = lab.infer(fast, feeds).outputs
        assert all(np.isfinite(v).all() for v in outputs.values() if v.dtype.kind == "f")
        return replace(row, steps=STEPS)
    except lab.errors.ParityError as e:
        return replace(row, steps=("export",), reason=_short(e))
    except Exception as e:  # whatever it is, it is a row: an error that is not the lab's own shows as such
        return replace(row, reason=_short(e))


def line(row: Row) -> str:
    """One line of the table."""
    steps = [("yes" if s in row.steps else "no") if _tried(row, s) else "-" for s in STEPS]
    difference = "-" if row.difference is None else f"{row.difference:.0e}"
    nodes = "-" if row.nodes is None else f"{row.nodes[0]} → {row.nodes[1]}"
    blocks = f"{row.blocks[0]} of {row.blocks[1]}" if row.blocks and row.blocks[1] else "-"
    cells = (row.family, row.name, row.task, *steps, difference, nodes, blocks, row.reason.replace("|", "/"))
    return "| " + " | ".join(cells) + " |"


def page(rows: Sequence[Row]) -> str:
    """The whole page."""
    header = ("framework", "architecture", "task", *STEPS, "difference", "nodes", "attention fused", "remark")
    versions = lab.workspace.versions(_TOOLS)
    lines = [
        "# Which architectures walk the whole road",
        "",
        f"{sum(r.good for r in rows)} of {len(rows)} real architectures, built from small configs with random weights, "
        "are exported, give the source's answers at sizes that the export has not seen, are optimized for the CPU "
        "provider with the answers kept, and answer there. Made by `python benchmarks/frameworks.py --out "
        "docs/frameworks.md`, which runs every row; `tests/test_frameworks.py` holds this page to a run.",
        "",
        "**parity**: largest difference at most 1e-4, of the largest value where that is above 1. **nodes**: as "
        "exported, and optimized. **attention fused**: blocks that are one node, of those found.",
        "",
        "| " + " | ".join(header) + " |",
        "| " + " | ".join("---" for _ in header) + " |",
        *map(line, rows),
        "",
        "With " + ", ".join(f"{k} {v}" for k, v in versions.items()) + ".",
    ]
    return "\n".join(lines) + "\n"


def _tried(row: Row, step: str) -> bool:
    """Steps after the first that failed were not tried."""
    return STEPS.index(step) <= len(row.steps)


def _why_open(fast: lab.Model) -> str:
    unfused = fast.lineage[-1].notes.get("unfused", [])
    return f"not fused: {unfused[0]['reason']}"[:_REASON] if unfused else ""


def _short(error: Exception) -> str:
    text = f"{type(error).__name__}: {' '.join(str(getattr(error, 'came', error)).split())}"
    return text if len(text) <= _REASON else text[: _REASON - 1] + "…"


if __name__ == "__main__":
    sys.exit(main())
