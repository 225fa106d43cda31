"""The state that holds now, what it was before, who wants to hear of a change, and its file in the workspace."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from onnx_lab import workspace
from onnx_lab.errors import BadInput
from onnx_lab.jupyter.dashboard.state import State, from_json, to_json

#: Steps that can be taken back.
_MOST_UNDO = 100


class Store:
    """Holds one `State`. Every method may be called from any thread.

    Parameters
    ----------
    state : State
        To begin with.
    """

    def __init__(self, state: State) -> None:
        self._state, self._lock = state, threading.RLock()
        self._past: list[State] = []
        self._future: list[State] = []
        self._heard_by: list[Callable[[], None]] = []

    @property
    def state(self) -> State:
        """What holds now."""
        return self._state

    def change(self, how: Callable[[State], State]) -> State:
        """What a person did: can be taken back. A change that changes nothing leaves no trace."""
        with self._lock:
            before, after = self._state, how(self._state)
            if after == before:
                return before
            self._past = [*self._past[1 - _MOST_UNDO :], before]
            self._future, self._state = [], after
        self._tell()
        return after

    def learn(self, how: Callable[[State], State]) -> State:
        """What was found out, or only looked at: an undo does not take it back."""
        with self._lock:
            before, self._state = self._state, how(self._state)
        if self._state != before:
            self._tell()
        return self._state

    @property
    def can_undo(self) -> bool:
        """Whether there is a choice to take back."""
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        """Whether there is one to make again."""
        return bool(self._future)

    def undo(self) -> None:
        """Take the last choice back. Measurements stay: they are true whatever is chosen."""
        self._go(self._past, self._future)

    def redo(self) -> None:
        """Make the choice again that was taken back."""
        self._go(self._future, self._past)

    def subscribe(self, hear: Callable[[], None]) -> None:
        """Call `hear()` after each change, from the thread that made it; it has to be quick."""
        self._heard_by.append(hear)

    def _go(self, take: list[State], put: list[State]) -> None:
        with self._lock:
            if not take:
                return
            put.append(self._state)
            there = take.pop()
            facts = {v.id: v for v in self._state.variants}
            variants = tuple(facts.get(v.id) or v.settled() for v in there.variants)
            self._state = replace(there, variants=variants)
        self._tell()

    def _tell(self) -> None:
        for hear in tuple(self._heard_by):
            hear()


def new_id() -> str:
    """A name for a dashboard's file: the time it was made, and what keeps two of one second apart."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


def folder() -> Path:
    """Where dashboards are kept."""
    return workspace.root() / "dashboards"


def save(state: State, where: Path) -> Path:
    """Write the state into a folder, whole or not at all. Raises WorkspaceError."""
    path = where / f"{state.id}.json"
    workspace.write_json(path, to_json(state))
    return path


def newest() -> State:
    """The dashboard that was changed last.

    Raises
    ------
    BadInput
        When there is none, or it cannot be read.
    """
    found = sorted(folder().glob("*.json"), key=lambda p: p.stat().st_mtime)
    if not found:
        raise BadInput(f"no dashboard in {folder()}", do="lab.dashboard(model) begins one")
    try:
        return from_json(json.loads(found[-1].read_text()))
    except ValueError as e:
        raise BadInput(f"{found[-1].name} cannot be read: {e}", do="lab.dashboard(model) begins another") from None
