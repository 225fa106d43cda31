"""The selected variant: how it came to be, and what to take home: the file, the recipe, the plain Python."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets as w

from onnx_lab import workspace
from onnx_lab.card import megabytes
from onnx_lab.jupyter._code import Code
from onnx_lab.jupyter.dashboard import changes
from onnx_lab.jupyter.dashboard.activity import told
from onnx_lab.jupyter.dashboard.desk import Desk, put
from onnx_lab.jupyter.dashboard.lines import walk
from onnx_lab.jupyter.dashboard.parts import show
from onnx_lab.jupyter.dashboard.state import State, Variant


class TakeHome:
    """Facts of one row, and buttons that act on it."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._shown = ""
        self._said = ("", "")  # the row that a button was pressed for, and what came of it, as HTML
        self.widget = desk.kit.column(name="section hidden")

    def _build(self) -> None:
        """Its controls come with the first row: the page is there sooner without them."""
        desk, kit = self.desk, self.desk.kit
        self.facts, self.line, self.code, self.told = kit.html(), kit.magic(), kit.html(), kit.html()
        self.path = kit.field(w.Text, "File", "lead", tip="File: where the model is saved", continuous_update=False)
        self.save = kit.button(
            "Save .onnx", "Save the selected model as an ONNX file", icon="download", style="primary"
        )
        self.recipe = kit.button("Save recipe", "Save the recipe as JSON beside it", icon="list")
        self.show = kit.toggle("Python", "Show the Python that makes it again", icon="code")
        self.fork = kit.button("Fork", "Fork: put the steps of this row into the form", icon="code-fork")
        self.drop = kit.button("Remove", "Remove this row and what comes from it", icon="trash")
        self.save.on_click(self._does(self._save))
        self.recipe.on_click(self._does(self._save_recipe))
        self.fork.on_click(desk.heard(lambda _: desk.choose(lambda s: changes.fork(s, s.selected))))
        self.drop.on_click(desk.heard(lambda _: desk.choose(lambda s: changes.drop(s, s.selected))))
        self.show.observe(desk.heard(lambda _: None), "value")
        buttons = kit.row(self.save, self.recipe, self.show, self.fork, self.drop, name="buttons")
        self.widget.children = [self.facts, self.path, buttons, self.told, self.line, self.code]

    def draw(self, state: State) -> int:
        """The row that is selected; nothing where there is none."""
        v = state.variant(state.selected)
        show(self.widget, v is not None)
        if v is None:
            return 0
        if not self.widget.children:
            self._build()
        made, busy = bool(v.path), self.desk.conductor.activity.busy
        sent = put(self.facts, value=_facts(v, state))
        for control in (self.save, self.recipe, self.show):
            sent += put(control, disabled=not made)
        sent += put(self.drop, disabled=v.parent is None or busy) + put(self.fork, disabled=not v.steps)
        if self._shown != v.id:
            self._shown = v.id
            sent += put(self.path, value=f"{v.name.replace(' ', '-')}.onnx")
        sent += put(self.told, value=self._said[1] if self._said[0] == v.id else "")
        sent += put(self.line, value=self.desk.code(walk(state, v.steps)))
        return sent + put(self.code, value=self._python(v, state) if made and self.show.value else "")

    def _model(self) -> Any:
        state = self.desk.store.state
        v = state.variant(state.selected)
        assert v is not None  # the buttons are off without one
        return self.desk.conductor.model(v)

    def _does(self, work: Callable[[], str]) -> Callable[[Any], None]:
        """A callback whose outcome is said in the status line, and where the button was pressed: they are far apart."""

        def acted(_: Any) -> None:
            row = self.desk.store.state.selected
            try:
                words = work()
            except Exception as e:
                self._said = row, f"<span class='ol-bad'>{escape(told(e))}</span>"
                raise
            self._said = row, f"<span>{escape(words)}</span>"
            self.desk.say(words)

        return self.desk.heard(acted)

    def _save(self) -> str:
        path = self._path()
        replaced = ", in place of the file that was there" if path.exists() else ""
        saved = self._model().save(path)
        return f"Saved {saved} ({megabytes(saved.stat().st_size)}){replaced}."

    def _save_recipe(self) -> str:
        from onnx_lab.recipes.recipe import Recipe

        path = self._path().with_suffix(".recipe.json")
        replaced = ", in place of the file that was there" if path.exists() else ""
        workspace.write_text(path, Recipe.of(self._model(), name=path.name.removesuffix(".recipe.json")).to_json())
        return f"Saved {path}{replaced}: lab.Recipe.from_json(text)(m) applies it."

    def _path(self) -> Path:
        from onnx_lab.errors import BadInput

        text = self.path.value.strip()
        if not text.endswith(".onnx"):
            raise BadInput(f"file {text!r}", accepted="a path that ends in .onnx")
        return Path(text).expanduser()

    def _python(self, v: Variant, state: State) -> str:
        from onnx_lab.recipes.recipe import Recipe

        source = Recipe.of(self.desk.conductor.model(v)).to_python()
        above = f"# model.onnx: the model as it came, {state.source}\n"
        if "data=data" in source:
            feeds = next((text for s in v.steps for name, text in s.options if name == "data"), "a list of Feeds")
            source = source.replace("\n\n", f"\n\ndata = ...  # what it was calibrated on: {feeds}\n", 1)
        return Code(f"{above}{source}")._repr_html_()


def _facts(v: Variant, state: State) -> str:
    lineage = " → ".join(x.name for x in state.lineage(v))
    found = [
        ("lineage", lineage),
        ("verdict", v.verdict),
        ("ran by", v.provider or v.target),
        ("nodes", str(v.nodes) if v.nodes else ""),
        ("answers", f"not judged: {v.unjudged}" if v.unjudged else ""),
        ("latency", f"not timed: {v.untimed}" if v.untimed else ""),
    ]
    found += [("note", n) for n in v.notes[:4]] + ([("failed", v.error)] if v.error else [])
    items = "".join(f"<dt>{escape(k)}</dt><dd>{escape(x)}</dd>" for k, x in found if x)
    return f"<h3 class='ol-h'>{escape(v.name)}</h3><dl class='ol-facts'>{items}</dl>"
