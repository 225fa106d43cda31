"""What PyTorch's exporters report, said in the user's words: which operator, which line of theirs, what to try."""

from __future__ import annotations

import functools
import inspect
import linecache
import re
import sysconfig
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import onnx_lab
from onnx_lab.errors import ExportError, UnsupportedOperator

if TYPE_CHECKING:
    import torch

_OPERATOR = re.compile(r"No ONNX function found for <OpOverload\(op='([\w.]+)', overload='(\w+)'\)>")
_TORCHSCRIPT_OPERATOR = re.compile(r"operator '([\w:]+)'|unrecognized namespace ([\w:]+?)\.? ")
_STATIC = re.compile(r"static shape of (\d+) for dimension inputs\['input_(\d+)'\]\.shape\[(\d+)\]")
_FRAME = re.compile(r'File "([^"]+)", line (\d+), in (\S+)')

#: A line that loops, or asks how often to.
_LOOP = re.compile(r"\s*(async )?(for|while)\b|.*\brange\(")


@dataclass(frozen=True)
class Place:
    """A line of the user's code."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        code = linecache.getline(self.file, self.line).strip()
        where = f"line {self.line} of a notebook cell" if _is_cell(self.file) else f"{self.file}:{self.line}"
        return f"{where}, in {self.function}" + (f": {code}" if code else "")

    @property
    def short(self) -> str:
        """Without folders: fit to travel in a file."""
        return f"cell line {self.line}" if _is_cell(self.file) else f"{PurePath(self.file).name}:{self.line}"


def explain(error: BaseException, module: torch.nn.Module) -> ExportError:
    """The ExportError for what an exporter raised while it worked on `module`; raise it from `error`."""
    if isinstance(error, ExportError):
        return error
    chain = list(_chain(error))
    if is_data_dependent(error):
        return _data_dependent(chain)
    if operator := _operator(chain):
        return _unsupported(operator, chain, module)
    inner = chain[-1]
    place = place_of(error)
    first = (str(inner).strip().splitlines() or [""])[0][:300]
    at = f" ({place})" if place else ""
    return ExportError(
        f"{type(module).__name__} could not be exported: {type(inner).__name__}: {first}{at}",
        do="exporter='torchscript', or take the part that fails out of forward",
    )


def is_data_dependent(error: BaseException) -> bool:
    """Whether Python code decides by a tensor's values: no exporter can follow that, and tracing hides it."""
    return any(
        type(e).__name__ in ("GuardOnDataDependentSymNode", "PendingUnbackedSymbolNotFound")
        or "data-dependent" in str(e)[:400].lower()
        for e in _chain(error)
    )


def static_axes(error: BaseException) -> dict[tuple[int, int], int]:
    """(input, axis) -> the one size for which the module's code works, where torch.export says so."""
    found = {}
    for e in _chain(error):
        for size, i, axis in _STATIC.findall(str(e)):
            found[int(i), int(axis)] = int(size)
    return found


def place_of(error: BaseException) -> Place | None:
    """The innermost line outside of libraries that led to the error."""
    for e in reversed(list(_chain(error))):
        frames = [Place(f.filename, f.lineno or 0, f.name) for f in traceback.extract_tb(e.__traceback__)]
        said = [Place(f, int(n), fn) for f, n, fn in _FRAME.findall(str(e))]
        if theirs := [p for p in (*frames, *said) if not is_library(p.file)]:
            return theirs[-1]
    return None


def is_library(file: str) -> bool:
    """Whether a source file belongs to Python, an installed package, or this one."""
    if file.startswith("<"):
        return not _is_cell(file)
    return any(Path(file).is_relative_to(d) for d in _library_folders())


def _unsupported(operator: str, chain: list[BaseException], module: torch.nn.Module) -> UnsupportedOperator:
    node = _fx_node(chain)
    path, kind = _scope(node)
    place = _node_place(node) or _line_with(operator, module, path) or place_of(chain[0])
    used_in = f"{path} ({kind})" if path else kind
    own = not operator.startswith(("aten::", "prim::", "torchvision::"))
    do = (
        "write that step with plain tensor operations, or try another opset=; for an operator of your own, "
        "torch.onnx.export(custom_translation_table=...) in your code, then lab.load"
    )
    if operator.startswith("torchvision::"):
        do = "export backbone and head as one module whose forward ends before it, and do this step in Python"
    return UnsupportedOperator(
        f"the operator {operator} has no ONNX form"
        + (f"; it is used in {used_in}" if used_in else "")
        + (f", at {place}" if place else ""),
        accepted="operators of torch that onnxscript translates" + (", not custom ones" if own else ""),
        do=do,
    )


def _data_dependent(chain: list[BaseException]) -> ExportError:
    place = place_of(chain[0])
    if place is None:
        return ExportError(
            "forward decides by the values of a tensor, which a graph cannot, in code of a library",
            accepted="models whose steps are the same for all inputs",
            do="export the parts that do not (a detector's backbone and head: lab.export(net.backbone, example)) and "
            "keep the rest in Python",
        )
    if _LOOP.match(linecache.getline(place.file, place.line)):
        return ExportError(
            f"forward loops as often as a tensor's values say, which a graph cannot, at {place}",
            accepted="loops over shapes and layers",
            do="one operation on the whole axis (a mask, cumsum, gather, scatter); or keep the loop in Python and "
            "export the module that it calls",
        )
    return ExportError(
        f"forward decides by the values of a tensor, which a graph cannot, at {place}",
        accepted="decisions by shapes, dtypes and options",
        do="torch.where(condition, a, b), or torch.cond(condition, f, g, (x,)); exporter='torchscript' would keep only "
        "the branch that the example takes",
    )


def _operator(chain: list[BaseException]) -> str:
    """Name of the operator without ONNX form, as ``namespace::name``, or nothing."""
    for e in chain:
        if found := _OPERATOR.search(str(e)):
            overload = "" if found[2] == "default" else f".{found[2]}"
            return found[1].replace(".", "::", 1) + overload
        if type(e).__name__ == "UnsupportedOperatorError" and (found := _TORCHSCRIPT_OPERATOR.search(str(e))):
            return found[1] or found[2]
    return ""


def _fx_node(chain: list[BaseException]) -> Any:
    """The node the exporter was at: it is in the frames of the traceback and nowhere in the message."""
    for e in chain:
        for frame, _ in traceback.walk_tb(e.__traceback__):
            node = frame.f_locals.get("node")
            if type(node).__name__ == "Node" and hasattr(node, "meta"):
                return node
    return None


def _node_place(node: Any) -> Place | None:
    frames = _FRAME.findall((node.meta.get("stack_trace") or "") if node is not None else "")
    theirs = [Place(f, int(n), fn) for f, n, fn in frames if not is_library(f)]
    return theirs[-1] if theirs else None


def _scope(node: Any) -> tuple[str, str]:
    """Path and class of the user's module that a node came from, e.g. ``("encoder.layer.3", "Attention")``."""
    stack = list((node.meta.get("nn_module_stack") or {}).values()) if node is not None else []
    if not stack:
        return "", ""
    path, kind = stack[-1]
    return path, (kind if isinstance(kind, str) else kind.__name__).rsplit(".", 1)[-1]


def _line_with(operator: str, module: torch.nn.Module, path: str) -> Place | None:
    """The line of that module's forward which names the operator, else its first: torch does not trace all nodes."""
    try:
        forward = inspect.unwrap(type(module.get_submodule(path)).forward)
        lines, first = inspect.getsourcelines(forward)
    except (AttributeError, OSError, TypeError):
        return None
    short = operator.split("::")[-1].split(".")[0]
    name = re.compile(rf"\b({re.escape(short)}|{re.escape(short.replace('_', '.'))})\b")  # linalg_eig, linalg.eig
    offset = next((i for i, line in enumerate(lines) if name.search(line)), 0)
    return Place(forward.__code__.co_filename, first + offset, forward.__name__)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and its causes, outermost first."""
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        yield at
        at = at.__cause__


@functools.cache
def _library_folders() -> tuple[Path, ...]:
    folders = {sysconfig.get_path(p) for p in ("stdlib", "platstdlib", "purelib", "platlib")}
    return (*(Path(f) for f in folders), Path(onnx_lab.__file__).parent)


def _is_cell(file: str) -> bool:
    return "ipykernel_" in file or file.startswith("<ipython-input")
