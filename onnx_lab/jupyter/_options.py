"""Options of the magics of heavy steps, which their core functions do not know: to leave the cell, and limits."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from onnx_lab.errors import BadInput
from onnx_lab.jupyter._parse import Call
from onnx_lab.jupyter._signature import Parameter, Signature, Takes

_BACKGROUND = "come back at once with a Job, and work beside the kernel: job.result waits, job.cancel() ends it"
_MEMORY = "megabytes (10^6 bytes) that the step may hold, in a process of its own. Default: 0.9 of what is free"
_TURN = "wait until nothing is being measured, and let nothing measure until the step has ended"
_TIMEOUT = "seconds after which the step is ended, in a process of its own. Default: none"


def _own(name: str, takes: Takes, default: object, doc: str) -> Parameter:
    return Parameter(name, takes, default, "", doc, positional=False, required=False, own=True)


JOB_OPTIONS = (
    _own("background", Takes(flag=True), None, _BACKGROUND),
    _own("memory_mb", Takes(real=True, whole=True), None, _MEMORY),
    _own("timeout_s", Takes(real=True, whole=True), None, _TIMEOUT),
    _own("in_turn", Takes(flag=True), None, _TURN),
)


@dataclass(frozen=True)
class JobOptions:
    """What the line said about how to work."""

    background: bool = False
    memory_mb: float | None = None
    timeout_s: float | None = None
    in_turn: bool = False
    cap_mb: float | None = None  #: what a child may hold when the line sets no limit

    @property
    def limited(self) -> bool:
        """Whether the line set a limit, which only a child process can hold to."""
        return self.memory_mb is not None or self.timeout_s is not None

    def with_cap(self, megabytes: float) -> JobOptions:
        """With another cap for children than a share of what is free."""
        return dataclasses.replace(self, cap_mb=megabytes)


def with_job_options(signature: Signature) -> Signature:
    """`signature`, and after its own options those of a job; one that the function has itself stays the function's."""
    known = {p.name for p in signature.parameters}
    more = tuple(p for p in JOB_OPTIONS if p.name not in known)
    return dataclasses.replace(signature, parameters=(*signature.parameters, *more))


def take_job_options(call: Call, signature: Signature) -> JobOptions:
    """Take the job's options out of `call`.

    Raises
    ------
    BadInput
        For a limit that is not above 0.
    """
    own = {p.name for p in signature.parameters if p.own}
    found = {name: call.arguments.pop(name) for name in own & call.arguments.keys()}
    for name in own:
        call.typed.pop(name, None)
    for name in ("memory_mb", "timeout_s"):
        if (value := found.get(name)) is not None and not value > 0:
            raise BadInput(f"--{name.replace('_', '-')} {value}", accepted="a number above 0")
    return JobOptions(**found)
