"""Make the head of the BERT sample that comes with this package (the recipe is in ``samples/_head.py``).

Not needed at run time::

    python onnx_lab/samples/data/train_bert_head.py

A file of an older recipe, older texts or other weights bears another name: delete it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path


def main() -> None:
    """Train in a workspace of its own, and put the file here."""
    here = Path(__file__).parent
    with tempfile.TemporaryDirectory() as home:
        os.environ["ONNX_LAB_HOME"] = home
        from onnx_lab.samples import _head, bert

        _head.SHIPPED = Path(home)
        bert()
        for file in (Path(home) / "samples").glob("bert-head-*.safetensors"):
            shutil.copyfile(file, here / file.name)
            print(here / file.name)


if __name__ == "__main__":
    main()
