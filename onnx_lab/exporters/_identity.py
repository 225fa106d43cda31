"""The identity of a source for the cache: the same weights, options and code give the same key, anything else another.

For a module that means every tensor's bytes, every plain attribute, and the code of the classes and functions that
are not from an installed package: in a notebook a forward is edited far more often than its weights. What cannot be
identified for sure is not cached. Installed packages are covered by their versions.
"""

from __future__ import annotations

import hashlib
import inspect
import pickle
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from onnx_lab._onnxfile import file_digest
from onnx_lab.exporters.explain import is_library

if TYPE_CHECKING:
    import torch

#: Attributes of nn.Module that are looked at one by one, or say nothing about the answers.
_HANDLED = frozenset("_parameters _buffers _modules training".split())


class _Unsure(Exception):
    """Something whose identity cannot be told."""


def module_identity(module: torch.nn.Module, *more: Any) -> str | None:
    """SHA-256 in hex over all that decides the answers of `module`, and over `more`; None when that cannot be told.

    Examples
    --------
    >>> import torch
    >>> a = torch.nn.Linear(2, 2)
    >>> before = module_identity(a)
    >>> before == module_identity(a), before == module_identity(torch.nn.Linear(2, 2))
    (True, False)
    """
    digest = _Digest()
    try:
        for path, part in module.named_modules():
            digest.text(f"module {path}")
            digest.part(part)
        digest.value(more)
    except _Unsure:
        return None
    return digest.hex()


def value_identity(*values: Any) -> str | None:
    """SHA-256 in hex over plain values, arrays and tensors; None when their identity cannot be told."""
    digest = _Digest()
    try:
        digest.value(values)
    except _Unsure:
        return None
    return digest.hex()


def folder_identity(files: Iterable[Path]) -> str:
    """SHA-256 in hex over the names and contents of `files`."""
    ordered = sorted(files)
    names = "\n".join(f.name for f in ordered)
    return hashlib.sha256((names + file_digest(ordered)).encode()).hexdigest()


class _Digest:
    """A hash over Python values, by content."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._seen: dict[int, Any] = {}  # keeps the objects alive, so that no id is given twice

    def hex(self) -> str:
        return self._hash.hexdigest()

    def part(self, module: torch.nn.Module) -> None:
        """A module without its sub-modules: its class, its attributes, its tensors."""
        import torch

        self.value(type(module))
        internal = vars(torch.nn.Module())  # its hooks and the like count only where there are any
        for name, value in vars(module).items():
            if name not in _HANDLED and not (name in internal and not value):
                self.text(name)
                self.value(value)
        for name, tensor in (*module._parameters.items(), *module._buffers.items()):
            self.text(name)
            self.value(tensor)

    def text(self, text: str) -> None:
        data = text.encode()
        self._hash.update(f"{len(data)}:".encode())
        self._hash.update(data)

    def value(self, value: Any) -> None:
        """Any value; raises _Unsure for what has no content that can be told."""
        if value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
            self.text(repr(value))
            return
        if id(value) in self._seen:
            self.text("again")
            return
        self._seen[id(value)] = value
        self.text(type(value).__qualname__)
        next(feed for kinds, feed in self._feeds() if isinstance(value, kinds))(value)

    def _feeds(self) -> list[tuple[Any, Callable[[Any], None]]]:
        import torch

        return [
            (torch.Tensor, self._tensor),
            (np.ndarray, self._array),
            ((torch.dtype, torch.device, torch.Size, np.generic, range, slice), lambda v: self.text(repr(v))),
            (torch.nn.Module, self._module),
            (Mapping, lambda v: self._items([x for pair in v.items() for x in pair])),
            ((tuple, list), self._items),
            ((set, frozenset), lambda v: self._items(sorted(v, key=repr))),
            (type, self._class),
            ((FunctionType, MethodType), self._function),
            (CodeType, self._code),
            (ModuleType, self._imported),
            (object, self._pickled),
        ]

    def _tensor(self, tensor: torch.Tensor) -> None:
        import torch

        if tensor.is_meta or tensor.is_quantized or tensor.layout is not torch.strided:
            raise _Unsure
        self.text(f"{tensor.dtype} {tuple(tensor.shape)}")
        flat = tensor.detach().cpu().resolve_conj().contiguous().reshape(-1)
        self._hash.update(flat.view(torch.uint8).numpy() if flat.numel() else b"")

    def _array(self, array: np.ndarray[Any, Any]) -> None:
        if array.dtype.hasobject:
            raise _Unsure
        self.text(f"{array.dtype} {array.shape}")
        self._hash.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)

    def _module(self, module: torch.nn.Module) -> None:
        """A module held in a plain attribute; its own sub-modules are part of it."""
        self.text(module_identity(module) or self._give_up())

    def _items(self, values: Iterable[Any]) -> None:
        for v in values:
            self.value(v)

    def _class(self, kind: type) -> None:
        self.text(f"{kind.__module__}.{kind.__qualname__}")
        if _is_users(kind):
            self._items(kind.__bases__)
            for name, member in vars(kind).items():
                if not name.startswith("__") or name in ("__init__", "__call__", "__torch_function__"):
                    self.text(name)
                    self._member(member)

    def _member(self, member: Any) -> None:
        inner = getattr(member, "__func__", None) or getattr(member, "fget", None) or member
        self.value(inspect.unwrap(inner) if callable(inner) else inner)

    def _function(self, function: Any) -> None:
        function = inspect.unwrap(getattr(function, "__func__", function))
        self.text(f"{function.__module__}.{function.__qualname__}")
        if not _is_users(function):
            return
        self._code(function.__code__)
        self._items([function.__defaults__, function.__kwdefaults__])
        try:
            self._items([c.cell_contents for c in function.__closure__ or ()])
        except ValueError:  # a cell that is not filled yet
            self._give_up()
        self._items([function.__globals__[n] for n in _names(function.__code__) if n in function.__globals__])

    def _code(self, code: CodeType) -> None:
        """What it does, not where it stands: moving a cell changes nothing."""
        self._hash.update(code.co_code)
        self._items([code.co_names, code.co_varnames, code.co_consts])

    def _imported(self, module: ModuleType) -> None:
        """The name; of the user's own files the text too."""
        self.text(module.__name__)
        if _is_users_module(module):
            self.text(file_digest([Path(str(module.__file__))]))

    def _pickled(self, value: Any) -> None:
        try:
            self._hash.update(pickle.dumps(value, protocol=5))
        except Exception:
            self._give_up()

    def _give_up(self) -> str:
        raise _Unsure


def _is_users(thing: Any) -> bool:
    """Whether the code is the user's: not built in, not from an installed package.

    What ``exec`` made counts as theirs: to hash too much costs a cache miss, to hash too little gives a stale model.
    """
    if isinstance(thing, type):
        module = sys.modules.get(thing.__module__)
        return thing.__module__ == "__main__" or module is None or _is_users_module(module)
    file = thing.__code__.co_filename
    return not is_library(file) or (file.startswith("<") and not file.startswith("<frozen"))


def _is_users_module(module: ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and not is_library(file)


def _names(code: CodeType) -> list[str]:
    """Global names that a function refers to, inner functions included."""
    inner = [n for c in code.co_consts if isinstance(c, CodeType) for n in _names(c)]
    return list(dict.fromkeys([*code.co_names, *inner]))
