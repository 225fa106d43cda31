"""Jobs: steps of the lab that work beside the kernel; how one begins, and the list of all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from numbers import Real
from typing import Any

from onnx_lab.background._job import Job
from onnx_lab.background._packed import Call
from onnx_lab.background._signature import check_call
from onnx_lab.background._words import told
from onnx_lab.card import Card, Shown, Table
from onnx_lab.errors import BadInput, did_you_mean
from onnx_lab.runtime._hardware import this_hardware
from onnx_lab.surgery import EDITS

__all__ = ["Job", "Jobs", "jobs", "start"]

#: Steps that can be a job: what works longer than a moment.
VERBS = (
    "export simplify optimize fix_shapes fp16 bf16 mixed_precision quantize compare accuracy bench profile why trace "
    "overflows reduce verdict best"
).split()
#: Share of the memory that is free when a job starts that it may take by itself.
_SHARE = 0.9

_all: list[Job] = []


def start(
    verb: str,
    *positional: Any,
    job_name: str | None = None,
    memory_mb: float | None = None,
    timeout_s: float | None = None,
    in_turn: bool = False,
    **options: Any,
) -> Job:
    """Begin one of the lab's steps in a child process, and come back at once.

    Parameters
    ----------
    verb : str
        The function: ``"bench"`` for `onnx_lab.bench`, ``"surgery.expose"`` for an edit, and so on.
    *positional, **options
        What the function takes.
    job_name : str, optional
        What is said of it in lists. Default: the name of its first Model.
    memory_mb : float, optional
        Megabytes (10^6 bytes) that it may hold with all its engines. Default: 0.9 of what is free now, in this
        container.
    timeout_s : float, optional
        Seconds after which it is ended. Default: none.
    in_turn : bool, default False
        Wait until nothing is being measured, and let nothing measure until it has ended. Without it, it works beside
        a benchmark, which will say that it was disturbed. What measures itself always waits for its turn.

    Returns
    -------
    Job
        ``.progress``, ``.log``, ``.cancel()``, ``.wait()``, ``.result``; ``await job`` gives the result.

    Raises
    ------
    BadInput
        For a verb that is none of the lab's, a limit that is not above 0, or what the function does not take.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> job = lab.start("optimize", lab.samples.tiny())
    >>> job.result.name, job.state
    ('tiny-optimized', 'done')
    """
    name = job_name if job_name is not None else _about(positional, options)
    return begin(verb, positional, options, name=name, memory_mb=memory_mb, timeout_s=timeout_s, in_turn=in_turn)


def begin(
    verb: str,
    positional: tuple[Any, ...],
    options: Mapping[str, Any],
    *,
    name: str,
    memory_mb: float | None = None,
    timeout_s: float | None = None,
    in_turn: bool = False,
    only_child: bool = False,
) -> Job:
    """As `start`; with `only_child`, what cannot travel raises `CannotTravel` or ends with it."""
    if not is_step(verb):
        raise BadInput(
            f"a job {verb!r}",
            accepted=f"{', '.join(VERBS)}, or an edit: surgery.{next(iter(EDITS))} and so on",
            do=did_you_mean(verb, [*VERBS, *(f"surgery.{e}" for e in EDITS)]),
        )
    for option, value in {"memory_mb": memory_mb, "timeout_s": timeout_s}.items():
        if value is not None and not (isinstance(value, Real) and value > 0):
            raise BadInput(f"{option}={value!r}", accepted="a number above 0")
    check_call(verb, positional, options)
    cap = int(memory_mb * 1e6) if memory_mb is not None else _free_share()
    job = Job(verb, name, cap, timeout_s)
    job._begin(Call(verb, {"*": positional, **options}, in_turn), only_child=only_child)
    _all.append(job)
    return job


def is_step(verb: str) -> bool:
    """Whether this can be a job: one of `VERBS`, or an edit such as ``"surgery.expose"``."""
    return verb in VERBS or (verb.startswith("surgery.") and verb.removeprefix("surgery.") in EDITS)


class Jobs(Shown):
    """All jobs of this Python, newest first; ``jobs()[3]`` is job 3."""

    def __init__(self, found: list[Job]) -> None:
        self._found = found

    def __len__(self) -> int:
        return len(self._found)

    def __iter__(self) -> Iterator[Job]:
        return reversed(self._found)

    def __getitem__(self, number: int) -> Job:
        for job in self._found:
            if job.number == number:
                return job
        raise BadInput(f"job {number}", accepted=", ".join(str(j.number) for j in self._found) or "none yet")

    def _card(self) -> Card:
        rows = tuple((str(j.number), f"{j.verb} {j.name}", j._state_words(), _how_far(j)) for j in self)
        running = sum(not j.done for j in self._found)
        table = Table(("", "job", "state", "progress"), rows)
        return Card(f"{running} running of {len(self._found)} jobs", [], [table] if rows else [])


def jobs() -> Jobs:
    """The jobs that were started, running or not.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> len(lab.jobs()) >= 0
    True
    """
    return Jobs(list(_all))


def _how_far(job: Job) -> str:
    if job.state == "failed":
        return next(iter(str(job.error).splitlines()), "") or type(job.error).__name__
    return "" if job.done else told(job.progress or {})


def _about(positional: tuple[Any, ...], options: Mapping[str, Any]) -> str:
    for given in (*positional, *options.values()):
        for one in given if isinstance(given, list | tuple) else [given]:
            if isinstance(name := getattr(one, "name", None), str):
                return name
    return type(positional[0]).__name__ if positional else ""


def _free_share() -> int | None:
    free = this_hardware().available_bytes
    return int(_SHARE * free) if free else None
