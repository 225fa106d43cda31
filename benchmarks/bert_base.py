"""BERT-base, from export to int8: what becomes of its size, its answers and its speed, measured in one run.

    python benchmarks/bert_base.py [--budget 240] [--json bert_base.json]

A BERT-base classifier with random weights (``BertConfig()``, seed 0) is exported, optimized, turned to FP16 and to
dynamic int8, saved offline-optimized, and raced against PyTorch eager at batch 1 with 128 and 512 tokens. What was
asked stands beside what was measured. Random weights serve for size and speed; accuracy on real weights is measured
elsewhere, so int8 never counts as near-lossless here however close it comes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from claims import Claim, claims_table

import onnx_lab as lab
from onnx_lab.card import Table
from onnx_lab.errors import OnnxLabError
from onnx_lab.measure.bench import Benchmark
from onnx_lab.model import Model
from onnx_lab.runtime.client import Worker

NEAR_LOSSLESS = 0.9995
SHAPES = (128, 512)


def main() -> int:
    """Print the tables; return 1 when something that runs here misses what was asked."""
    options = _options()
    net, m = _exported(options.layers)
    files = _variants(m)
    feeds = list(_feeds(4))
    cosines = {name: _cosine(net, v, feeds) for name, v in files.items()}
    claims = list(_claims_on_files(net, m, files, options.layers))
    print(_file_table(m, files, cosines).text(), flush=True)
    raced = _race(net, files, options.budget)
    print(raced, flush=True)
    claims += _claims_on_speed(raced, cosines)
    print(claims_table("BERT-base: asked and measured", claims))
    if options.json:
        value = {"claims": [asdict(c) for c in claims], "cosine": cosines, "benchmark": json.loads(raced.to_json())}
        options.json.write_text(json.dumps(value, indent=1))
    return int(any(c.met is False for c in claims))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", type=float, default=240.0, help="seconds of timing (default 240)")
    parser.add_argument("--layers", type=int, default=12, help="layers of the model (default 12; fewer for a try)")
    parser.add_argument("--json", type=Path, help="write everything, raw samples included, to this file")
    options: argparse.Namespace = parser.parse_args()
    return options


def _exported(layers: int) -> tuple[Any, Model]:
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    net = BertForSequenceClassification(BertConfig(num_hidden_layers=layers, num_labels=4)).eval()
    return net, lab.export(net, name="fp32")


def _variants(m: Model) -> dict[str, Model]:
    fast = lab.optimize(m, name="fp32-optimized")
    small = lab.quantize(fast, name="int8-optimized")
    return {
        "fp32": m,
        "fp32-optimized": fast,
        "fp16-optimized": lab.fp16(fast, name="fp16-optimized"),
        "int8": lab.quantize(m, name="int8"),
        "int8-optimized": small,
        "int8-offline": lab.optimize(small, offline=True, name="int8-offline"),
        "for-openvino": lab.optimize(m, target="openvino", name="for-openvino"),
    }


def _feeds(batches: int) -> Iterator[dict[str, np.ndarray]]:
    """Random texts of 64 tokens; in each batch one is padded to half."""
    rng = np.random.default_rng(0)
    for _ in range(batches):
        ids = rng.integers(1000, 30_000, (4, 64))
        mask = np.ones_like(ids)
        mask[1, 32:] = 0
        yield {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}


def _cosine(net: Any, m: Model, feeds: list[dict[str, np.ndarray]]) -> float:
    return float(lab.compare(net, m, feeds).outputs[0].cosine_mean)


def _claims_on_files(net: Any, m: Model, files: dict[str, Model], layers: int) -> Iterator[Claim]:
    largest = float(lab.compare(net, m, list(_feeds(2))).largest)
    yield Claim("export parity", "under 1e-4", f"{largest:.1e}", largest < 1e-4)
    fused = files["fp32-optimized"].lineage[-1].notes["attention_blocks"]["fused"]
    yield Claim("attention blocks fused", f"{layers} of {layers}", f"{fused} of {layers}", fused == layers)
    for name, limit in (("fp16-optimized", 0.51), ("int8-optimized", 0.40)):
        share = files[name].size_bytes / m.size_bytes
        yield Claim(f"size of {name}", f"at most {limit} of fp32", f"{share:.3f}", share <= limit)
    seconds = files["int8-offline"].lineage[-1].notes["load_seconds"]
    saved = f"{seconds['before'] * 1e3:.0f} → {seconds['after'] * 1e3:.0f} ms"
    yield Claim("load time of int8, saved offline", "measured", saved, True)


def _file_table(m: Model, files: dict[str, Model], cosines: dict[str, float]) -> Table:
    def row(name: str, v: Model) -> tuple[str, ...]:
        share = v.size_bytes / m.size_bytes
        return name, f"{v.size_bytes / 1e6:.1f} MB", f"{share:.2f}", str(v.header.nodes), f"{cosines[name]:.5f}"

    header = ("file", "size", "of fp32", "nodes", "cosine to PyTorch")
    return Table(header, tuple(row(*f) for f in files.items()), "files (random weights)")


def _race(net: Any, files: dict[str, Model], budget_s: float) -> Benchmark:
    contestants: list[Any] = [net, (net, "bfloat16")]
    contestants += [files[n] for n in ("fp32-optimized", "int8-optimized")]
    if _runs(files["for-openvino"], "openvino"):
        contestants.append((files["for-openvino"], "openvino"))
    return lab.bench(contestants, seq=SHAPES, budget_s=budget_s)


def _runs(m: Model, target: str) -> bool:
    try:
        Worker.for_model(m, target).close()
    except OnnxLabError as e:
        print(f"{target} does not run here: {e.came}", flush=True)
        return False
    return True


def _claims_on_speed(raced: Benchmark, cosines: dict[str, float]) -> Iterator[Claim]:
    rows = {(r.name, r.target, r.seq): r for r in raced.rows}
    exact = [
        r
        for r in raced.rows
        if r.seq == SHAPES[0] and cosines.get(r.name, 0.0) >= NEAR_LOSSLESS and not r.name.startswith("int8")
    ]
    best = max(exact, key=lambda r: r.ratio)
    needs_openvino = not any(r.target.startswith("openvino") for r in exact)
    met = best.ratio >= 4.2 or (None if needs_openvino else False)
    yield Claim("best near-lossless, (1, 128)", "× 4.2", f"{_said(best)} ({best.name} on {best.target})", met)
    for seq, wanted in zip(SHAPES, (3.8, 2.7), strict=True):
        row = rows.get(("int8-optimized", "cpu", seq))
        measured, met = (_said(row), row.ratio >= wanted) if row else ("no time was left: a larger --budget", False)
        yield Claim(f"int8 on the CPU provider, (1, {seq})", f"× {wanted}", measured, met)


def _said(row: Any) -> str:
    return f"× {row.ratio:.2f} [{row.ratio_low:.2f}, {row.ratio_high:.2f}]"


if __name__ == "__main__":
    sys.exit(main())
