"""``%onnx_export`` and its sisters: one magic for each core function, made from the function itself."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping
from typing import Any, cast

from IPython.core.magic import Magics, magics_class, no_var_expand
from traitlets import Bool, Float, Int, TraitError, Unicode, observe, validate

from onnx_lab import errors
from onnx_lab.background._signature import function_of
from onnx_lab.errors import did_you_mean
from onnx_lab.jupyter._manual import Manual
from onnx_lab.jupyter._names import Names
from onnx_lab.jupyter._options import take_job_options, with_job_options
from onnx_lab.jupyter._parse import Call, parse
from onnx_lab.jupyter._signature import Signature, read

#: Core functions that have a magic, with what is said while they run.
VERBS: Mapping[str, str] = {
    "export": "exporting",
    "simplify": "simplifying",
    "optimize": "optimizing",
    "fix_shapes": "fixing shapes",
    "fp16": "converting",
    "bf16": "converting",
    "mixed_precision": "searching",
    "quantize": "quantizing",
    "inspect": "inspecting",
    "nodes": "finding nodes of",
    "view": "drawing",
    "diff": "comparing",
    "infer": "running",
    "compare": "comparing",
    "accuracy": "scoring",
    "bench": "measuring",
    "profile": "profiling",
    "why": "explaining",
    "explain": "explaining",
    "trace": "tracing",
    "overflows": "rounding",
    "reduce": "reducing",
    "verdict": "judging",
    "best": "finding the best of",
    "doctor": "examining this machine",
    "jobs": "listing jobs",
}


@magics_class
class OnnxLab(Magics):
    """Settings of the onnx_lab magics: ``%config OnnxLab.debug = True``."""

    debug = Bool(False, help="Show full tracebacks of errors.").tag(config=True)
    target = Unicode(
        "", help="Where models run when no --target is given, e.g. openvino. Empty: each step's own default."
    )
    target.tag(config=True)
    threads = Int(0, help="Threads an engine may use. 0: what the container allows.").tag(config=True)

    memory_mb = Float(
        0.0, help="Megabytes (10^6 bytes) that a step in a process of its own may hold. 0: 0.9 of what is free."
    ).tag(config=True)

    def __init__(self, shell: Any = None, **settings: Any) -> None:
        super().__init__(shell=shell, **settings)
        self.magics["line"] |= {f"onnx_{verb}": _magic(self, verb) for verb in VERBS}

    @observe("debug")
    def _set_debug(self, change: Any) -> None:
        errors.debug = change["new"]

    @validate("target")
    def _known_target(self, proposal: Any) -> str:
        from onnx_lab.runtime.target import PROVIDERS

        word: str = proposal["value"]
        if word and word not in PROVIDERS:
            raise TraitError(f"target {word!r}: {did_you_mean(word, PROVIDERS)}")
        return word

    @validate("threads")
    def _possible_threads(self, proposal: Any) -> int:
        if proposal["value"] < 0:
            raise TraitError("threads is a whole number, 0 for what the container allows")
        return int(proposal["value"])

    @validate("memory_mb")
    def _possible_memory(self, proposal: Any) -> float:
        if proposal["value"] < 0:
            raise TraitError("memory_mb is a number of megabytes, 0 for 0.9 of what is free")
        return float(proposal["value"])

    def names(self, local_ns: Mapping[str, Any] | None = None) -> Names:
        """What a line may refer to: the cell's own scope, then the notebook's."""
        return Names(
            local_ns or {}, {k: v for k, v in self.shell.user_ns.items() if k not in self.shell.user_ns_hidden}
        )

    def run(self, verb: str, line: str, local_ns: Mapping[str, Any] | None = None, *, typed: str = "") -> Any:
        """What the magic does: read the line, call the function, return its value.

        `typed` is the line as it was typed, where `line` leaves the name of an edit out.
        """
        from onnx_lab.jupyter._run import Step

        magic, signature = magic_of(verb), signature_of(verb)
        call = parse(magic, signature, line, self.names(local_ns))
        if call.help:
            return Manual(magic, signature)
        how = take_job_options(call, signature)
        self._defaults(call, signature)
        if self.memory_mb:
            how = how.with_cap(self.memory_mb)
        if call.code:
            from onnx_lab.jupyter._plain import plain_code

            return plain_code(verb, call)
        if verb == "bench":
            _name_contestants(call)
        about = " ".join(call.typed.get(signature.positional[0].name, []) if signature.positional else [])
        title = f"{VERBS.get(verb, verb)} {about}".rstrip()
        value = Step(self.shell, verb, function(verb), call, how, title, about).run()
        return value if not call.silent or self._assigned(magic.split()[0], typed or line) else None

    def _assigned(self, magic: str, line: str) -> bool:
        """Whether the running cell keeps the value: ``m = %onnx_export net;`` is silent and still assigns."""
        code = re.escape(f"get_ipython().run_line_magic({magic[1:]!r}, {line!r})")
        cells = self.shell.history_manager.input_hist_parsed
        return bool(cells) and re.search(r"=\s*" + code, cells[-1]) is not None

    def _defaults(self, call: Call, signature: Signature) -> None:
        """Fill in what ``%config`` set and the line did not say."""
        names, given = {p.name for p in signature.parameters}, call.arguments
        for name in names & {"target", "targets"}:
            if self.target:
                given.setdefault(name, [self.target] if name == "targets" else self.target)
        if self.threads and "threads" in names:
            given.setdefault("threads", self.threads)
        elif self.threads and "target" in names:
            from onnx_lab.runtime.target import Target

            target = Target.of(given.get("target"))
            given["target"] = dataclasses.replace(target, threads=target.threads or self.threads)


def function(verb: str) -> Callable[..., Any]:
    """The core function of a magic; imports its module."""
    if verb == "jobs":
        from onnx_lab.jupyter._jobs import jobs

        return jobs
    return function_of(verb)


def magic_of(verb: str) -> str:
    """``"%onnx_fp16"``; of an edit, ``"surgery.expose"``, ``"%onnx_edit expose"``."""
    edit = verb.removeprefix("surgery.")
    return f"%onnx_edit {edit}" if edit != verb else f"%onnx_{verb}"


@functools.cache
def signature_of(verb: str) -> Signature:
    """What the magic takes; read at its first use or completion, never at load."""
    from onnx_lab.background.job import is_step

    signature = read(function(verb))
    return with_job_options(signature) if is_step(verb) else signature


def _magic(owner: OnnxLab, verb: str) -> Callable[..., Any]:
    """The callable that IPython registers as ``%onnx_<verb>``."""

    def magic(line: str, local_ns: Mapping[str, Any] | None = None) -> Any:
        return owner.run(verb, line, local_ns)

    known: Any = no_var_expand(magic)  # IPython would turn {net} into text before we see it; objects stay objects
    known.__name__ = f"onnx_{verb}"
    known.__doc__ = f"lab.{verb} as a magic; %onnx_{verb} -h is its manual."
    known.needs_local_scope = True
    # IPython's ``?`` asks for getdoc() first: the manual is made when somebody reads it
    known.getdoc = lambda: repr(Manual(f"%onnx_{verb}", signature_of(verb)))
    return cast("Callable[..., Any]", known)


def _name_contestants(call: Call) -> None:
    """Call things what the line calls them: a PyTorch module, which has no name, and Models that share one."""
    given, typed = call.arguments["contestants"], call.typed["contestants"]
    things = given if isinstance(given, list) else [given]
    if len(things) != len(typed) or any(isinstance(t, tuple | dict) for t in things):
        return
    own = [getattr(t, "name", None) for t in things]
    names = [text if n is None or own.count(n) > 1 else n for n, text in zip(own, typed, strict=True)]
    if names != own and len(set(names)) == len(names):
        call.arguments["contestants"] = dict(zip(names, things, strict=True))
