"""What every step shares: it gets a folder with the source and one for its files, and prints what it made."""

import json
import sys
from pathlib import Path

import numpy as np


def folders():
    """(source, out). The source holds ``raw.onnx``, ``hf/`` for a transformer, and calibration feeds as ``*.npz``."""
    source, out = (Path(a) for a in sys.argv[1:3])
    out.mkdir(parents=True, exist_ok=True)
    return source, out


def calibration(source):
    """The feeds to calibrate with, one dict per batch."""
    return [dict(np.load(p)) for p in sorted((source / "calibration").glob("*.npz"))]


def told(*made):
    """Print (name, file, engine, kind) of each file; kind is ``exact`` or ``int8``."""
    print(json.dumps([dict(zip(("name", "file", "engine", "kind"), map(str, m), strict=True)) for m in made]))
