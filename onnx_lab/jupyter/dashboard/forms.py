"""The controls of a step, made from the core function's own signature: a new option appears by itself."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import ipywidgets as w

from onnx_lab.errors import BadInput
from onnx_lab.jupyter._convert import accepted, value_of
from onnx_lab.jupyter._names import Names
from onnx_lab.jupyter._signature import Parameter, Signature
from onnx_lab.jupyter._words import Word
from onnx_lab.jupyter.dashboard.parts import Kit
from onnx_lab.jupyter.dashboard.state import Step

#: A control tells the option's name, and its text; None for the function's default.
Changed = Callable[[str, str | None], None]


class Form:
    """One control for each option.

    Parameters
    ----------
    signature : Signature
    step : Step
        Whose options it begins with.
    changed : callable
    feeds, providers : sequence of str
        What data and target options offer.
    names : callable
        The notebook's names, for what is typed.

    Attributes
    ----------
    widget : ipywidgets.Box
    controls : dict of str to widget
        By option.
    """

    def __init__(
        self,
        signature: Signature,
        step: Step,
        changed: Changed,
        *,
        feeds: Sequence[str] = (),
        providers: Sequence[str] = ("cpu",),
        names: Callable[[], Names] = Names,
        heard: Callable[[Callable[[Any], None]], Callable[[Any], None]] = lambda work: work,
        kit: Kit | None = None,
    ) -> None:
        self._changed, self._names, self._feeds = changed, names, tuple(feeds)
        self._showing = False
        self.parameters = {p.name: p for p in signature.parameters[1:] if p.name != "name"}
        given, kit = dict(step.options), kit or Kit()
        self.controls: dict[str, Any] = {}
        for name, p in self.parameters.items():
            control = _control(kit, p, given.get(name), feeds, providers)
            control.observe(heard(functools.partial(self._heard, p)), "value")
            self.controls[name] = control
        verb = escape(step.verb.removeprefix("surgery."))
        note = kit.html(f"<b>{verb}</b> <span class='ol-dim'>{escape(signature.summary)}</span>", "note")
        self.widget = kit.row(note, *self.controls.values(), name="form")

    def show(self, step: Step) -> None:
        """Set the controls to a step's options; for drawing."""
        given, self._showing = dict(step.options), True
        try:
            for name, p in self.parameters.items():
                wanted = _shown(p, given.get(name), self.controls[name])
                if self.controls[name].value != wanted:
                    self.controls[name].value = wanted
        finally:
            self._showing = False

    def _heard(self, p: Parameter, change: Any) -> None:
        if self._showing:
            return
        value = change["new"]
        text = _text(p, value)
        # what is offered needs no check, and a sample's feeds are not there before it is loaded
        if text is not None and not isinstance(value, bool) and text not in self._feeds:
            _check(p, text, self._names())
        self._changed(p.name, text)


def _control(kit: Kit, p: Parameter, given: str | None, feeds: Sequence[str], providers: Sequence[str]) -> Any:
    """A Checkbox for a flag, a Dropdown for a choice, a text field for numbers and words."""
    label, takes = p.option[2:], p.takes
    tip = " ".join([f"{p.declared}. {p.doc}".strip(". ")])
    if takes.flag and not takes.none:
        control = kit.field(w.Checkbox, label, tip=tip, indent=False)
    else:
        options = _options(p, given, feeds, providers)
        if options is not None:
            control = kit.field(w.Dropdown, label, tip=tip, options=options)
        else:
            default = "" if p.default in (None, (), "") else _plain(p.default)
            control = kit.field(w.Text, label, tip=tip, placeholder=default, continuous_update=False)
    control.value = _shown(p, given, control)
    return control


def _options(
    p: Parameter, given: str | None, feeds: Sequence[str], providers: Sequence[str]
) -> list[tuple[str, str]] | None:
    """What a Dropdown offers, "" for the default; None where anything may be typed."""
    takes = p.takes
    default = "choose" if p.required else f"{_plain(p.default)} (default)" if p.default is not None else "default"
    if takes.flag:
        words: Sequence[str] = ("true", "false")
    elif "Target" in takes.objects:
        words = providers
        default = "as chosen above"
    elif takes.choices and not takes.many:
        words = [c for c in takes.choices if c != p.default]
    elif not takes.text and not takes.whole and not takes.real and takes.objects:
        words = feeds
        default = "choose" if p.required else "none"
    else:
        return None
    extra = [given] if given and given not in words else []
    return [(default, ""), *((x, x) for x in (*words, *extra))]


def _shown(p: Parameter, given: str | None, control: Any) -> Any:
    if isinstance(control, w.Checkbox):
        return bool(p.default) if given is None else given == "true"
    if isinstance(control, w.Dropdown):
        if given and given not in [value for _, value in control.options]:
            control.options = (*control.options, (given, given))
        return given or ""
    return given or ""


def _text(p: Parameter, value: Any) -> str | None:
    """What a control says as an option's word; None for the default."""
    if isinstance(value, bool):
        return None if value == p.default else str(value).lower()
    text = str(value).strip()
    return None if not text or text == _plain(p.default) else text


def _check(p: Parameter, text: str, names: Names) -> None:
    """Refuse what the magic would refuse, before it is run. Raises BadInput."""
    if p.takes.flag and text in ("true", "false"):
        return
    try:
        value_of(p, [Word(text, False, 0)], names)
    except BadInput as e:
        if not e.accepted:
            raise BadInput(e.came, accepted=accepted(p), do=e.do) from None
        raise


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
