"""The handle to a worker: one child process, one engine, one conversation at a time."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from onnx_lab import errors
from onnx_lab.errors import OnnxLabError, WorkerError
from onnx_lab.feeds import check_feeds
from onnx_lab.model import Model, TensorSpec
from onnx_lab.runtime import _wire
from onnx_lab.runtime._child import Child
from onnx_lab.runtime._pickled import pickled_module, search_path
from onnx_lab.runtime._pipe import Deadline
from onnx_lab.runtime._timing import Block
from onnx_lab.runtime._wire import Array
from onnx_lab.runtime.offline import check_guard
from onnx_lab.runtime.target import Target, allowed_cpus
from onnx_lab.task import Feeds

if TYPE_CHECKING:
    import torch

#: Loading and first runs of very large models take minutes; a hang takes for ever.
DEFAULT_TIMEOUT_S = 600.0


class Worker:
    """A live engine in a child process of its own.

    Made by `Worker.for_model`, `.for_torch` and `.for_tensorflow`; a context manager. Safe to share between
    threads: calls wait for each other.

    Attributes
    ----------
    info : dict
        ``engine``, ``provider``, ``providers`` (registered), ``nodes`` (provider -> nodes it runs),
        ``operators`` (provider -> operator -> nodes), ``load_seconds``, ``threads``, ``precision``.
    peak_rss_bytes : int
        Largest resident memory of the child so far.

    Examples
    --------
    >>> import numpy as np, onnx_lab as lab
    >>> with Worker.for_model(lab.samples.tiny(), Target.of("cpu")) as w:
    ...     w.info["nodes"], w.run({"x": np.zeros((2, 8), np.float32)})["logits"].shape
    ({'CPUExecutionProvider': 3}, (2, 4))
    """

    def __init__(self, child: Child, name: str, timeout_s: float, inputs: Sequence[TensorSpec] | None) -> None:
        self._child, self._name, self._timeout_s, self._inputs = child, name, timeout_s, inputs
        self._lock = threading.RLock()
        self.info: dict[str, Any] = {}
        self.peak_rss_bytes = 0

    @classmethod
    def for_model(
        cls,
        m: Model,
        target: Target | str | None = None,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        hints: Mapping[str, Any] | None = None,
    ) -> Worker:
        """Open `m` on `target` (default: cpu) in a new child, with `hints` in place of the file's own session hints.

        Raises
        ------
        BadModel, ProviderError, WorkerError
        """
        t = Target.of(target)
        request = _session_request(m, t, hints)
        worker = cls(Child(t.thread_count), m.name, timeout_s, m.inputs)
        return worker._open(request, f"loading {m.name} on {t}")

    def reopen(self, m: Model, target: Target | str | None = None) -> None:
        """Open another model in the same child; the one before is closed. Raises as `for_model` does."""
        t = Target.of(target)
        request = _session_request(m, t, None)
        self._name, self._inputs = m.name, m.inputs
        self.info = self.call(request, f"loading {m.name} on {t}")[0]["info"]

    @classmethod
    def for_torch(
        cls,
        module: torch.nn.Module,
        *,
        threads: int | None = None,
        autocast: str | None = None,
        name: str = "torch",
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> Worker:
        """PyTorch eager in a new child, without gradients; `module` itself is not touched.

        Parameters
        ----------
        module : torch.nn.Module
            Travels by cloudpickle through the pipe, never over the disk.
        threads : int, optional
            Default: what the container allows.
        autocast : str, optional
            ``"bfloat16"`` for CPU autocast. Default None.

        Raises
        ------
        MissingExtra
            Without cloudpickle.
        BadInput
            When the module cannot be pickled, or its class is not found in a fresh process.
        """
        count = threads or allowed_cpus()
        parcel = [pickled_module(module)]  # as large as the module: it is let go as soon as it is sent
        worker = cls(Child(count), name, timeout_s, None)
        request = {"threads": count, "autocast": autocast, "search": search_path()}
        asked = {"op": "torch", "torch": request, "blob": len(parcel[0])}
        return worker._open(asked, f"loading {name} (PyTorch)", parcel)

    @classmethod
    def for_tensorflow(cls, folder: str, signature: str | None = None, *, threads: int | None = None) -> Worker:
        """TensorFlow in a new child, with one signature of the SavedModel in `folder`.

        Raises
        ------
        MissingExtra, BadModel
        """
        worker = cls(Child(threads or allowed_cpus()), "TensorFlow", DEFAULT_TIMEOUT_S, None)
        request = {"folder": folder, "signature": signature}
        return worker._open({"op": "tensorflow", "tensorflow": request}, f"loading {folder} (TensorFlow)")

    def run(self, feeds: Feeds, outputs: Sequence[str] | None = None) -> dict[str, Array]:
        """All outputs by name; of an ONNX file those in `outputs` alone, where these are given.

        Raises
        ------
        BadInput
            When a feed's name, dtype, rank or fixed dimension does not fit.
        BadModel, WorkerError
            When the engine fails, or its process dies.
        """
        self._check(feeds)
        request: dict[str, Any] = {"op": "run"} if outputs is None else {"op": "run", "outputs": list(outputs)}
        return self.call(request, f"running {self._name}", feeds)[1]

    def time_block(self, feeds: Feeds, *, min_seconds: float = 0.2, **options: Any) -> list[float]:
        """Seconds of each run of a tight loop inside the child.

        Parameters
        ----------
        feeds : Feeds
            Built once; the loop is ``session.run`` between two readings of the clock, nothing else.
        min_seconds : float
            The loop ends with the run that passes it. Default 0.2.
        **options
            ``min_runs``, ``max_runs``, ``loops``, ``lead_in_seconds``: see `onnx_lab.runtime._timing.time_block`.
        """
        return list(self.block(feeds, min_seconds=min_seconds, **options).seconds)

    def block(self, feeds: Feeds, **options: Any) -> Block:
        """`time_block` with what happened around it."""
        self._check(feeds)
        reply, _ = self.call({"op": "time", "block": options}, f"timing {self._name}", feeds)
        return Block(**reply["block"])

    def profile(self, feeds: Feeds, *, runs: int, warmup: int) -> dict[str, Any]:
        """Median seconds of each node, from a session that was opened with the hint ``profile_to``; once only."""
        self._check(feeds)
        request = {"op": "profile", "profile": {"runs": runs, "warmup": warmup}}
        reply, _ = self.call(request, f"profiling {self._name}", feeds)
        return dict(reply["profile"])

    def close(self) -> None:
        """End the child; harmless when it is gone already."""
        self._child.close()

    @property
    def alive(self) -> bool:
        """Whether the child still runs."""
        return self._child.alive

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _open(self, request: Mapping[str, Any], step: str, parcel: list[bytes] | None = None) -> Worker:
        try:
            self.info = self.call(request, step, parcel=parcel)[0]["info"]
        except BaseException:
            self.close()
            raise
        return self

    def _check(self, feeds: Feeds) -> None:
        if self._inputs is not None:
            check_feeds(self._inputs, feeds)

    def call(
        self, request: Mapping[str, Any], step: str, feeds: Feeds | None = None, parcel: list[bytes] | None = None
    ) -> tuple[dict[str, Any], dict[str, Array]]:
        """Send one request and wait for its answer; `step` says in an error what was being done.

        What is in `parcel` goes behind it, and is taken out of the list as it is sent.
        """
        with self._lock:
            self._child.set_deadline(time.monotonic() + self._timeout_s)
            try:
                reply, arrays = self._child.ask(itertools.chain(_wire.encode(request, feeds), _taken_out(parcel or [])))
            except Deadline:
                self._child.kill()
                raise WorkerError(
                    f"{step}: no answer within {self._timeout_s:.0f} s; the process was ended",
                    do="a smaller batch, a longer timeout_s, or another target",
                ) from None
            except (EOFError, OSError, ValueError):
                raise WorkerError(f"{step}: {self._child.death(self.peak_rss_bytes)}", do=self._child.advice) from None
            except BaseException:
                self._child.kill()  # an interrupt: the answer would arrive later and be taken for another's
                raise
        self.peak_rss_bytes = max(self.peak_rss_bytes, reply.get("peak", 0), self._child.peak_seen)
        if not reply["ok"]:
            raise _error(reply)
        return reply, arrays


def _session_request(m: Model, t: Target, hints: Mapping[str, Any] | None) -> dict[str, Any]:
    m.check_unchanged()
    check_guard(m, t)
    session = {
        "path": str(m.path.resolve()),
        "provider": t.provider_name,
        "options": dict(t.options),
        "threads": t.thread_count,
        "hints": m.session_hints if hints is None else dict(hints),
        "spinning": t.spinning,
        "io_binding": t.io_binding,
    }
    return {"op": "open", "session": session}


def _taken_out(parcel: list[bytes]) -> Iterator[bytes]:
    while parcel:
        yield parcel.pop(0)


def _error(reply: Mapping[str, Any]) -> OnnxLabError:
    kind = getattr(errors, reply["error"], WorkerError)
    found: OnnxLabError = kind(reply["came"], accepted=reply["accepted"], do=reply["do"])
    return found
