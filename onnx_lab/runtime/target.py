"""Target: where a model will run, in plain words."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from onnx_lab.errors import BadInput, did_you_mean

#: Plain word -> the name ONNX Runtime knows the provider by. "torch" is PyTorch eager, a contestant, not a provider.
PROVIDERS: Mapping[str, str] = MappingProxyType(
    {
        "cpu": "CPUExecutionProvider",
        "openvino": "OpenVINOExecutionProvider",
        "cuda": "CUDAExecutionProvider",
        "tensorrt": "TensorrtExecutionProvider",
        "dnnl": "DnnlExecutionProvider",
        "coreml": "CoreMLExecutionProvider",
        "directml": "DmlExecutionProvider",
    }
)


@dataclass(frozen=True)
class Target:
    """Provider, its options, the thread budget, and how a session waits and passes tensors.

    Parameters
    ----------
    provider : str
        One of `PROVIDERS`, e.g. ``"cpu"``.
    options : mapping of str to str
        Provider options under ONNX Runtime's own names, e.g. ``{"INFERENCE_PRECISION_HINT": "f32"}`` for OpenVINO
        (``NUM_STREAMS`` and ``PERFORMANCE_HINT`` likewise).
    threads : int, optional
        Intra-op threads. Default: what the container allows (`allowed_cpus`).
    spinning : bool, default True
        Whether idle threads of a session wait busily for the next operator: faster alone, slower beside others.
    io_binding : bool, default False
        Inputs are on the device before the clock starts, and outputs stay there: what a pipeline sees that keeps its
        tensors on a GPU. Timings only; on the CPU it changes next to nothing.

    Examples
    --------
    >>> Target.of("cpu").provider_name
    'CPUExecutionProvider'
    >>> print(Target("cpu", threads=1, spinning=False))
    cpu[threads=1,spinning=off]
    """

    provider: str = "cpu"
    options: Mapping[str, str] = field(default_factory=dict)
    threads: int | None = None
    spinning: bool = True
    io_binding: bool = False

    def __post_init__(self) -> None:
        if self.provider not in PROVIDERS:
            raise BadInput(
                f"target {self.provider!r}",
                accepted=", ".join(PROVIDERS),
                do=did_you_mean(self.provider, PROVIDERS) + " lab.doctor() tells which run here",
            )
        if self.threads is not None and self.threads < 1:
            raise BadInput(f"threads={self.threads}", accepted="1 or more, or None for what the container allows")

    @classmethod
    def of(cls, what: str | Target | None) -> Target:
        """A Target from a plain word, from a Target, or the default (cpu) from None."""
        return what if isinstance(what, Target) else cls(what or "cpu")

    @property
    def provider_name(self) -> str:
        """ONNX Runtime's name of the provider."""
        return PROVIDERS[self.provider]

    @property
    def thread_count(self) -> int:
        """The thread budget as a number."""
        return self.threads or allowed_cpus()

    def __str__(self) -> str:
        extra = [f"{k}={v}" for k, v in self.options.items()]
        extra += [f"threads={self.threads}"] * (self.threads is not None)
        extra += ["spinning=off"] * (not self.spinning) + ["io_binding"] * self.io_binding
        return self.provider + (f"[{','.join(extra)}]" if extra else "")


def allowed_cpus() -> int:
    """CPUs this process may use: the smaller of its affinity and the container's quota (cgroup v2, then v1)."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cgroup_quota()
    return max(1, min(count, int(quota)) if quota else count)


def _cgroup_quota() -> float | None:
    try:
        limit, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return None if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError):
        pass
    try:
        base = Path("/sys/fs/cgroup/cpu")
        limit_us = int((base / "cpu.cfs_quota_us").read_text())
        return None if limit_us <= 0 else limit_us / int((base / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None
