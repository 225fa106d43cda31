"""The texts of the BERT sample: prose from docstrings, labelled by what its library is about (``data/README.md``)."""

from __future__ import annotations

import gzip
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).parent / "data" / "docstrings.jsonl.gz"


@dataclass(frozen=True)
class Split:
    """Texts and, for each, the index of its class."""

    texts: tuple[str, ...]
    labels: tuple[int, ...]


@dataclass(frozen=True)
class Docstrings:
    """The whole data set; train and test share no module of any library."""

    classes: tuple[str, ...]
    train: Split
    test: Split
    digest: str


def read_docstrings(file: Path = FILE) -> Docstrings:
    """Read the data file; its digest is part of what a trained head is cached under.

    Examples
    --------
    >>> d = read_docstrings()
    >>> len(d.classes) >= 4, len(d.test.texts) >= 1000
    (True, True)
    """
    raw = file.read_bytes()
    head, *rows = (json.loads(line) for line in gzip.decompress(raw).splitlines())
    classes = tuple(head["classes"])

    def split(name: str) -> Split:
        own = [r for r in rows if r["split"] == name]
        return Split(tuple(r["text"] for r in own), tuple(classes.index(r["label"]) for r in own))

    return Docstrings(classes, split("train"), split("test"), hashlib.sha256(raw).hexdigest())
