"""Workers: the only way to an engine. Every use of one by the lab goes through here.

A crash, an out-of-memory kill or a hang hits the child; the kernel gets a WorkerError that names the step.
"""

from __future__ import annotations

import atexit
from collections.abc import Mapping
from typing import Any

from onnx_lab.model import Model
from onnx_lab.runtime._child import Child
from onnx_lab.runtime._handle import DEFAULT_TIMEOUT_S, Worker
from onnx_lab.runtime._pool import Pool
from onnx_lab.runtime._timing import Block
from onnx_lab.runtime.target import Target

__all__ = ["Block", "Worker", "ask_once", "close_sessions", "engine_facts", "helper", "session"]

#: Live workers that `session` keeps.
POOL_SIZE = 2

_pool: Pool[Worker] = Pool(POOL_SIZE)
_helpers: Pool[Worker] = Pool(1)


def session(m: Model, target: Target | str | None = None) -> Worker:
    """A live worker for `m` on `target`, opened once and kept: the last two stay open until Python ends.

    Do not close it; use `Worker.for_model` for a process of your own.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> session(lab.samples.tiny()) is session(lab.samples.tiny())
    True
    """
    t = Target.of(target)
    m.check_unchanged()
    key = (str(m.path.resolve()), m._stat, str(t), t.thread_count)
    return _pool.get(key, lambda: Worker.for_model(m, t))


@atexit.register
def close_sessions() -> None:
    """End all kept workers, e.g. before a measurement that wants their memory."""
    _pool.close()
    _helpers.close()


def helper(*, timeout_s: float) -> Worker:
    """A live worker without an engine, opened once and kept: for libraries that a broken file may crash."""
    return _helpers.get(timeout_s, lambda: Worker(Child(1), "helper", timeout_s, None))


def engine_facts(*, timeout_s: float = DEFAULT_TIMEOUT_S) -> dict[str, Any]:
    """What the installed onnxruntime says about itself, asked in a child: version, build, declared providers, file.

    Raises
    ------
    ProviderError
        When it cannot be imported.
    """
    facts: dict[str, Any] = ask_once({"op": "probe"}, "importing onnxruntime", timeout_s=timeout_s)["facts"]
    return facts


def ask_once(
    request: Mapping[str, Any], step: str, *, threads: int = 1, timeout_s: float = DEFAULT_TIMEOUT_S
) -> dict[str, Any]:
    """One request to a child that ends with it; `step` says in an error what was being done."""
    worker = Worker(Child(threads), step, timeout_s, None)
    try:
        return worker.call(request, step)[0]
    finally:
        worker.close()
