"""What ONNX Runtime's profiler wrote, as one line for each node. Runs in the child only."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

_KERNEL = "_kernel_time"
_RUN = "model_run"


def read_profile(file: Path, warmup: int) -> dict[str, Any]:
    """Median seconds of each node and of the whole run, and the share of a run that its kernels take.

    The first `warmup` runs do not count. The share is taken run by run: what disturbs one run disturbs both.

    Source of the format: onnxruntime's ``core/common/profiler.cc``; durations are whole microseconds.
    """
    events = json.loads(file.read_text())
    runs = [e["dur"] for e in events if e["name"] == _RUN]
    found, times = _kernels(events)
    sums = [sum(ran) for ran in zip(*(t for t in times.values() if len(t) == len(runs)), strict=False)]
    busy = [kernels / run for kernels, run in zip(sums[warmup:], runs[warmup:], strict=False) if run]
    return {
        "seconds": _median(runs[warmup:]),
        "runs": len(runs[warmup:]),
        "busy": statistics.median(busy) if busy else 1.0,
        "nodes": [{**found[k], "seconds": _median(t[warmup:] or t)} for k, t in times.items()],
    }


_Key = tuple[str, str]


def _kernels(events: Iterable[Mapping[str, Any]]) -> tuple[dict[_Key, dict[str, Any]], dict[_Key, list[int]]]:
    """What each node is, and the microseconds of each of its runs."""
    found: dict[_Key, dict[str, Any]] = {}
    times: dict[_Key, list[int]] = {}
    for e in events:
        if e.get("cat") != "Node" or not e["name"].endswith(_KERNEL):
            continue
        args = e["args"]
        key = e["name"].removesuffix(_KERNEL), str(args.get("node_index", ""))
        times.setdefault(key, []).append(e["dur"])
        found[key] = {
            "name": key[0],
            "op": args.get("op_name", ""),
            "provider": args.get("provider", ""),
            "inputs": _types(args.get("input_type_shape", ())),
            "outputs": _types(args.get("output_type_shape", ())),
        }
    return found, times


def _types(given: Iterable[Mapping[str, list[int]]]) -> list[list[Any]]:
    return [[dtype, shape] for one in given for dtype, shape in one.items()]


def _median(microseconds: list[int]) -> float:
    return statistics.median(microseconds) / 1e6 if microseconds else 0.0
