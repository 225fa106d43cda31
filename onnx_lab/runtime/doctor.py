"""doctor: what runs here, proven, and what stands in the way, with the command that removes it."""

from __future__ import annotations

import importlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from onnx_lab import workspace
from onnx_lab.card import Card, Shown, Table, megabytes
from onnx_lab.runtime._hardware import FEATURES, Hardware, this_hardware
from onnx_lab.runtime._proof import Proof, prove_all

#: They all install the folder ``onnxruntime``; two of them overwrite each other's files, silently.
_ENGINES = (
    "onnxruntime-gpu onnxruntime onnxruntime-openvino onnxruntime-directml onnxruntime-qnn onnxruntime-training "
    "ort-nightly ort-nightly-gpu"
).split()

_SHOWN = "onnx-lab onnx onnx-ir onnxscript onnxslim onnxruntime onnxruntime-gpu onnxruntime-ep-openvino torch".split()


@dataclass(frozen=True)
class Conflict:
    """Something that is wrong with the installation, and the command that puts it right."""

    what: str
    fix: str


@dataclass(frozen=True, repr=False)
class Doctor(Shown):
    """What `doctor` found. True when nothing is wrong with the installation and the CPU provider runs.

    Attributes
    ----------
    providers : tuple of Proof
        One per plain word: declared, runs, why not.
    hardware : Hardware
        CPU features, threads and memory as the container allows them.
    conflicts : tuple of Conflict
        With the exact command that fixes each.
    engine : dict
        What onnxruntime says about itself: version, build, declared providers, file.
    versions : dict of str
        Installed distributions.
    advice : tuple of str
        What works, and is better done otherwise.
    """

    FORMAT = 1

    providers: tuple[Proof, ...]
    hardware: Hardware
    conflicts: tuple[Conflict, ...]
    engine: dict[str, Any]
    versions: dict[str, str]
    advice: tuple[str, ...] = ()

    @property
    def targets(self) -> tuple[str, ...]:
        """The plain words that run here."""
        return tuple(p.target for p in self.providers if p.runs)

    def __bool__(self) -> bool:
        return not self.conflicts and "cpu" in self.targets

    def to_json(self) -> str:
        """All of it, with ``kind`` and ``format`` for later readers."""
        return json.dumps({"kind": "Doctor", "format": self.FORMAT, "ok": bool(self), **asdict(self)})

    def _card(self) -> Card:
        hw = self.hardware
        rows = [
            ("cpu", hw.cpu),
            ("it has", ", ".join(f"{n} ({FEATURES[n][1]})" for n, there in hw.features.items() if there) or "unknown"),
            ("it lacks", ", ".join(n for n, there in hw.features.items() if not there) or "nothing that matters"),
            ("threads", f"{hw.threads} of {hw.cpus}"),
            ("memory", _memory(hw)),
            ("engine", _engine(self.engine)),
            ("versions", ", ".join(f"{k} {v}" for k, v in self.versions.items())),
            ("python", platform.python_version()),
        ]
        notes = [f"{p.target}: {p.do}" for p in self.providers if p.declared and not p.runs and p.do]
        notes += [f"conflict: {c.what} → {c.fix}" for c in self.conflicts] + list(self.advice)
        title = "doctor: " + ("all well" if self else "something is in the way")
        return Card(title, rows, [_table(self.providers)], notes)


def doctor() -> Doctor:
    """Which targets run here, each proven with a tiny model in a child process, and what is in the way.

    Takes one to four seconds. Nothing is imported into this process, nothing is changed, nothing is downloaded.

    Returns
    -------
    Doctor
        Shows itself as a card; true when all is well.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> "cpu" in lab.doctor().targets
    True
    """
    engine, proofs = prove_all()
    conflicts, advice = find_conflicts(_installed(_ENGINES), engine), kernel_advice(_installed(["ipykernel"]))
    return Doctor(proofs, this_hardware(), conflicts, engine, _installed(_SHOWN), advice)


def find_conflicts(engines: Mapping[str, str], facts: Mapping[str, Any]) -> tuple[Conflict, ...]:
    """What is wrong with these installed distributions (name -> version), given what the engine says.

    Examples
    --------
    >>> find_conflicts({"onnxruntime-gpu": "1.31.1", "onnxruntime": "1.31.1"}, {})[0].fix
    'pip uninstall -y onnxruntime-gpu onnxruntime && pip install onnxruntime-gpu==1.31.1'
    """
    if not engines:
        return (Conflict("no onnxruntime is installed", "pip install 'onnx-lab[cpu]'  (with an NVIDIA GPU: [gpu])"),)
    keep, version = next(iter(engines.items()))
    again = f"pip uninstall -y {' '.join(engines)} && pip install {keep}=={version}"
    if len(engines) > 1:
        names = " beside ".join(f"{n} {v}" for n, v in engines.items())
        return (Conflict(f"{names}: they install the same folder, and one has overwritten the other", again),)
    if error := facts.get("error"):
        return (Conflict(f"{keep} {version} does not work: {error}", again),)
    if facts.get("version", version) != version:
        return (Conflict(f"{keep} says it is {version}, the files in place are {facts['version']}", again),)
    return ()


def kernel_advice(installed: Mapping[str, str]) -> tuple[str, ...]:
    """What to know of this ipykernel: 7.0 to 7.3 may not read the first request of a page (ipykernel issue 1554).

    Examples
    --------
    >>> kernel_advice({"ipykernel": "7.3.0"})[0].partition(" → ")[2]
    "pip install 'ipykernel>=7.4'"
    >>> kernel_advice({"ipykernel": "7.4.0"})
    ()
    """
    version = installed.get("ipykernel", "")
    if not version.startswith(("7.0.", "7.1.", "7.2.", "7.3.")):
        return ()
    return (f"ipykernel {version}: now and then a cell waits for ever in a new page → pip install 'ipykernel>=7.4'",)


def _installed(names: Sequence[str]) -> dict[str, str]:
    importlib.invalidate_caches()  # a %pip install in this kernel counts
    return workspace.versions(names)


def _table(proofs: Sequence[Proof]) -> Table:
    rows: list[tuple[str, ...]] = []
    tones: dict[tuple[int, int], str] = {}
    for p in sorted(proofs, key=lambda p: (not p.runs, not p.declared)):
        state = "runs" if p.runs else "does not run" if p.declared else "not installed"
        tones[len(rows), 1] = "good" if p.runs else "bad" if p.declared else ""
        rows.append((p.target, state, p.precision or "-", _short(p.why)))
    return Table(("target", "state", "precision", "why"), tuple(rows), tones=tones)


def _short(text: str, width: int = 88) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _memory(hw: Hardware) -> str:
    if hw.memory_bytes is None:
        return "unknown"
    where = " (the container's limit)" if hw.memory_limited else ""
    return f"{megabytes(hw.memory_bytes)}{where}, {megabytes(hw.available_bytes or 0)} free"


def _engine(facts: Mapping[str, Any]) -> str:
    if "error" in facts:
        return str(facts["error"])
    return f"onnxruntime {facts['version']}: {facts['build']}"
