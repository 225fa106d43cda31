"""What 8 and 4 bits leave of the answers: a BERT, a VGG16 and a CLIP that were really trained, and a BERT-base's size.

    python benchmarks/precisions.py [--json FILE]

Calibration samples are others than those that are asked. All files are made by the lab's defaults.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path

from claims import Claim, claims_table

import onnx_lab as lab
from onnx_lab.model import Model

_EMBEDDED_TEXTS = 200
_CALIBRATION_BATCHES = 4


def main() -> int:
    """Print the table; return 1 when a claim is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the claims to this file")
    options = parser.parse_args()
    claims = [*_sizes(), *_bert(), *_embeddings(), *_vgg16(), *_clip()]
    print(claims_table("8 and 4 bits: asked and measured", claims))
    if options.json:
        options.json.write_text(json.dumps({"claims": [asdict(c) for c in claims]}, indent=1))
    return int(any(c.met is False for c in claims))


def _sizes() -> Iterator[Claim]:
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    exact = lab.export(BertForSequenceClassification(BertConfig()).eval(), name="bert-base")
    fast = lab.optimize(exact, target="cpu")
    for method, most in (("int4", 0.17), ("dynamic", 0.26)):
        share = lab.quantize(fast, method=method).size_bytes / exact.size_bytes
        yield Claim(f"BERT-base, {method}: file, of float32", f"at most {most}", f"{share:.3f}", share <= most)


def _bert() -> Iterator[Claim]:
    bert = lab.samples.bert()
    base = lab.accuracy(bert.model, bert.task)
    fast = lab.optimize(lab.export(bert.model, name="fp32"), target="cpu", name="optimized")
    for method, points in (("int4", 2.0), ("dynamic", 1.0), ("static", 1.0)):
        data = {"data": bert.calibration[:_CALIBRATION_BATCHES]} if method == "static" else {}
        found = lab.accuracy(lab.quantize(fast, method=method, **data), bert.task)
        lost = 100 * (base.value - found.value)
        name = f"BERT sample, {method}: accuracy lost of {base.value:.1%}"
        yield Claim(name, f"at most {points:g} points", f"{lost:.2f} points", lost <= points)


def _embeddings() -> Iterator[Claim]:
    bert = lab.samples.bert()
    exact = lab.export(bert.embedder, bert.calibration[0], name="embedder")
    texts = bert.batches(bert.texts[:_EMBEDDED_TEXTS])
    fast = lab.optimize(exact, target="cpu")
    for method, least in (("dynamic", 0.99), ("static", 0.995)):
        data = {"data": bert.calibration[:_CALIBRATION_BATCHES]} if method == "static" else {}
        cosine = lab.compare(exact, lab.quantize(fast, method=method, **data), texts).outputs[0].cosine_mean
        yield Claim(f"MiniLM embeddings, {method} int8: cosine", f"at least {least}", f"{cosine:.4f}", cosine >= least)


def _vgg16() -> Iterator[Claim]:
    net = lab.samples.vgg16()
    exact = lab.export(net.model, name="vgg16")
    int8 = lab.quantize(lab.optimize(exact, target="cpu"), method="static", data=net.calibration)
    yield from _unchanged("VGG16 sample", exact, int8, net.task, 0.99)


def _clip() -> Iterator[Claim]:
    net = lab.samples.clip()
    exact = lab.export(net.model, name="clip").zero_shot(net.prompts, net.classes, tokenizer=net.tokenizer)
    fast = lab.optimize(exact, target="cpu")
    for method in ("dynamic", "static"):
        data = {"data": list(islice(net.calibration, _CALIBRATION_BATCHES))} if method == "static" else {}
        yield from _unchanged(
            f"CLIP sample, {method}", exact, lab.quantize(fast, method=method, **data), net.task, None
        )


def _unchanged(name: str, exact: Model, int8: Model, task: lab.Task, least: float | None) -> Iterator[Claim]:
    a, b = (lab.accuracy(m, task) for m in (exact, int8))
    same = float((a.predictions == b.predictions).mean())
    asked = f"at least {least:.0%}" if least else "for comparison"
    measured = f"{same:.1%} of {len(a.predictions)}"
    yield Claim(f"{name}, int8: top answers unchanged", asked, measured, same >= least if least else None)
    yield Claim(f"{name}, int8: accuracy lost", "for comparison", f"{100 * (a.value - b.value):.2f} points", None)


if __name__ == "__main__":
    sys.exit(main())
