"""The panel of a job that works beside the kernel: live while it works, a snapshot when it has ended."""

from __future__ import annotations

import threading
from typing import Any

from onnx_lab.background.job import Job
from onnx_lab.jupyter import _snapshot
from onnx_lab.jupyter._live import Live
from onnx_lab.jupyter._live_place import LivePlace
from onnx_lab.jupyter._place import Place


class JobPanel:
    """Three places below the cell that started `job`: the panel, a button to cancel, the figure at the end.

    All three are made while the cell runs, so what comes later lands below it, whichever cell runs then. Panel and
    button are widgets while the job works, so that a reload of the page brings them back; what stays at the end is
    plain HTML and is there after a restart, too.

    Parameters
    ----------
    shell : InteractiveShell
    job : Job
    title : str
        What is being done: ``"measuring fp32 int8"``.
    """

    def __init__(self, shell: Any, job: Job, title: str) -> None:
        self._shell, self._job, self._title = shell, job, title
        foot = f"job {job.number}; %onnx_jobs --cancel {job.number} ends it"
        self._live = Live(shell, title, foot=foot, place=LivePlace(shell, keep=f"lab.jobs()[{job.number}]"))
        self._live.printed = lambda: job.log
        self._button = CancelButton(shell, job)
        self._figure = Place(shell)

    def open(self) -> None:
        """Show it, and follow the job."""
        self._live.open(at_once=True)
        self._button.show()
        if self._job.verb in _snapshot.PICTURED_VERBS:
            self._figure.show(_snapshot.empty())
        self._job.on_display = lambda: self._live.place.is_in(self._shell)
        self._job.watch(self._news)

    def _news(self, job: Job) -> None:
        if not job.done:
            if job.progress is not None:
                self._live.progress(job.progress)
            return
        self._button.remove()
        self._live.close(*_snapshot.card(job, self._title))
        if (bundle := _snapshot.picture(job)) is not None:
            self._figure.show(bundle)


class CancelButton:
    """A button that ends a job; nothing where there is no ipywidgets."""

    def __init__(self, shell: Any, job: Job) -> None:
        self._job, self._place = job, Place(shell)
        self._widget: Any = None

    def show(self) -> None:
        """Put it into the cell."""
        try:
            import ipywidgets
        except ImportError:
            return
        label = f"Cancel job {self._job.number}"
        self._widget = ipywidgets.Button(description="Cancel", tooltip=label, icon="stop")
        self._widget.layout.width = "auto"
        self._widget.on_click(self._clicked)
        bundle = dict(self._widget._repr_mimebundle_() or {})
        # a front end without widgets says in words what it cannot draw
        self._place.show({**bundle, "text/plain": f"{label}: lab.jobs()[{self._job.number}].cancel()"})

    def remove(self) -> None:
        """Take it away: a widget in a saved notebook is dead."""
        if self._widget is not None:
            self._place.show(_snapshot.empty())
            self._widget.close()

    def _clicked(self, button: Any) -> None:
        button.disabled = True
        # a callback is short: which thread it is called in depends on the kernel's version
        threading.Thread(target=self._job.cancel, daemon=True).start()
