"""``%onnx_jobs``: the list of jobs, one of them, the end of one or of all."""

from __future__ import annotations

from onnx_lab.background.job import Job, Jobs
from onnx_lab.background.job import jobs as all_jobs
from onnx_lab.errors import BadInput


def jobs(number: int | None = None, *, cancel: int | str | None = None) -> Jobs | Job:
    """List the jobs, newest first; with a number, show that one.

    Parameters
    ----------
    number : int, optional
        The job to show, and to keep: ``job = %onnx_jobs 3``.
    cancel : int or {"all"}, optional
        The job to end, or all of them.

    Returns
    -------
    Jobs or Job

    Raises
    ------
    BadInput
        For a number that no job has.

    Examples
    --------
    >>> len(jobs()) >= 0
    True
    """
    found = all_jobs()
    if isinstance(cancel, str) and cancel != "all":
        raise BadInput(f"--cancel {cancel}", accepted="a job's number, or all")
    if cancel is not None:
        for job in found if cancel == "all" else [found[int(cancel)]]:
            job.cancel()
    if number is None and isinstance(cancel, int):
        number = cancel
    return found if number is None else found[number]
