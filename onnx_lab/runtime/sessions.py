"""ONNX Runtime sessions, as the worker opens them: the thread budget, the provider, and the truth about who ran what.

Runs in the child only. Every way an engine can refuse becomes one error of the lab's tree.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from onnx_lab.errors import BadModel, OnnxLabError, ProviderError
from onnx_lab.produce import EXTERNAL_ABOVE_BYTES
from onnx_lab.runtime import _openvino
from onnx_lab.runtime._profiling import read_profile
from onnx_lab.runtime._refusals import absent_library, load_error, run_error
from onnx_lab.runtime._wire import Array

#: Bookkeeping that a provider leaves to the CPU: a node count without these tells who does the work.
_BOOKKEEPING = frozenset(
    "Shape Constant Cast Gather Unsqueeze Squeeze Concat Slice Identity MemcpyToHost MemcpyFromHost".split()
)

_REMEDIES = {
    "CUDAExecutionProvider": "with an NVIDIA GPU: pip install 'onnxruntime-gpu[cuda,cudnn]'; else target 'cpu'",
    "TensorrtExecutionProvider": "with an NVIDIA GPU: pip install tensorrt; else target 'cpu'",
}

_ON_CUDA = ("CUDAExecutionProvider", "TensorrtExecutionProvider")
_ERRORS_ONLY = 3
_LEVELS = {"disable": "ORT_DISABLE_ALL", "basic": "ORT_ENABLE_BASIC"}


class OrtEngine:
    """An ``InferenceSession`` with one thread budget, and the account of which provider holds which nodes.

    Parameters
    ----------
    path : str
        The ``.onnx`` file.
    provider : str
        ONNX Runtime's name, e.g. ``"CPUExecutionProvider"``.
    options : mapping of str to str
        The provider's options.
    threads : int
        Intra-op threads; inter-op is 1.
    hints : mapping
        The model's session hints: ``disabled_optimizers``, ``graph_optimization_level`` (``"disable"`` or
        ``"basic"``), ``save_optimized_to``: where to write the graph that the session made of the file,
        ``profile_to``: the folder for what the profiler finds, and ``lean``: less memory before speed.
    spinning, io_binding : bool
        As in `Target`.

    Raises
    ------
    BadModel
        When the engine cannot load the file.
    ProviderError
        When the provider is not there, or left every node to the CPU.
    """

    def __init__(
        self,
        path: str,
        provider: str,
        options: Mapping[str, str],
        threads: int,
        hints: Mapping[str, Any],
        spinning: bool = True,
        io_binding: bool = False,
    ) -> None:
        ort = quiet_onnxruntime()
        start = time.perf_counter()
        session_options = _session_options(ort, path, threads, hints)
        if not spinning:
            session_options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session: Any = _open(ort, path, provider, options, threads, hints, session_options)
        self._device = ("cuda" if provider in _ON_CUDA else "cpu") if io_binding else ""
        self.load_seconds = time.perf_counter() - start
        self._names = [o.name for o in self._session.get_outputs()]
        nodes = nodes_per_provider(self._session)
        _require_provider(provider, nodes, self._session.get_providers())
        self.info = {
            "engine": f"onnxruntime {ort.__version__}",
            "provider": provider,
            "providers": list(self._session.get_providers()),
            "nodes": {name: sum(ops.values()) for name, ops in nodes.items()},
            "operators": {name: dict(ops.most_common()) for name, ops in nodes.items()},
            "load_seconds": self.load_seconds,
            "threads": threads,
            "precision": _precision(provider, options),
        }

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None) -> dict[str, Array]:
        """All outputs by name, or those in `outputs`."""
        names = self._names if outputs is None else list(outputs)
        try:
            values = self._session.run(names, dict(feeds))
        except Exception as e:
            raise self.explain(e) from e
        for name, value in zip(names, values, strict=True):
            _require_plain(name, value)
        return dict(zip(names, values, strict=True))

    def bind(self, feeds: Mapping[str, Array]) -> Callable[[], Sequence[Array]]:
        """The bare call that is timed."""
        run, inputs = self._session.run, dict(feeds)
        return self._bound(inputs) if self._device else lambda: run(None, inputs)

    def _bound(self, feeds: Mapping[str, Array]) -> Callable[[], Sequence[Array]]:
        """The same with inputs on the device already, and outputs left there."""
        from onnxruntime import OrtValue

        session, binding = self._session, self._session.io_binding()
        for name, value in feeds.items():
            binding.bind_ortvalue_input(name, OrtValue.ortvalue_from_numpy(value, self._device, 0))
        for name in self._names:
            binding.bind_output(name, self._device)

        def call() -> Sequence[Array]:
            session.run_with_iobinding(binding)
            binding.synchronize_outputs()
            return ()

        return call

    def profile(self, feeds: Mapping[str, Array], runs: int, warmup: int) -> dict[str, Any]:
        """Median seconds of each node; ends the profiling that the hint ``profile_to`` began."""
        for _ in range(warmup + runs):
            self.run(feeds)
        return read_profile(Path(self._session.end_profiling()), warmup)

    def explain(self, e: Exception) -> OnnxLabError:
        """What was wrong when the bare call raised `e`."""
        return run_error(e)


def quiet_onnxruntime() -> Any:
    """Import onnxruntime, errors only: its warnings about absent GPUs say nothing to someone who asked for the CPU."""
    try:
        import onnxruntime as ort
    except ImportError as e:
        raise ProviderError(
            f"onnxruntime cannot be imported: {e}",
            accepted="onnxruntime or onnxruntime-gpu, one of them",
            do="pip install 'onnx-lab[cpu]' (or [gpu]); lab.doctor() tells what is in the way",
        ) from e
    if not hasattr(ort, "InferenceSession"):
        raise ProviderError(
            "the onnxruntime folder is damaged: InferenceSession is missing",
            do="lab.doctor() prints the uninstall and install commands",
        )
    ort.set_default_logger_severity(_ERRORS_ONLY)
    return ort


def nodes_per_provider(session: Any) -> dict[str, Counter[str]]:
    """Provider -> operator -> nodes, as ONNX Runtime itself assigned them; empty for a version that does not tell."""
    found: dict[str, Counter[str]] = {}
    try:
        for part in session.get_provider_graph_assignment_info():
            found.setdefault(part.ep_name, Counter()).update(n.op_type for n in part.get_nodes())
    except (AttributeError, RuntimeError):
        return {}
    return found


def _session_options(ort: Any, path: str, threads: int, hints: Mapping[str, Any]) -> Any:
    session_options = ort.SessionOptions()
    session_options.intra_op_num_threads = threads
    session_options.inter_op_num_threads = 1
    session_options.log_severity_level = _ERRORS_ONLY
    session_options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    if level := _LEVELS.get(str(hints.get("graph_optimization_level"))):
        session_options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
    if hints.get("lean"):
        # a planned run takes the memory of all its tensors at once, and packed weights are there twice
        session_options.enable_mem_pattern = False
        session_options.add_session_config_entry("session.disable_prepacking", "1")
    if folder := hints.get("profile_to"):
        session_options.enable_profiling = True
        session_options.profile_file_prefix = str(Path(folder) / "profile")
    if target_file := hints.get("save_optimized_to"):
        _save_optimized(session_options, Path(target_file), Path(path).stat().st_size)
    return session_options


def _open(
    ort: Any,
    path: str,
    provider: str,
    options: Mapping[str, str],
    threads: int,
    hints: Mapping[str, Any],
    session_options: Any,
) -> Any:
    extra: dict[str, Any] = {}
    if disabled := hints.get("disabled_optimizers"):
        extra["disabled_optimizers"] = list(disabled)
    try:
        if provider == _openvino.PROVIDER and provider not in ort.get_available_providers():
            _openvino.add_plugin(ort, session_options, options, threads)
        else:
            extra |= _classic(ort, provider, options, threads)
        return ort.InferenceSession(path, session_options, **extra)
    except OnnxLabError:
        raise
    except Exception as e:
        raise load_error(e, path, provider) from e


def _save_optimized(session_options: Any, file: Path, size_bytes: int) -> None:
    session_options.optimized_model_filepath = str(file)
    if size_bytes > EXTERNAL_ABOVE_BYTES // 2:  # one protobuf ends at 2 GiB
        session_options.add_session_config_entry(
            "session.optimized_model_external_initializers_file_name", f"{file.name}.data"
        )


def _classic(ort: Any, provider: str, options: Mapping[str, str], threads: int) -> dict[str, Any]:
    """Arguments for a provider that is built into the installed onnxruntime."""
    available = ort.get_available_providers()
    if provider not in available:
        raise ProviderError(
            f"{provider} is not in the installed onnxruntime {ort.__version__}",
            accepted=", ".join(available),
            do="lab.doctor() tells which package brings it",
        )
    if provider in _ON_CUDA and hasattr(ort, "preload_dlls"):
        ort.preload_dlls()  # CUDA and cuDNN that came as Python packages lie where the loader does not look
    if provider == _openvino.PROVIDER:
        options = _openvino.classic_options(options, threads)
    own = [(provider, dict(options))]
    return {"providers": own if provider == "CPUExecutionProvider" else [*own, "CPUExecutionProvider"]}


def _require_provider(provider: str, nodes: Mapping[str, Counter[str]], registered: list[str]) -> None:
    """A figure of another provider than the one asked for is an error, not a number."""
    if provider == "CPUExecutionProvider":
        return
    if provider not in registered:
        library = absent_library()
        raise ProviderError(
            f"{provider} was asked for and did not load"
            + (f" ({library} was not found)" if library else "")
            + f": onnxruntime fell back to {', '.join(registered)}",
            do=_REMEDIES.get(provider, "lab.doctor() tells which targets run here"),
        )
    on_cpu = nodes.get("CPUExecutionProvider", Counter())
    work = sum(n for op, n in on_cpu.items() if op not in _BOOKKEEPING)
    if nodes and not nodes.get(provider):
        raise ProviderError(
            f"{provider} loaded and took none of the nodes: all {work or sum(on_cpu.values())} are on the CPU provider",
            do="measure target 'cpu' by its own name; or export with operators and dtypes that the provider has",
        )


def _require_plain(name: str, value: object) -> None:
    """Refuse what is no array of NumPy's own: a scikit-learn export answers with a list of dicts."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufOUS":
        return
    what = str(value.dtype) if isinstance(value, np.ndarray) else type(value).__name__
    raise BadModel(
        f"output {name!r} is a {what}",
        accepted="tensors of bool, integers, float16, float32, float64 or string",
        do="convert with zipmap=False (scikit-learn), or put a Cast to float32 behind it",
    )


def _precision(provider: str, options: Mapping[str, str]) -> str:
    if provider == _openvino.PROVIDER:
        return _openvino.precision(options)
    if provider in _ON_CUDA and options.get("use_tf32", "1") != "0":
        return "as the file says, float32 products in TF32 where the GPU has it"
    return "as the file says"


def engine_facts() -> dict[str, Any]:
    """What the installed onnxruntime says about itself, for the doctor."""
    ort = quiet_onnxruntime()
    return {
        "version": ort.__version__,
        "build": ort.get_build_info() if hasattr(ort, "get_build_info") else "",
        "declared": list(ort.get_available_providers()),
        "numpy": np.__version__,
        "file": ort.__file__,
    }
