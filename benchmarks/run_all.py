"""All promises in one run, as one Markdown table: what was asked beside what was measured on this machine.

    python benchmarks/run_all.py [--out FILE.md]

About half an hour; leave the machine alone meanwhile. The raw samples go to ``artifacts/benchmarks/``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from onnx_lab.measure._result import this_machine

HERE = Path(__file__).parent
RAW = HERE.parent / "artifacts" / "benchmarks"
SCRIPTS = ("bert_base", "sample_task", "precisions", "honesty")
_WORDS = {True: "yes", False: "**no**", None: "-"}


def main() -> int:
    """Run the scripts one after another; 1 when any promise is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the Markdown table to this file, too")
    options = parser.parse_args()
    RAW.mkdir(parents=True, exist_ok=True)
    missed = 0
    for script in SCRIPTS:
        done = subprocess.run([sys.executable, HERE / f"{script}.py", "--json", RAW / f"{script}.json"])
        missed |= done.returncode
    table = markdown()
    print(table)
    if options.out:
        options.out.write_text(table)
    return missed


def markdown() -> str:
    """The table, from the JSON files that the scripts left."""
    machine = this_machine()
    versions = ", ".join(f"{k} {v}" for k, v in machine.versions.items())
    lines = [
        f"{machine.cpu}, {machine.threads} threads; {versions}",
        "",
        "| | asked | measured | |",
        "| --- | --- | --- | --- |",
    ]
    for script in SCRIPTS:
        for what, asked, measured, met in rows(RAW / f"{script}.json"):
            lines.append(f"| {what} | {asked} | {measured} | {_WORDS[met]} |")
    return "\n".join(lines) + "\n"


def rows(path: Path) -> list[tuple[str, str, str, bool | None]]:
    """(what, asked, measured, met) of one script's JSON."""
    value = json.loads(path.read_text())
    if isinstance(value, list):  # honesty.py: trials
        return [(t["name"], t["asked"], t["measured"], t["kept"]) for t in value]
    return [(c["what"], c["asked"], c["measured"], c["met"]) for c in value["claims"]]


if __name__ == "__main__":
    sys.exit(main())
