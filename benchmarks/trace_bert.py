"""Tensor by tensor through a BERT-base: float32 against int8, under a cap of memory and of time.

    python benchmarks/trace_bert.py [--json trace_bert.json] [--layers 12]

A BERT-base classifier with random weights (438 MB) and its dynamic int8 file are traced on a batch of 4 texts with 128
tokens. Memory is that of the tracing process and of all below it, sampled from the kernel's own account: `PSS` counts a
page that two processes share once, and a mapped file counts as far as it is in memory. In a second run one weight
is spoiled, and has to be named first.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import psutil
from claims import Claim, claims_table

import onnx_lab as lab
from onnx_lab import workspace
from onnx_lab._metadata import module_of
from onnx_lab.model import Model

CAP_MB, CAP_SECONDS = 1500, 60
SPOILED = "bert.encoder.layer.{}.intermediate.dense"


def main() -> int:
    """Make the files, trace them in a process of its own, print asked and measured; 1 when something was missed."""
    options = _options()
    if options.trace:
        print(json.dumps(_traced(*options.trace)))
        return 0
    files = _files(options.layers)
    told = _measured(files[:2])
    claims = _claims(told)
    told = _measured(files[::2])
    module = SPOILED.format(options.layers // 2)
    named = f"{told['first']} in {told['module']}"
    claims.append(Claim("spoiled weight: named first", module, named, told["module"] == module))
    print(claims_table("tracing a BERT-base", claims))
    if options.json:
        options.json.write_text(json.dumps({"claims": [asdict(c) for c in claims]}, indent=1))
    return int(any(c.met is False for c in claims))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=12, help="layers of the model (default 12; fewer for a try)")
    parser.add_argument("--json", type=Path, help="write the claims to this file")
    parser.add_argument("--trace", nargs=2, type=Path, help=argparse.SUPPRESS)  # the part that is measured
    options: argparse.Namespace = parser.parse_args()
    return options


def _files(layers: int) -> tuple[Model, Model, Model]:
    """The export, its int8 form, and the export with one spoiled weight."""
    import onnx_ir as ir
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    net = BertForSequenceClassification(BertConfig(num_hidden_layers=layers, num_labels=4)).eval()
    m = lab.export(net, name="fp32")
    graph = m.to_ir()
    wanted = SPOILED.format(layers // 2)
    node = next(n for n in graph.graph if n.op_type == "MatMul" and module_of(n) == wanted)
    weight = node.inputs[1]
    values = weight.const_value.numpy().copy()
    values[:, 7] *= 30  # one column of 3072
    weight.const_value = ir.tensor(values, name=weight.name)
    path = workspace.root() / "benchmarks" / "spoiled.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    ir.save(graph, path)
    return m, lab.quantize(m, name="int8"), lab.load(path)


def _traced(a: Path, b: Path) -> dict[str, object]:
    ids = np.random.default_rng(0).integers(1000, 30_000, (4, 128))
    feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    start = time.perf_counter()
    found = lab.trace(lab.load(a), lab.load(b), feeds)
    assert found.first is not None
    return {
        "seconds": time.perf_counter() - start,
        "tensors": len(found.rows),
        "first": found.first.node,
        "module": found.first.module,
    }


def _measured(pair: tuple[Model, ...]) -> dict[str, float | str]:
    """What a fresh process told, and the most memory that it held with its children."""
    command = [sys.executable, __file__, "--trace", *(str(m.path) for m in pair)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    peaks = {"pss": 0, "rss": 0}
    watcher = threading.Thread(target=_watch, args=(psutil.Process(process.pid), peaks))
    watcher.start()
    told, _ = process.communicate()
    watcher.join()
    return {**json.loads(told), **{k: v / 1e6 for k, v in peaks.items()}}


def _watch(parent: psutil.Process, peaks: dict[str, int]) -> None:
    while parent.is_running() and parent.status() != psutil.STATUS_ZOMBIE:
        held = {"pss": 0, "rss": 0}
        for process in [parent, *parent.children(recursive=True)]:
            try:
                memory = process.memory_full_info()
            except (psutil.Error, OSError):
                continue  # it has just ended
            held["pss"] += memory.pss
            held["rss"] += memory.rss
        for k, v in held.items():
            peaks[k] = max(peaks[k], v)
        time.sleep(0.2)  # reading the account costs, too


def _claims(told: dict[str, float | str]) -> list[Claim]:
    pss, rss, seconds = (float(told[k]) for k in ("pss", "rss", "seconds"))
    what = "float32 against int8"
    return [
        Claim(f"{what}: tensors compared", "about 500", str(told["tensors"]), None),
        Claim(f"{what}: peak memory, parent and children", f"under {CAP_MB} MB", f"{pss:.0f} MB", pss < CAP_MB),
        Claim(f"{what}: the same as a sum of RSS", "-", f"{rss:.0f} MB", None),
        Claim(f"{what}: time", f"under {CAP_SECONDS} s", f"{seconds:.0f} s", seconds < CAP_SECONDS),
    ]


if __name__ == "__main__":
    sys.exit(main())
