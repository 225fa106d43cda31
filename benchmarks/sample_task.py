"""Real weights, real text: what FP16 and int8 cost the BERT sample, in accuracy and in embeddings.

    python benchmarks/sample_task.py [--json FILE]

The classifier answers all held-out texts; the bare embedder embeds 200 of them. "default" is what other tools do when
nothing is said: one scale per tensor.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from claims import Claim, claims_table

import onnx_lab as lab
from onnx_lab.card import Table

_EMBEDDED_TEXTS = 200


def main() -> int:
    """Print the tables; return 1 when a claim is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the claims to this file")
    options = parser.parse_args()
    claims = list(_claims(lab.samples.bert()))
    print(claims_table("BERT sample: asked and measured", claims))
    if options.json:
        options.json.write_text(json.dumps({"claims": [asdict(c) for c in claims]}, indent=1))
    return int(any(c.met is False for c in claims))


def _claims(bert: lab.samples.BertSample) -> Iterator[Claim]:
    base = lab.accuracy(bert.model, bert.task)
    yield Claim("held-out texts", "at least 1,000", f"{len(bert.task):,}", len(bert.task) >= 1000)
    yield Claim("classes", "at least 4", str(len(bert.classes)), len(bert.classes) >= 4)
    yield Claim("accuracy in float32", "at least 85 %", f"{base.value:.1%}", base.value >= 0.85)
    fast = lab.optimize(lab.export(bert.model, name="fp32"), name="optimized")
    small = {
        "fp16": lab.fp16(fast, name="fp16"),
        "int8": lab.quantize(fast, name="int8"),
        "int8, per tensor": lab.quantize(fast, per_channel=False, name="int8 per tensor"),
    }
    rows = []
    for name, m in small.items():
        found = lab.accuracy(m, bert.task)
        changed = float((found.predictions != base.predictions).mean())
        rows.append((name, f"{m.size_bytes / 1e6:.1f} MB", f"{found.value:.1%}", f"{changed:.1%}"))
        if name == "int8":
            lost = 100 * (base.value - found.value)
            yield Claim("int8: accuracy lost", "at most 1 point", f"{lost:.2f} points", lost <= 1)
    print(Table(("file", "size", "right", "answers changed"), tuple(rows), "on the task").text())
    yield from _embedding_claims(bert)


def _embedding_claims(bert: lab.samples.BertSample) -> Iterator[Claim]:
    exact = lab.export(bert.embedder, bert.calibration[0], name="embedder")
    texts = bert.batches(bert.texts[:_EMBEDDED_TEXTS])
    for per_channel, asked in ((True, 0.99), (False, None)):
        m = lab.quantize(lab.optimize(exact), per_channel=per_channel, name=f"embedder-{per_channel}")
        cosine = lab.compare(exact, m, texts).outputs[0].cosine_mean
        name = "lab's default, per channel" if per_channel else "other tools' default, per tensor"
        wanted = f"at least {asked}" if asked else "for comparison"
        yield Claim(
            f"int8 embeddings, mean cosine ({name})", wanted, f"{cosine:.4f}", cosine >= asked if asked else None
        )


if __name__ == "__main__":
    sys.exit(main())
