"""PyTorch eager as an engine: the contestant that every export is measured against. Runs in the child only."""

from __future__ import annotations

import inspect
import io
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from onnx_lab.errors import BadInput, OnnxLabError, missing
from onnx_lab.runtime._hooks import hearing
from onnx_lab.runtime._wire import Array


class TorchEngine:
    """A ``torch.nn.Module`` in eval mode, without gradients, on the CPU, with the same thread budget as all.

    Parameters
    ----------
    pickled : bytes
        The module, from the parent's memory (never from a file).
    threads : int
        Intra-op threads; inter-op is 1.
    autocast : str, optional
        ``"bfloat16"`` runs under CPU autocast. Default: as the module is.
    search : sequence of str
        The parent's ``sys.path``, so that classes pickled by reference are found.
    """

    def __init__(self, pickled: bytes, threads: int, autocast: str | None = None, search: list[str] | None = None):
        import sys

        sys.path.extend(p for p in search or () if p not in sys.path)
        try:
            import torch
        except ImportError:
            raise missing("torch", "torch") from None
        torch.set_num_threads(threads)
        torch.set_num_interop_threads(1)
        # for the worker's life: entering it is not part of a forward pass. Kept, because it ends when it is collected.
        self._no_gradients = torch.inference_mode()
        self._no_gradients.__enter__()
        self._torch, self._autocast = torch, autocast
        start = time.perf_counter()  # the import is not counted, as it is not for ONNX Runtime
        self._module = _unpickle(pickled, torch).eval()
        self._forward = inspect.signature(self._module.forward)
        self.info = {
            "engine": f"torch {torch.__version__}",
            "provider": "torch",
            "providers": ["torch"],
            "nodes": {},
            "load_seconds": time.perf_counter() - start,
            "threads": threads,
            "precision": f"{autocast} autocast" if autocast else "as the module's weights",
        }

    def run(self, feeds: Mapping[str, Array], modules: Sequence[str] | None = None) -> dict[str, Array]:
        """Outputs by the names that an ONNX export would give them; with `modules`, what these returned instead."""
        with hearing(self._module, modules or (), self._torch) as returned:
            try:
                result = self.bind(feeds)()
            except Exception as e:
                raise self.explain(e) from e
        answers = named_tensors(result, self._torch) if modules is None else returned.items()
        return {name: _to_numpy(t) for name, t in answers}

    def explain(self, e: Exception) -> OnnxLabError:
        """What was wrong when the bare call raised `e`."""
        return BadInput(
            f"the PyTorch module refused the feeds: {type(e).__name__}: {(str(e).splitlines() or [''])[0]}",
            accepted=f"forward{self._forward}",
            do="give arrays that the module takes: bench(..., feeds=...)",
        )

    def bind(self, feeds: Mapping[str, Array]) -> Callable[[], Any]:
        """The bare call that is timed, with its tensors built."""
        args, kwargs = self._arguments(feeds)
        module = self._module
        if self._autocast is None:
            return lambda: module(*args, **kwargs)
        dtype, autocast = getattr(self._torch, self._autocast), self._torch.autocast

        def under_autocast() -> Any:
            with autocast("cpu", dtype=dtype):  # entered in each call, as its users do: it casts the weights anew
                return module(*args, **kwargs)

        return under_autocast

    def _arguments(self, feeds: Mapping[str, Array]) -> tuple[list[Any], dict[str, Any]]:
        """Keywords when ``forward`` has the names, else positions."""
        tensors = {k: self._torch.from_numpy(np.ascontiguousarray(v)) for k, v in feeds.items()}
        parameters = self._forward.parameters.values()
        takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters)
        if takes_all or all(k in self._forward.parameters for k in tensors):
            return [], tensors
        return list(tensors.values()), {}


def named_tensors(result: Any, torch: Any) -> list[tuple[str, Any]]:
    """Tensors of a forward's result by name: keys of a dict or ModelOutput, ``output`` or ``output_<i>`` else."""
    if isinstance(result, torch.Tensor):
        return [("output", result)]
    if isinstance(result, Mapping):
        return [(str(k), v) for k, v in result.items() if isinstance(v, torch.Tensor)]
    if isinstance(result, (tuple, list)):
        return [(f"output_{i}", v) for i, v in enumerate(result) if isinstance(v, torch.Tensor)]
    raise BadInput(f"the module returned {type(result).__name__}", accepted="a tensor, or a tuple or dict of tensors")


def _unpickle(pickled: bytes, torch: Any) -> Any:
    try:
        # a pickle from the parent's own memory, made a moment ago: there is nothing to distrust
        return torch.load(io.BytesIO(pickled), weights_only=False)
    except (ImportError, AttributeError) as e:
        raise BadInput(
            f"the module's class cannot be found in a fresh process: {e}",
            do="import it from a file that is on sys.path, or define it in the notebook",
        ) from e


def _to_numpy(tensor: Any) -> Array:
    tensor = tensor.detach().cpu()
    if str(tensor.dtype) == "torch.bfloat16":  # NumPy has none
        tensor = tensor.float()
    array: Array = tensor.numpy()
    return array
