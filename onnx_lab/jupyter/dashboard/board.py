"""The door: `dashboard` makes one, and a `Dashboard` shows itself and hands out what was found."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from onnx_lab.errors import BadInput, missing
from onnx_lab.jupyter import _stays
from onnx_lab.jupyter.dashboard import changes, snapshot, store
from onnx_lab.jupyter.dashboard.conductor import Conductor
from onnx_lab.jupyter.dashboard.desk import Desk
from onnx_lab.jupyter.dashboard.sources import SAMPLES, Sources, sample_name
from onnx_lab.jupyter.dashboard.state import State
from onnx_lab.jupyter.dashboard.store import Store
from onnx_lab.model import Model
from onnx_lab.runtime.target import Target
from onnx_lab.task import Dataset, Task

if TYPE_CHECKING:
    from onnx_lab.jupyter.dashboard.view import View


class Dashboard:
    """A dashboard; made by `onnx_lab.dashboard`.

    Attributes
    ----------
    state : State
        What was chosen and what is known.
    best, selected : Model or None
        The file to take, and that of the row which is selected.
    models : dict of str to Model
        Every file that was made, by its name in the table.
    """

    def __init__(self, state: State, sources: Sources) -> None:
        from onnx_lab.jupyter.dashboard.view import View

        self._store, self._sources = Store(state), sources
        self._conductor = Conductor(self._store, sources, on_news=self._news)
        self._desk = Desk(self._store, sources, self._conductor)
        self._desk.own_name = self._name
        self._view: View = View(self._desk)
        self._saved_in_notebook: list[Any] = []
        threading.Thread(target=self._examine, daemon=True, name="onnx_lab doctor").start()

    @property
    def state(self) -> State:
        """What was chosen and what is known."""
        return self._store.state

    @property
    def best(self) -> Model | None:
        """The file to take; None where none qualifies."""
        v = self.state.best
        return self._conductor.model(v) if v and v.path else None

    @property
    def selected(self) -> Model | None:
        """The file of the row that is selected."""
        v = self.state.variant(self.state.selected)
        return self._conductor.model(v) if v and v.path else None

    @property
    def models(self) -> dict[str, Model]:
        """Every file that was made."""
        return {v.name: self._conductor.model(v) for v in self.state.variants if v.path}

    @property
    def contestants(self) -> dict[str, tuple[Model, str]]:
        """What `onnx_lab.bench` and `onnx_lab.verdict` take: name -> file and target of every row that is timed."""
        return {v.name: (self._conductor.model(v), v.target) for v in self.state.variants if v.path and not v.untimed}

    @property
    def source(self) -> Any:
        """What the first row is made of, whatever it is called; its file, where that is from another session."""
        state, found = self.state, self._sources.resolve(self.state.source)
        gone = isinstance(found, str) and state.source in state.given and state.baseline and state.baseline.path
        return self._conductor.model(state.baseline) if gone and state.baseline else found

    @property
    def task(self) -> Task | None:
        """What accuracy means; None where outputs are compared."""
        return self._sources.task(self.state.task)

    @property
    def data(self) -> Any:
        """The feeds on which outputs are compared; None where there is a task, or random ones serve."""
        return self._sources.data(self.state.data) if self.state.data else None

    def run(self) -> Dashboard:
        """What the button does: make the ticked steps and measure. Comes back at once."""
        self._conductor.run()
        return self

    def wait(self, timeout_s: float | None = None) -> Dashboard:
        """Wait until nothing is under way."""
        self._conductor.wait(timeout_s)
        return self

    def cancel(self) -> None:
        """End what is under way; what was made stays."""
        self._conductor.cancel()

    def __repr__(self) -> str:
        return snapshot.card(self.state).text()

    def _repr_html_(self) -> str:
        return snapshot.card(self.state).html()

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        """The widgets; beside them the card, for front ends that have none."""
        return {**_stays.view_of(self._view.widget), "text/html": self._repr_html_(), "text/plain": repr(self)}

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display({**_stays.view_of(self._view.widget), "text/plain": _stays.live(snapshot.title(self.state))}, raw=True)
        # a second output outlives the widgets: a restarted kernel and a saved notebook still show the table
        self._saved_in_notebook.append(display(self._saved(), raw=True, display_id=True))
        self._view.pace.ask()

    def _saved(self) -> dict[str, str]:
        return {"text/html": snapshot.html(self.state), "text/plain": repr(self)}

    def _news(self) -> None:
        self._view.pace.ask()
        if not self._conductor.activity.busy:
            for handle in self._saved_in_notebook:
                with contextlib.suppress(Exception):  # the cell may be gone
                    handle.update(self._saved(), raw=True)

    def _name(self) -> str:
        """The variable that holds this, for the lines that are shown."""
        found = (k for k, v in _notebook().items() if v is self and not k.startswith("_"))
        return next(found, "board")

    def _examine(self) -> None:
        """Which providers run here, found out beside the first paint and not before it."""
        try:
            from onnx_lab.runtime.doctor import doctor

            found = doctor().providers
            self._desk.providers = tuple((p.target, p.runs, p.why) for p in found)
        except Exception as e:
            self._desk.say(f"The doctor failed: {e}", wrong=True)
        self._view.pace.ask()


def dashboard(
    model: Any = None,
    *,
    task: Task | None = None,
    data: Dataset | None = None,
    target: str | Target | None = None,
    resume: bool = False,
) -> Dashboard:
    """A dashboard: pick a model, tick steps, run, compare, and take the best file home, by clicks.

    Every control shows the magic line that it stands for. Work runs beside the kernel, which stays free. The state is
    kept in the workspace at every change.

    Parameters
    ----------
    model : Model, torch.nn.Module, Keras or scikit-learn model, str or Path, optional
        What to begin with; text is a path, a hub name, or a sample such as ``"lab.samples.bert()"``. Default: picked
        in the dashboard.
    task : Task, optional
        What accuracy means. Default: that of a sample.
    data : list of Feeds, optional
        Where there is no task: what outputs are compared with the model's own on. Default: random feeds.
    target : str or Target, optional
        Where the variants run. Default: the CPU.
    resume : bool, default False
        Go on with the dashboard that was changed last, also in another kernel.

    Returns
    -------
    Dashboard
        Shows itself; ``.best`` is the Model to take, ``.models`` holds all that were made.

    Raises
    ------
    BadInput
        For a target that nobody knows, or data that is no list of Feeds; with `resume`, when there is no dashboard in
        the workspace.
    MissingExtra
        Without ipywidgets or anywidget.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> board = lab.dashboard(lab.samples.tiny())
    >>> [step.verb for step in board.state.steps]
    ['optimize', 'quantize']
    """
    _check_installed()
    sources = Sources(_notebook)
    state = store.newest() if resume else changes.fresh(store.new_id(), _verbs())
    state = _with_new_verbs(state)
    if model is not None:
        state = _with_model(state, model, sources)
    if task is not None:
        if not isinstance(task, Task):
            raise BadInput(
                f"task of type {type(task).__name__}", accepted="a Task", do="lab.Task(name, feeds, labels, classes)"
            )
        state = changes.pick_judge(state, task=sources.give(task, "task"))
    elif data is not None:
        name = sources.give(data, "data")
        sources.data(name)
        state = changes.pick_judge(state, data=name)
    if target is not None:
        state = replace(state, target=str(Target.of(target)))
    saved = (name for name in state.given if name not in _notebook())  # of another session
    return Dashboard(replace(state, given=tuple(dict.fromkeys((*sources.given, *saved)))), sources)


def _with_model(state: State, model: Any, sources: Sources) -> State:
    text = model if isinstance(model, str) else str(model) if hasattr(model, "__fspath__") else ""
    if not text:
        text = sources.give(model, _identifier(getattr(model, "name", "")) or "model")
    own = sample_name(text)
    task = f"{own}.task" if own and SAMPLES[own].with_task else ""
    return changes.pick_source(state, text, task=task, is_model=sources.is_model(text))


def _with_new_verbs(state: State) -> State:
    """A state from the workspace may be older than a transform."""
    known = {d.step.verb for d in state.drafts}
    new = tuple(d for d in changes.fresh("", _verbs()).drafts if d.step.verb not in known)
    return replace(state, drafts=(*state.drafts, *(replace(d, on=False) for d in new))) if new else state


def _verbs() -> tuple[str, ...]:
    from onnx_lab.recipes.recipe import VERBS

    return tuple(VERBS)


def _notebook() -> Mapping[str, Any]:
    """The variables of the notebook; empty outside of one."""
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:
        return {}
    shell = get_ipython()
    if shell is None:
        return {}
    hidden = shell.user_ns_hidden
    return {k: v for k, v in shell.user_ns.copy().items() if k not in hidden}


def _identifier(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name).strip("_")


def _check_installed() -> None:
    for library in ("ipywidgets", "anywidget"):
        try:
            __import__(library)
        except ImportError:
            raise missing(library, "jupyter") from None
