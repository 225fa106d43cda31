"""The workspace: where produced files live. Content-addressed, atomic, shared by any number of notebooks.

    <root>/models/<digest>/<name>.onnx (+ external data)   a produced Model; never changed once it is there
    <root>/steps/<key>.json                                cache: input digest + verb + options + versions -> digest
    <root>/places/<digest>.json                            where a file from elsewhere lay, to go back to it
    <root>/samples/                                        what the samples keep (trained heads)
    <root>/tmp/                                            work in progress; moved out of it when done, or removed

Two processes that make the same thing at once both succeed: the second rename finds the folder there and drops its
own. The root is ``$ONNX_LAB_HOME``, else ``$XDG_CACHE_HOME/onnx_lab``, else ``~/.cache/onnx_lab``.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from onnx_lab._onnxfile import file_digest, read_header
from onnx_lab.errors import BadModel, WorkspaceError
from onnx_lab.model import LINEAGE_KEY, Model, lineage_from_json

_FORMAT = 1  # part of every cache key: raise it when what a step writes changes


def root() -> Path:
    """The workspace's folder (not created by asking)."""
    if home := os.environ.get("ONNX_LAB_HOME"):
        return Path(home)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "onnx_lab"


def work_of(name: str) -> Path:
    """Where a process started with ``ONNX_LAB_WORK=name`` keeps its unfinished work: ``"job-3-of-process-123"``."""
    return root() / "tmp" / name


def _work() -> Path:
    """Where unfinished work lies: a job has a folder of its own, which whoever started it removes at its end."""
    folder = work_of(os.environ.get("ONNX_LAB_WORK", ""))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def who_works() -> str:
    """This process in words: ``"process 123"``, or ``"job 3 of process 123"``."""
    return os.environ.get("ONNX_LAB_WORK", "").replace("-", " ") or f"process {os.getpid()}"


@contextmanager
def scratch() -> Iterator[Path]:
    """A fresh folder in the workspace, removed at the end whatever happens.

    Raises
    ------
    WorkspaceError
        When the disk is full or the folder cannot be written, also for an OSError raised inside the block.
    """
    try:
        folder = Path(tempfile.mkdtemp(dir=_work()))
    except OSError as e:
        raise _unwritable(e) from e
    try:
        yield folder
    except OSError as e:
        if isinstance(e, WorkspaceError) or e.errno is None:
            raise
        raise _unwritable(e) from e
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def adopt(folder: Path, file_name: str) -> Model:
    """Move a finished model from a `scratch` folder to its place under its digest; return it as a Model."""
    made = folder / file_name
    header = read_header(made)
    files = [made, *(folder / e for e in header.external)]
    for f in files:
        with f.open("rb+") as h:
            os.fsync(h.fileno())
    place = root() / "models" / file_digest(files)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(dir=_work()))
        for f in files:
            (staged / f.relative_to(folder)).parent.mkdir(parents=True, exist_ok=True)
            os.replace(f, staged / f.relative_to(folder))
        try:
            os.rename(staged, place)
        except OSError:
            # the same content is there already, perhaps under another name: keep what others may have open
            if not place.is_dir():
                raise
            if not (place / file_name).exists():
                os.replace(staged / file_name, place / file_name)
            shutil.rmtree(staged, ignore_errors=True)
    except OSError as e:
        raise _unwritable(e) from e
    return open_model(place / file_name)


def open_model(path: Path, *, name: str | None = None, cached: bool = False) -> Model:
    """A Model for the file at `path`, with the lineage that the file carries. Raises BadModel."""
    header = read_header(path)
    st = path.stat()
    lineage = lineage_from_json(header.metadata.get(LINEAGE_KEY, "[]"))
    model = Model(path, name or path.stem, lineage, cached, (st.st_size, st.st_mtime_ns))
    model.__dict__["header"] = header  # already read: fill the cached_property
    return model


def key(verb: str, parent: str, options: Mapping[str, Any], tools: Mapping[str, str]) -> str:
    """The cache key of a step: same input, options and tool versions give the same key."""
    text = json.dumps([_FORMAT, verb, parent, options, tools], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def recall(step_key: str, *, name: str | None = None) -> Model | None:
    """The Model that this step made before, or None; a damaged entry counts as none."""
    entry = root() / "steps" / f"{step_key}.json"
    try:
        path = root() / "models" / json.loads(entry.read_text())["file"]
        return open_model(path, name=name, cached=True) if path.is_file() else None
    except (OSError, ValueError, KeyError, BadModel):
        return None


def remember(step_key: str, model: Model) -> None:
    """Note that the step with this key made `model` (which lives in the workspace)."""
    write_json(root() / "steps" / f"{step_key}.json", {"file": f"{model.path.parent.name}/{model.path.name}"})


def note_place(model: Model) -> None:
    """Remember where a file outside the workspace lies, so that `find` finds it by its digest."""
    if not model.path.resolve().is_relative_to(root().resolve()):
        write_json(root() / "places" / f"{model.digest}.json", {"file": str(model.path.resolve())})


def find(digest: str) -> Model | None:
    """The Model with this digest: in the workspace, or where `note_place` saw it, if it is still the same.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> m = lab.samples.tiny()
    >>> find(m.digest).digest == m.digest, find("0" * 64)
    (True, None)
    """
    for path in sorted((root() / "models" / digest).glob("*.onnx")):
        with contextlib.suppress(BadModel, OSError):
            return open_model(path)
    try:
        path = Path(json.loads((root() / "places" / f"{digest}.json").read_text())["file"])
        model = open_model(path)
        return model if model.digest == digest else None
    except (OSError, ValueError, KeyError, BadModel):
        return None


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically. Raises WorkspaceError."""
    write_text(path, json.dumps(value))


def write_text(path: Path, text: str) -> None:
    """Write a file atomically, in the workspace or anywhere else. Raises WorkspaceError."""
    inside = path.is_relative_to(root())  # then the workspace's own folder for work lies on the same disk
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd, tmp = tempfile.mkstemp(dir=_work() if inside else path.parent, prefix=".tmp-")
        try:
            with os.fdopen(fd, "w", encoding="utf-8") as f:
                f.write(text)
                f.flush()
                os.fsync(f.fileno())
            os.replace(tmp, path)
        except BaseException:
            Path(tmp).unlink(missing_ok=True)
            raise
    except OSError as e:
        if inside:
            raise _unwritable(e) from e
        raise WorkspaceError(f"could not write {path}: {e.strerror}", do="free space or choose another folder") from e


def versions(distributions: Sequence[str]) -> dict[str, str]:
    """Installed versions of `distributions`; those not installed are left out."""
    found = {}
    for d in distributions:
        try:
            found[d] = importlib.metadata.version(d)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def clean(*, older_than_days: float = 30.0) -> int:
    """Remove produced models not opened for `older_than_days`, and abandoned work; return the bytes freed.

    Entries of the cache that pointed to them simply miss afterwards; nothing else refers to them.
    """
    freed = 0
    limit = time.time() - older_than_days * 86_400
    for folder in [*(root() / "models").glob("*"), *(root() / "tmp").glob("*")]:
        files = [f for f in folder.rglob("*") if f.is_file()]
        if files and max(max(f.stat().st_atime, f.stat().st_mtime) for f in files) < limit:
            freed += sum(f.stat().st_size for f in files)
            shutil.rmtree(folder, ignore_errors=True)
    return freed


def _unwritable(e: OSError) -> WorkspaceError:
    return WorkspaceError(
        f"the workspace {root()} cannot be written: {e.strerror or e}",
        do="free disk space (onnx_lab.workspace.clean()) or set ONNX_LAB_HOME to another folder",
    )
