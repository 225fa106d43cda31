"""How a magic's step is run: inside the kernel, in a child that the cell waits for, or beside the cell."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any

from onnx_lab._progress import listening
from onnx_lab._turns import measuring, waiting
from onnx_lab.background._packed import CannotTravel
from onnx_lab.background.job import Job, begin
from onnx_lab.errors import BadInput
from onnx_lab.jupyter._job_panel import JobPanel
from onnx_lab.jupyter._live import Live
from onnx_lab.jupyter._options import JobOptions
from onnx_lab.jupyter._parse import Call
from onnx_lab.jupyter._where import is_big, made_before


class Step:
    """One step, as a line asked for it.

    Parameters
    ----------
    shell : InteractiveShell
    verb : str
    function : callable
        The core function.
    call : Call
    how : JobOptions
    title, about : str
        What is said while it works, and what of: ``"measuring fp32 int8"``, ``"fp32 int8"``.
    """

    def __init__(
        self, shell: Any, verb: str, function: Callable[..., Any], call: Call, how: JobOptions, title: str, about: str
    ) -> None:
        self._shell, self._verb, self._function, self._call = shell, verb, function, call
        self._how, self._title, self._about = how, title, about

    def run(self) -> Any:
        """Its value, or the Job that it became.

        Raises
        ------
        BadInput
            When there is a limit, and what it works on cannot go to the process that would hold to it.
        Stopped
            After an interrupt.
        """
        if self._how.background:
            return self._beside()
        big = is_big(self._verb, self._call.arguments)
        if not big and not self._how.limited:
            return self._in_kernel()
        made = made_before(self._verb, functools.partial(self._function, **self._call.arguments), self._call.arguments)
        if made is not None:
            return made
        try:
            return self._in_child()
        except CannotTravel as e:
            if self._how.limited:
                raise BadInput(
                    f"a limit for what only this process can work on: {e}",
                    accepted="--memory-mb and --timeout-s for Models, modules and data that can go to another process",
                    do="leave the limit out",
                ) from e
            return self._in_kernel(f"inside the kernel: {e}")

    def _beside(self) -> Job:
        job = self._job(only_child=False)
        if getattr(self._shell, "kernel", None) is not None and not self._call.silent:
            JobPanel(self._shell, job, self._title).open()
        return job

    def _in_child(self) -> Any:
        with Live(self._shell, self._title, silent=self._call.silent) as live:
            job = self._job(only_child=True)
            live.printed = lambda: job.log
            try:
                job.watch(lambda j: live.progress(j.progress) if j.progress and not j.done else None)
                return job.result
            except KeyboardInterrupt:
                job.cancel()
                raise

    def _in_kernel(self, note: str = "") -> Any:
        arguments = dict(self._call.arguments)
        turn = measuring(waiting) if self._how.in_turn else contextlib.nullcontext()
        with Live(self._shell, self._title, silent=self._call.silent) as live, listening(live.progress), turn:
            live.note = note
            if self._verb in ("bench", "best", "mixed_precision", "trace"):
                arguments["progress"] = live.progress
            return self._function(**arguments)

    def _job(self, *, only_child: bool) -> Job:
        return begin(
            self._verb,
            (),
            self._call.arguments,
            name=self._about,
            memory_mb=self._how.memory_mb or self._how.cap_mb,
            timeout_s=self._how.timeout_s,
            in_turn=self._how.in_turn,
            only_child=only_child,
        )
