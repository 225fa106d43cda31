"""One tool makes its files, in a process of its own: how long it takes, and how much memory it all held at once."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Making:
    """What making all files of somebody cost; `error` tells why there are none."""

    who: str
    seconds: float
    peak_bytes: int
    error: str = ""

    def __str__(self) -> str:
        return self.error or f"{self.seconds:.0f} s, {self.peak_bytes / 1e9:.1f} GB at most"


def make(who: str, command: Sequence[object]) -> tuple[Making, list[dict[str, str]]]:
    """Run a script of ``peer_steps``; what it tells of its files is the last line it prints."""
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as complained:
        start = time.monotonic()
        child = subprocess.Popen([str(c) for c in command], stdout=said, stderr=complained)
        with Memory(child.pid) as memory:
            status = child.wait()
        seconds = time.monotonic() - start
        said.seek(0)
        complained.seek(0)
        if status:
            last = complained.read().strip().splitlines()[-1:]
            return Making(who, seconds, memory.bytes, (last or ["no word"])[0][:300]), []
        return Making(who, seconds, memory.bytes), json.loads(said.read().strip().splitlines()[-1])


class Memory(threading.Thread):
    """The largest memory that a process and all below it held at once (PSS: what they share counts once), in bytes."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.bytes = 0
        self._root = psutil.Process(pid)
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.1):
            held = 0
            with contextlib.suppress(psutil.Error):
                for p in (self._root, *self._root.children(recursive=True)):
                    with contextlib.suppress(psutil.Error):
                        held += p.memory_full_info().pss
            self.bytes = max(self.bytes, held)

    def __enter__(self) -> Memory:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()
