"""The doors into a notebook: ``%load_ext onnx_lab``, the magics, their completion, the live panel.

Nothing here measures, computes or edits a model: a magic reads its line, calls the core function of the same name and
returns what that returns.
"""

from __future__ import annotations

from typing import Any

_NAME = "OnnxLab"


def load(ip: Any) -> None:
    """Register the magics and their completion; a second time changes nothing."""
    from onnx_lab.jupyter import _edit_magic, _lab_magic
    from onnx_lab.jupyter._completion import matcher
    from onnx_lab.jupyter.magics import OnnxLab

    if _NAME in ip.magics_manager.registry:
        return
    magics = OnnxLab(shell=ip)
    magics.magics["line"][_lab_magic.NAME] = _lab_magic.lab_magic(magics)
    magics.magics["line"][_edit_magic.NAME] = _edit_magic.edit_magic(magics)
    ip.register_magics(magics)
    if getattr(ip, "Completer", None) is not None:
        ip.Completer.custom_matchers.append(matcher(magics))


def show_job(job: Any) -> bool:
    """Show a job below the cell that runs, in a kernel: its panel, once, while it works; what came of it, ever after.

    False where nothing was shown.
    """
    from IPython.core.getipython import get_ipython
    from IPython.display import display

    from onnx_lab.jupyter import _snapshot
    from onnx_lab.jupyter._job_panel import JobPanel
    from onnx_lab.jupyter.magics import VERBS

    shell = get_ipython()
    if getattr(shell, "kernel", None) is None or (job.on_display is not None and not job.done):
        return False
    title = f"{VERBS.get(job.verb, job.verb)} {job.name}".rstrip()
    if not job.done:
        JobPanel(shell, job, title).open()
        return True
    html, text = _snapshot.card(job, title)
    display({"text/html": html, "text/plain": text}, raw=True)
    if (picture := _snapshot.picture(job)) is not None:
        display(picture, raw=True)
    return True


def unload(ip: Any) -> None:
    """Take back everything that `load` registered."""
    from onnx_lab import errors
    from onnx_lab.jupyter._completion import is_ours

    manager = ip.magics_manager
    magics = manager.registry.pop(_NAME, None)
    if magics is None:
        return
    for name in magics.magics["line"]:
        manager.magics["line"].pop(name, None)
    ip.configurables[:] = [c for c in ip.configurables if c is not magics]
    completer = getattr(ip, "Completer", None)
    if completer is not None:
        completer.custom_matchers[:] = [m for m in completer.custom_matchers if not is_ours(m)]
    errors.debug = False
