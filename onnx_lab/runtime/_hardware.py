"""What the machine, as the container allows it, offers an engine: CPU features, threads, memory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from onnx_lab.runtime.target import allowed_cpus

#: Feature -> the kernel's flags that mean it, and what it is good for.
FEATURES: dict[str, tuple[frozenset[str], str]] = {
    "AVX2": (frozenset({"avx2"}), "float32 at a fair speed"),
    "AVX512": (frozenset({"avx512f"}), "float32 at full speed"),
    "VNNI": (frozenset({"avx512_vnni", "avx_vnni"}), "int8 products: quantizing pays"),
    "AVX512_BF16": (frozenset({"avx512_bf16", "avx_bf16"}), "bf16 products"),
    "AMX_BF16": (frozenset({"amx_bf16"}), "bf16 tiles: OpenVINO uses them by default"),
    "AMX_INT8": (frozenset({"amx_int8"}), "int8 tiles"),
}


@dataclass(frozen=True)
class Hardware:
    """The machine as this process may use it; None where it cannot be told.

    `features` is empty on systems without ``/proc/cpuinfo``. Sizes are in bytes.
    """

    cpu: str
    features: dict[str, bool]
    threads: int
    cpus: int
    memory_bytes: int | None
    available_bytes: int | None
    memory_limited: bool


def this_hardware() -> Hardware:
    """Read it now."""
    info = _read("/proc/cpuinfo")
    flags = set(_field(info, "flags").split()) or set(_field(info, "Features").split())
    total, available = _memory()
    limit = memory_limit_bytes()
    limited = limit is not None and (total is None or limit < total)
    if limited and limit is not None:
        total, available = limit, min(available or limit, limit)
    return Hardware(
        cpu=_field(info, "model name") or "unknown",
        features={name: bool(flags & wanted) for name, (wanted, _) in FEATURES.items()} if flags else {},
        threads=allowed_cpus(),
        cpus=os.cpu_count() or 1,
        memory_bytes=total,
        available_bytes=available,
        memory_limited=limited,
    )


def memory_limit_bytes(root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """The container's memory limit (cgroup v2, then v1); None without one."""
    for file in ("memory.max", "memory/memory.limit_in_bytes"):
        text = _read(root / file).strip()
        # cgroup v1 writes "no limit" as a number near 2^63
        if text.isdigit() and int(text) < 1 << 60:
            return int(text)
    return None


def _memory() -> tuple[int | None, int | None]:
    try:
        import psutil
    except ImportError:
        return None, None
    memory = psutil.virtual_memory()
    return int(memory.total), int(memory.available)


def _field(text: str, name: str) -> str:
    lines = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return next((value.strip() for key, value in lines if key.strip() == name), "")


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
