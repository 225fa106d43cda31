"""Reading ONNX files that may be anything: every way in which a file can be wrong becomes one clear BadModel.

Nothing here opens an engine. Sizes written in a file are checked against the disk before memory is taken, and
external-data paths that leave the model's folder are refused (CVE-2022-25882 is the usual example).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from onnx_lab._in_place import skeleton
from onnx_lab._memory import WORTH_GIVING_BYTES, trim
from onnx_lab.errors import BadModel, WorkspaceError
from onnx_lab.model import Header, TensorSpec

if TYPE_CHECKING:
    import onnx

_BLOCK_BYTES = 1 << 20
_DIMS_SHOWN = 8
#: Bits of one number of a tensor that is written as raw bytes; of other types nothing is said here.
_BITS = {"bool": 8, "float64": 64, "float32": 32, "float16": 16, "bfloat16": 16, "uint4": 4, "int4": 4}
_BITS |= {f"{sign}int{bits}": bits for sign in ("u", "") for bits in (8, 16, 32, 64)}


def read_proto(path: Path) -> onnx.ModelProto:
    """Parse `path` without its weights, or say what is wrong with it."""
    from google.protobuf.message import DecodeError

    try:
        size = path.stat().st_size
        if path.is_dir():
            raise BadModel(f"{path} is a folder", accepted="a .onnx file", do="name the file inside it")
        if size == 0:
            raise BadModel(f"{path} is empty (0 bytes)", do="export or copy it again")
        proto, elsewhere = _parsed(path)
    except FileNotFoundError:
        raise BadModel(f"no file at {path}", do="check the path; relative paths start at the working folder") from None
    except PermissionError:
        raise BadModel(f"{path} may not be read by this user", do="chmod it, or copy it where you may read") from None
    except DecodeError:
        raise BadModel(
            f"{path} ({size} bytes) is not an ONNX file, or it is cut off",
            accepted="a protobuf ModelProto, as torch.onnx.export, tf2onnx, skl2onnx, ... write it",
            do="compare its size with the original's; export or copy it again",
        ) from None
    _check_text(proto, path)
    _check_graph(proto, path)
    _check_opsets(proto, path)
    _check_external(proto, path)
    _check_sizes(proto, path, elsewhere)
    return proto


def _parsed(path: Path) -> tuple[onnx.ModelProto, Collection[str]]:
    """The message, and the weights whose bytes were left in the file."""
    import onnx

    try:
        return skeleton(path)
    except ValueError:  # protobuf's own reader says what is wrong, if anything is
        return onnx.load(path, load_external_data=False), ()


def read_header(path: Path) -> Header:
    """The Header of the file at `path`; raises BadModel when it is not a model."""
    header = _header(read_proto(path))
    if path.stat().st_size > WORTH_GIVING_BYTES:
        trim()
    return header


def _header(proto: onnx.ModelProto) -> Header:
    graph = proto.graph
    constants = {t.name for t in graph.initializer}
    weights: Counter[str] = Counter()
    for t in _tensors(graph):
        weights[dtype_name(t.data_type)] += prod(t.dims)
    return Header(
        inputs=tuple(_spec(v) for v in graph.input if v.name not in constants),
        outputs=tuple(_spec(v) for v in graph.output),
        opsets={o.domain: o.version for o in proto.opset_import},
        operators=dict(Counter(n.op_type for n in graph.node)),
        weights=dict(weights),
        metadata={p.key: p.value for p in proto.metadata_props},
        external=_external_files(proto),
    )


def file_digest(paths: Sequence[Path]) -> str:
    """SHA-256 over the contents of `paths`, in order, in hex."""
    h = hashlib.sha256()
    for p in paths:
        with p.open("rb") as f:
            while block := f.read(_BLOCK_BYTES):
                h.update(block)
    return h.hexdigest()


def copy_model(source: Path, target: Path, external: Sequence[str]) -> Path:
    """Copy a model and its external data; the ``.onnx`` appears last, so it is never seen without its weights.

    External data keep the file names that the model refers to them by.
    """
    if target.is_dir():
        target = target / source.name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for name in external:
            atomic_copy(source.parent / name, target.parent / name)
        atomic_copy(source, target)
    except OSError as e:
        raise WorkspaceError(f"could not write {target}: {e.strerror}", do="free space or choose another folder") from e
    return target


def atomic_copy(source: Path, target: Path) -> None:
    """Copy to a temporary name beside the target, flush to disk, then rename."""
    target.parent.mkdir(parents=True, exist_ok=True)
    fd, tmp = tempfile.mkstemp(dir=target.parent, prefix=".onnx_lab-")
    try:
        with os.fdopen(fd, "wb") as out, source.open("rb") as src:
            shutil.copyfileobj(src, out, _BLOCK_BYTES)
            out.flush()
            os.fsync(out.fileno())
        os.chmod(tmp, 0o644)
        os.replace(tmp, target)
    except BaseException:
        Path(tmp).unlink(missing_ok=True)
        raise


def _check_text(proto: onnx.ModelProto, path: Path) -> None:
    """Names that are no text arrive as bytes, and fail far from here."""
    words = [w for p in proto.metadata_props for w in (p.key, p.value)]
    words += [w for o in proto.opset_import for w in (o.domain,)]
    for part in (proto.graph, *proto.functions):
        words += _words(part)
    if strange := next((w for w in words if isinstance(w, bytes)), None):
        raise BadModel(
            f"{path} holds a name that is no text: {strange[:40]!r}",
            accepted="names in UTF-8",
            do="it is damaged: export or copy it again",
        )


def _words(part: onnx.GraphProto | onnx.FunctionProto) -> Iterator[str | bytes]:
    """All names in a graph or a function, those of its sub-graphs too."""
    import onnx

    yield part.name
    for node in part.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        for p in node.metadata_props:
            yield from (p.key, p.value)
        for a in node.attribute:
            yield a.name
            for g in [a.g] * a.HasField("g") + list(a.graphs):
                yield from _words(g)
    if isinstance(part, onnx.GraphProto):
        yield from (t.name for t in part.initializer)
        for v in (*part.input, *part.output, *part.value_info):
            yield v.name
            yield from (d.dim_param for d in v.type.tensor_type.shape.dim)
    else:
        yield from (part.domain, *part.input, *part.output)


def _check_graph(proto: onnx.ModelProto, path: Path) -> None:
    # protobuf parses many random bytes as an empty message: a model without graph or outputs is not a model.
    if not proto.HasField("graph") or (not proto.graph.node and not proto.graph.output):
        raise BadModel(
            f"{path} holds no ONNX graph",
            accepted="a ModelProto with at least one output",
            do="check that it is the model and not, say, its weights or a TorchScript file",
        )
    if not proto.graph.output:
        raise BadModel(f"the graph of {path} has no outputs", do="add outputs where it was made")


def _check_opsets(proto: onnx.ModelProto, path: Path) -> None:
    import onnx

    newest = onnx.defs.onnx_opset_version()
    for o in proto.opset_import:
        if o.domain in ("", "ai.onnx") and not 1 <= o.version <= newest:
            raise BadModel(
                f"{path} says opset {o.version}",
                accepted=f"opset 1 to {newest} with onnx {onnx.__version__}",
                do="pip install -U onnx onnxruntime, or export with opset=20",
            )
    if not any(o.domain in ("", "ai.onnx") for o in proto.opset_import) and not proto.functions:
        raise BadModel(f"{path} declares no ai.onnx opset", do="set opset_import where it was made")


def _check_external(proto: onnx.ModelProto, path: Path) -> None:
    folder = path.parent.resolve()
    for t in _all_tensors(proto):
        if t.data_location != t.EXTERNAL:
            continue
        info = {e.key: e.value for e in t.external_data}
        location = info.get("location", "")
        file = (folder / location.replace("\0", "?")).resolve()
        if not location or Path(location).is_absolute() or not file.is_relative_to(folder):
            raise BadModel(
                f"{path} keeps weight {t.name!r} at {location!r}, outside its own folder",
                accepted="external data beside or below the .onnx file",
                do="do not open it if you do not trust it; else move the data beside it and fix the path",
            )
        if not file.is_file():
            raise BadModel(
                f"{path} keeps its weights in {location!r}, which is missing", do=f"copy {location!r} into {folder}"
            )
        try:
            places = [int(info.get(key) or 0) for key in ("offset", "length")]
        except ValueError:
            places = [-1]
        if min(places) < 0:
            raise BadModel(
                f"{path} keeps weight {t.name!r} at offset {info.get('offset')!r}, length {info.get('length')!r}",
                accepted="whole numbers, 0 or more",
                do="export or copy it again",
            )
        need = sum(places)
        if file.stat().st_size < need:
            raise BadModel(
                f"{file} has {file.stat().st_size} bytes, weight {t.name!r} ends at {need}",
                do="the external data is cut off: copy it again",
            )


def _check_sizes(proto: onnx.ModelProto, path: Path, elsewhere: Collection[str]) -> None:
    """What a tensor says of its size is what there is: libraries take memory for what is said."""
    for t in _all_tensors(proto):
        if dtype_name(t.data_type) == "undefined" or dtype_name(t.data_type).startswith("type"):
            raise BadModel(
                f"{path}: tensor {t.name!r} is of type {t.data_type}, which onnx does not know",
                do="pip install -U onnx, or export or copy it again",
            )
        count, bits = prod(t.dims), _BITS.get(dtype_name(t.data_type), 0)
        external = next((int(e.value or 0) for e in t.external_data if e.key == "length"), None)
        have = external if t.data_location == t.EXTERNAL else len(t.raw_data) if t.HasField("raw_data") else None
        wrong = have is not None and bits and have != -(-count * bits // 8)
        lost = have is None and t.data_location != t.EXTERNAL and count and t.name not in elsewhere and not _listed(t)
        if min(t.dims, default=0) < 0 or wrong or lost:
            there = f"{have or 0} bytes of data" if wrong or lost else "a size below 0"
            raise BadModel(
                f"{path}: tensor {t.name!r} is {dtype_name(t.data_type)}{list(t.dims)[:_DIMS_SHOWN]} and has {there}",
                do="it is damaged: export or copy it again",
            )


def _listed(tensor: onnx.TensorProto) -> bool:
    """Whether its numbers are written one by one, and enough of them: packed types have fewer."""
    lists = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data")
    return bool(8 * sum(len(getattr(tensor, f)) for f in lists) >= prod(tensor.dims))


def _all_tensors(proto: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    yield from _tensors(proto.graph)
    for function in proto.functions:
        yield from _held(function.node)


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Initializers and tensor attributes of the graph and of its sub-graphs."""
    yield from graph.initializer
    yield from _held(graph.node)


def _held(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for node in nodes:
        for a in node.attribute:
            if a.HasField("t"):
                yield a.t
            yield from a.tensors
            for g in [a.g] * a.HasField("g") + list(a.graphs):
                yield from _tensors(g)


def _external_files(proto: onnx.ModelProto) -> tuple[str, ...]:
    names: Iterable[str] = (
        e.value
        for t in _tensors(proto.graph)
        if t.data_location == t.EXTERNAL
        for e in t.external_data
        if e.key == "location"
    )
    return tuple(dict.fromkeys(names))


def _spec(v: onnx.ValueInfoProto) -> TensorSpec:
    t = v.type.tensor_type
    dims = tuple(
        d.dim_value if d.HasField("dim_value") else (d.dim_param or None) if d.HasField("dim_param") else None
        for d in t.shape.dim
    )
    return TensorSpec(v.name, dtype_name(t.elem_type), dims)


def dtype_name(elem_type: int) -> str:
    import onnx

    try:
        name = str(onnx.TensorProto.DataType.Name(elem_type)).lower()
    except ValueError:
        return f"type{elem_type}"
    return {"float": "float32", "double": "float64"}.get(name, name)
