"""Make ``docstrings.jsonl.gz``: English text from docstrings, labelled by what its library is about.

Not needed at run time. The libraries are parsed, never imported, so they need no dependencies of their own::

    pip install --no-deps --target libraries scikit-image music21 networkx pandas pillow ...
    PYTHONPATH=libraries python onnx_lab/samples/data/make_docstrings.py

What is kept is prose: 16 to 60 words without code, signatures, parameter tables or the library's name. Train and test
never share a module, and near-duplicates are dropped, so that no text can be answered by having seen its twin. The
same versions of the libraries give the same bytes. ``README.md`` beside this file has the licences.
"""

from __future__ import annotations

import ast
import gzip
import hashlib
import importlib.metadata
import importlib.util
import json
import platform
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: Class -> the modules its texts come from, each with all that lies below it.
SOURCES: dict[str, tuple[str, ...]] = {
    "graphs": ("networkx.algorithms", "networkx.generators", "networkx.classes", "networkx.drawing", "networkx.linalg"),
    "images": ("skimage", "PIL", "torchvision.transforms", "torchvision.io"),
    "music": tuple(
        f"music21.{part}"
        for part in "abcFormat analysis articulations audioSearch bar beam chord clef dynamics expressions features "
        "figuredBass harmony instrument interval key layout meter midi note percussion pitch repeat roman romanText "
        "scale search serial tablature tempo tie tinyNotation tuplet variant voiceLeading volume".split()
    ),
    "networking": tuple(
        "asyncio email ftplib http imaplib poplib smtplib socket socketserver ssl urllib xmlrpc anyio h11 httpcore "
        "httpx requests tornado urllib3 websocket".split()
    ),
    "tables": ("pandas.core", "pandas.io", "pandas.tseries"),
}
#: Parts about something else than the rest of their library.
LEFT_OUT = ("pandas.io.formats", "pandas.io.clipboard", "pandas.core.computation", "skimage.graph", "skimage._")
#: Where the distribution's name is not the package's.
DISTRIBUTIONS = {"skimage": "scikit-image", "PIL": "pillow", "websocket": "websocket-client"}

MIN_WORDS, MAX_WORDS = 16, 60
TRAIN_PER_CLASS, TEST_PER_CLASS = 600, 230
TEST_SHARE = 0.38  #: of the modules

_SKIPPED_FOLDERS = {"tests", "test", "testing", "_vendor", "_shared", "conftest"}
_HEADING = re.compile(r"^([A-Z][\w ]*)\n[-=~]{3,}[ \t]*$", re.MULTILINE)
_PROSE_SECTIONS = frozenset(["", "Notes", "Explanation", "Description", "Details"])
_NOT_PROSE = re.compile(r"^(\s|[-+>:@|=~.]|\* |\w+:$|\d+[.)])", re.MULTILINE)
_ROLE = re.compile(r":[\w:+-]+:`~?!?([^`<]*?)(?:\s*<[^>]*>)?`")
_LITERAL = re.compile(r"`+([^`]*)`+_*")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_CODE = re.compile(r"[={}\[\]<>|\\@$^~#]|\w\(|\w_\w|\b\w+\.\w+\.\w+|https?:|\d{4,}|::")
#: Packages whose name is a word of their subject: it does not tell the library.
_WORDS = frozenset("email http socket ssl requests".split())


@dataclass(frozen=True)
class Text:
    """One example: the prose, its class, where it is from, and which half of the data it belongs to."""

    text: str
    label: str
    origin: str
    split: str


def main() -> None:
    """Write the data file beside this script and print what is in it."""
    texts = [t for label, modules in SOURCES.items() for m in modules for t in texts_below(m, label)]
    chosen = limited(without_near_duplicates(sorted(texts, key=_shuffled)))
    lines = [json.dumps({"classes": sorted(SOURCES), "versions": versions()})]
    lines += [json.dumps({"text": t.text, "label": t.label, "from": t.origin, "split": t.split}) for t in chosen]
    target = Path(__file__).with_name("docstrings.jsonl.gz")
    # mtime 0: the same texts are the same bytes
    target.write_bytes(gzip.compress("\n".join(lines).encode(), 9, mtime=0))
    for label in sorted(SOURCES):
        counts = [sum(t.label == label and t.split == s for t in chosen) for s in ("train", "test")]
        print(f"{label:12} train {counts[0]:4} test {counts[1]:4}")
    print(f"{target.name}: {len(chosen)} texts, {target.stat().st_size} bytes")


def texts_below(module: str, label: str) -> Iterator[Text]:
    """The prose of every public docstring of a module and of all below it, one text for each object."""
    package = module.split(".")[0]
    for name, file in files(package):
        if not f"{name}.".startswith(f"{module}.") or name.startswith(LEFT_OUT):
            continue
        split = "test" if _fraction(name) < TEST_SHARE else "train"
        for qualified, doc in docstrings(file):
            if text := prose(doc, package):
                yield Text(text, label, f"{name}:{qualified}" if qualified else name, split)


def files(package: str) -> Iterator[tuple[str, Path]]:
    """Dotted name and file of each module of an installed package, without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise SystemExit(f"{package} is not installed: pip install {DISTRIBUTIONS.get(package, package)}")
    origin = Path(spec.origin)
    if not spec.submodule_search_locations:
        yield package, origin
        return
    for file in sorted(origin.parent.rglob("*.py")):
        parts = file.relative_to(origin.parent).with_suffix("").parts
        if not _SKIPPED_FOLDERS & set(parts):
            yield ".".join([package, *(p for p in parts if p != "__init__")]), file


def docstrings(file: Path) -> Iterator[tuple[str, str]]:
    """Qualified name and docstring of a module, its classes and functions, private ones left out."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return
    yield from _walk(tree, "")


def _walk(node: ast.AST, prefix: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        if doc := ast.get_docstring(node):
            yield prefix, doc
        for child in node.body:
            name = getattr(child, "name", "")
            if not name.startswith("_") or name.startswith("__"):
                yield from _walk(child, f"{prefix}.{name}".lstrip("."))


def prose(doc: str, package: str) -> str | None:
    """The sentences of a docstring that are plain English, the first 60 words of them; None when they are too few."""
    kept: list[str] = []
    words = 0
    # split by a pattern with one group: text, heading, text, heading, text ...
    parts = _HEADING.split(doc)
    for heading, body in zip(["", *parts[1::2]], parts[::2], strict=True):
        if heading.strip() not in _PROSE_SECTIONS:
            continue
        for sentence in _sentences(body):
            length = len(sentence.split())
            if words + length <= MAX_WORDS and _plain(sentence, package):
                words += length
                kept.append(sentence)
    return " ".join(kept) if words >= MIN_WORDS else None


def _sentences(body: str) -> Iterator[str]:
    """Sentences of the paragraphs that are not lists, tables, code or directives, without their markup."""
    for paragraph in re.split(r"\n\s*\n", body.strip("\n")):
        if not _NOT_PROSE.search(paragraph):
            text = _LITERAL.sub(r"\1", _ROLE.sub(r"\1", paragraph)).replace("*", "")
            yield from _SENTENCE_END.split(" ".join(text.split()))


def _plain(sentence: str, package: str) -> bool:
    letters = sum(c.isalpha() or c.isspace() for c in sentence)
    names = {package.lower(), DISTRIBUTIONS.get(package, package)} - _WORDS
    return (
        sentence.endswith((".", "!", "?"))
        and sentence[:1].isupper()
        and letters > 0.9 * len(sentence)
        and sentence.isascii()
        and not _CODE.search(sentence)
        and not any(n in sentence.lower() for n in names)
    )


def without_near_duplicates(texts: list[Text]) -> Iterator[Text]:
    """Drop each text that shares over a third of its four-word runs, or its first six words, with one kept before."""
    holders: dict[tuple[str, ...], list[int]] = defaultdict(list)
    kept = 0
    for t in texts:
        words = re.findall(r"[a-z]+", t.text.lower())
        start = tuple(words[:6])
        runs = {tuple(words[i : i + 4]) for i in range(len(words) - 3)}
        shared: dict[int, int] = defaultdict(int)
        for r in runs:
            for other in holders[r]:
                shared[other] += 1
        if holders[start] or max(shared.values(), default=0) > len(runs) / 3:
            continue
        for r in (*runs, start):
            holders[r].append(kept)
        kept += 1
        yield t


def limited(texts: Iterator[Text]) -> list[Text]:
    """Up to the wanted number of each class and split, at most a tenth of it from one module."""
    wanted = {"train": TRAIN_PER_CLASS, "test": TEST_PER_CLASS}
    taken: dict[tuple[str, str], int] = defaultdict(int)
    from_module: dict[str, int] = defaultdict(int)
    chosen = []
    for t in texts:
        module = t.origin.split(":")[0]
        if taken[t.label, t.split] < wanted[t.split] and from_module[module] < wanted[t.split] // 10:
            taken[t.label, t.split] += 1
            from_module[module] += 1
            chosen.append(t)
    return chosen


def versions() -> dict[str, str]:
    """Version of each distribution that texts came from."""
    packages = {m.split(".")[0] for modules in SOURCES.values() for m in modules}
    found = {"python": platform.python_version()}
    for name in sorted(DISTRIBUTIONS.get(p, p) for p in packages):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # the standard library
    return found


def _fraction(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") / 2**32


def _shuffled(t: Text) -> float:
    return _fraction(t.origin + t.text)


if __name__ == "__main__":
    main()
