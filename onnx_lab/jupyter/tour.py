"""``make tour``: a notebook run headless in a real kernel, its summary printed, the executed copy left behind.

The summary is the text of the cells tagged ``summary``. The same command refreshes a notebook in place.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

SUMMARY_TAG = "summary"


def run(source: Path, out: Path, *, timeout_s: int = 1800, quiet: bool = False) -> bool:
    """Execute `source`, write the executed copy to `out`, return whether every cell passed.

    Parameters
    ----------
    source, out : Path
        The notebook and where its executed copy goes; they may be the same file.
    timeout_s : int, default 1800
        Limit for one cell, in seconds.
    quiet : bool
        Print nothing while it runs.
    """
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    book = nbformat.read(source, as_version=4)
    started = time.monotonic()
    client = NotebookClient(
        book,
        timeout=timeout_s,
        resources={"metadata": {"path": str(source.parent.resolve())}},
        extra_arguments=["--IPKernelApp.log_level=40"],  # it warns that loopback is not encrypted
    )
    client.on_cell_executed = None if quiet else _Progress(book)
    passed = True
    try:
        client.execute()
    except CellExecutionError as e:
        passed = False
        print(f"\n{source.name}: a cell failed\n{e.traceback or e}", file=sys.stderr)
    _tidy(book)
    out.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(book, out)
    if not quiet:
        print(f"\n{summary(book)}\n\n{time.monotonic() - started:.0f} s; the executed notebook is {out}")
    return passed


def summary(book: Any) -> str:
    """The text outputs of the cells tagged ``summary``, in order."""
    return "\n\n".join(
        "".join(output["data"].get("text/plain", ""))
        for cell in book.cells
        if SUMMARY_TAG in cell.metadata.get("tags", ())
        for output in cell.get("outputs", ())
        if "data" in output
    )


class _Progress:
    """Prints one line per code cell: which of how many, the nearest heading above it, seconds."""

    def __init__(self, book: Any) -> None:
        self.headings: dict[int, str] = {}
        heading = ""
        for i, cell in enumerate(book.cells):
            if cell.cell_type == "markdown":
                heading = next((x.lstrip("# ") for x in cell.source.splitlines() if x.startswith("#")), heading)
            else:
                self.headings[i] = heading
        self.order = list(self.headings)
        self.last = time.monotonic()

    def __call__(self, cell: Any, cell_index: int, execute_reply: Any) -> None:  # noqa: ARG002 - nbclient's names
        now = time.monotonic()
        place = self.order.index(cell_index) + 1
        print(f"[{place:2d}/{len(self.order)}] {self.headings[cell_index]:<44.44} {now - self.last:6.1f} s", flush=True)
        self.last = now


def _tidy(book: Any) -> None:
    """Drop what only makes noise in a saved notebook: execution timestamps and widget state."""
    book.metadata.pop("widgets", None)
    for cell in book.cells:
        cell.metadata.pop("execution", None)


def main() -> int:
    """Command line: NOTEBOOK --out FILE."""
    parser = argparse.ArgumentParser(prog="onnx_lab.jupyter.tour", description=__doc__)
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="where the executed copy goes")
    parser.add_argument("--timeout", type=int, default=1800, help="seconds for one cell")
    args = parser.parse_args()
    return 0 if run(args.notebook, args.out, timeout_s=args.timeout) else 1


if __name__ == "__main__":
    raise SystemExit(main())
