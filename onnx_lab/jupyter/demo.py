"""``onnx-lab demo``: the tutorial notebooks copied to a folder of yours, and JupyterLab opened there."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import onnx_lab
from onnx_lab.errors import BadInput, OnnxLabError
from onnx_lab.jupyter import start


def notebooks() -> list[Path]:
    """The tutorial notebooks that came with the package, or those of the checkout it runs from.

    Examples
    --------
    >>> notebooks()[0].name
    '00_quickstart.ipynb'
    """
    package = Path(onnx_lab.__file__).parent
    for folder in (package / "notebooks", package.parent / "notebooks"):
        if found := sorted(folder.glob("[0-9]*.ipynb")):
            return found
    raise BadInput("this installation has no notebooks", do="pip install --force-reinstall onnx-lab")


def copy_notebooks(folder: Path) -> list[Path]:
    """Copy them into `folder`; one that is there already is yours and stays as it is.

    Returns
    -------
    list of Path
        Those that were written.

    Raises
    ------
    BadInput
        When `folder` cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        absent = [n for n in notebooks() if not (folder / n.name).exists()]
        return [shutil.copyfile(n, folder / n.name) for n in absent]
    except OSError as e:
        raise BadInput(f"{folder}: {e.strerror}", accepted="a folder that you may write", do="name another") from e


def main(arguments: Sequence[str] | None = None) -> int:
    """The command ``onnx-lab``."""
    parser = argparse.ArgumentParser(prog="onnx-lab", description="A lab for ONNX models inside JupyterLab.")
    parser.add_argument("--version", action="version", version=f"onnx-lab {onnx_lab.__version__}")
    commands = parser.add_subparsers(required=True, metavar="demo")
    demo = commands.add_parser("demo", help="copy the tutorial notebooks to a folder and open JupyterLab there")
    demo.add_argument("folder", type=Path, nargs="?", default=Path("onnx-lab-demo"), help="default: ./onnx-lab-demo")
    demo.add_argument("--no-lab", action="store_true", help="only copy")
    demo.add_argument("--allow-root", action="store_true", help="serve although the user is root")
    asked = parser.parse_args(arguments)
    try:
        written = copy_notebooks(asked.folder)
        kept = len(notebooks()) - len(written)
        print(f"{len(written)} notebooks copied to {asked.folder}" + (f", {kept} were there and stay" if kept else ""))
        if not asked.no_lab:
            start.serve(asked.folder, allow_root=asked.allow_root)
    except OnnxLabError as e:
        print(e, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
