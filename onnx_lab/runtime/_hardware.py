"""What the machine, as the container allows it, offers an engine: CPU features, threads, memory."""

from __future__ import annotations

import functools
import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
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


#: Larger than the caches of any CPU that this may meet.
_READ_BYTES = 512 << 20


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
        total, available = limit, min(available or limit, max(0, limit - memory_used_bytes()))
    return Hardware(
        cpu=_field(info, "model name") or "unknown",
        features={name: bool(flags & wanted) for name, (wanted, _) in FEATURES.items()} if flags else {},
        threads=allowed_cpus(),
        cpus=os.cpu_count() or 1,
        memory_bytes=total,
        available_bytes=available,
        memory_limited=limited,
    )


@functools.cache
def memory_bandwidth() -> float:
    """Bytes per second that all allowed threads together read from memory: the best of a few tries, in 0.3 s.

    Each thread looks for the largest number of an array of its own that no cache holds.
    """
    import numpy as np

    threads = allowed_cpus()
    parts = [np.ones(_READ_BYTES // 4 // threads, np.float32) for _ in range(threads)]
    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(5):
            start = time.perf_counter()
            list(pool.map(np.max, parts))
            best = max(best, _READ_BYTES / (time.perf_counter() - start))
    return best


def memory_limit_bytes(root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """The container's memory limit (cgroup v2, then v1); None without one."""
    for file in ("memory.max", "memory/memory.limit_in_bytes"):
        text = _read(root / file).strip()
        # cgroup v1 writes "no limit" as a number near 2^63
        if text.isdigit() and int(text) < 1 << 60:
            return int(text)
    return None


def memory_used_bytes(root: Path = Path("/sys/fs/cgroup")) -> int:
    """What the container holds and cannot drop (cgroup v2, then v1); 0 where it cannot be told."""
    for used, stat, word in (
        ("memory.current", "memory.stat", "inactive_file"),
        ("memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
    ):
        text = _read(root / used).strip()
        if text.isdigit():
            cache = re.search(rf"^{word} (\d+)$", _read(root / stat), re.MULTILINE)
            return max(0, int(text) - int(cache[1] if cache else 0))
    return 0


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
