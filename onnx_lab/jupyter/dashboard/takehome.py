"""The selected variant: how it came to be, and what to take home: the file, the recipe, the plain Python."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import ipywidgets as w

from onnx_lab.card import megabytes
from onnx_lab.jupyter._code import Code
from onnx_lab.jupyter.dashboard import changes
from onnx_lab.jupyter.dashboard.desk import Desk, put
from onnx_lab.jupyter.dashboard.lines import walk
from onnx_lab.jupyter.dashboard.parts import code_html, show
from onnx_lab.jupyter.dashboard.state import State, Variant


class TakeHome:
    """Facts of one row, and buttons that act on it."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._shown = ""
        self.widget = desk.kit.column(name="section hidden")

    def _build(self) -> None:
        """Its controls come with the first row: the page is there sooner without them."""
        desk, kit = self.desk, self.desk.kit
        self.facts, self.line, self.code = kit.html(), kit.magic(), kit.html()
        self.path = kit.field(w.Text, "File", "lead", tip="File: where the model is saved", continuous_update=False)
        self.save = kit.button(
            "Save .onnx", "Save the selected model as an ONNX file", icon="download", style="primary"
        )
        self.recipe = kit.button("Save recipe", "Save the recipe as JSON beside it", icon="list")
        self.show = kit.toggle("Python", "Show the Python that makes it again", icon="code")
        self.fork = kit.button("Fork", "Fork: put the steps of this row into the form", icon="code-fork")
        self.drop = kit.button("Remove", "Remove this row and what comes from it", icon="trash")
        self.save.on_click(desk.heard(lambda _: self._save()))
        self.recipe.on_click(desk.heard(lambda _: self._save_recipe()))
        self.fork.on_click(desk.heard(lambda _: desk.choose(lambda s: changes.fork(s, s.selected))))
        self.drop.on_click(desk.heard(lambda _: desk.choose(lambda s: changes.drop(s, s.selected))))
        self.show.observe(desk.heard(lambda _: None), "value")
        buttons = kit.row(self.save, self.recipe, self.show, self.fork, self.drop, name="buttons")
        self.widget.children = [self.facts, self.path, buttons, self.line, self.code]

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
        sent += put(self.line, value=code_html(walk(state, v.steps)))
        return sent + put(self.code, value=self._python(v, state) if made and self.show.value else "")

    def _model(self) -> Any:
        state = self.desk.store.state
        v = state.variant(state.selected)
        assert v is not None  # the buttons are off without one
        return self.desk.conductor.model(v)

    def _save(self) -> None:
        path = self._path()
        saved = self._model().save(path)
        self.desk.say(f"Saved {saved} ({megabytes(saved.stat().st_size)}).")

    def _save_recipe(self) -> None:
        from onnx_lab.recipes.recipe import Recipe

        path = self._path().with_suffix(".recipe.json")
        path.write_text(Recipe.of(self._model(), name=path.name.removesuffix(".recipe.json")).to_json())
        self.desk.say(f"Saved {path}: lab.Recipe.from_json(text)(m) applies it.")

    def _path(self) -> Path:
        from onnx_lab.errors import BadInput

        text = self.path.value.strip()
        if not text.endswith(".onnx"):
            raise BadInput(f"file {text!r}", accepted="a path that ends in .onnx")
        return Path(text).expanduser()

    def _python(self, v: Variant, state: State) -> str:
        from onnx_lab.recipes.recipe import Recipe

        source = Recipe.of(self.desk.conductor.model(v)).to_python()
        return Code(f"# model.onnx: the model as it came, {state.source}\n{source}")._repr_html_()


def _facts(v: Variant, state: State) -> str:
    lineage = " → ".join(x.name for x in state.lineage(v))
    found = [
        ("lineage", lineage),
        ("verdict", v.verdict),
        ("ran by", v.provider or v.target),
        ("nodes", str(v.nodes) if v.nodes else ""),
    ]
    found += [("note", n) for n in v.notes[:4]] + ([("failed", v.error)] if v.error else [])
    items = "".join(f"<dt>{escape(k)}</dt><dd>{escape(x)}</dd>" for k, x in found if x)
    return f"<h3 class='ol-h'>{escape(v.name)}</h3><dl class='ol-facts'>{items}</dl>"
