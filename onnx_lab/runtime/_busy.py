"""How busy the machine is with things other than this process: the disturbance that a measurement must admit."""

from __future__ import annotations

import os
import time


def others_cpu_seconds() -> float | None:
    """CPU seconds that everything but this process has used on the machine, since some fixed time in the past.

    Time that the hypervisor gave to other guests counts as used. The kernel counts in ticks of 10 ms: take the
    difference over many readings, not over one. None where ``/proc/stat`` is absent.

    Examples
    --------
    >>> before = others_cpu_seconds()
    >>> before is None or others_cpu_seconds() - before < 60
    True
    """
    try:
        with open("/proc/stat") as f:
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, f.readline().split()[1:9])
    except (OSError, ValueError):
        return None
    busy = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    return busy - time.process_time()
