"""Scenes drawn by a seed, and captions that are true of them: pictures for CLIP without a file of pictures.

A scene is one shape in one colour, of one size, at one place, on one background; shades, outlines and noise vary on
top. Of the 64 pairs of colour and shape, 16 are never trained on, two of each colour and two of each shape: a model
that names them right has learned what the words mean, not what the training pictures look like.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import cos, pi, sin
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

PIXELS = 128
COLOURS = {
    "red": (214, 38, 40),
    "orange": (255, 140, 20),
    "yellow": (246, 220, 40),
    "green": (40, 150, 60),
    "blue": (40, 80, 210),
    "purple": (130, 50, 170),
    "pink": (250, 150, 195),
    "black": (22, 22, 24),
}
SHAPES = ("circle", "square", "triangle", "star", "cross", "ring", "heart", "arrow")
SIZES = {"small": (0.21, 0.25), "large": (0.32, 0.37)}  # radius, as a share of the picture
PLACES = {"on the left": (-1, 0), "on the right": (1, 0), "at the top": (0, -1), "at the bottom": (0, 1)}
BACKGROUNDS = {"white": (242, 242, 240), "gray": (150, 152, 155), "brown": (122, 84, 58), "cyan": (150, 215, 225)}
TEMPLATES = ("{}", "a picture of {}", "a drawing of {}", "a photo of {}")

#: Pairs (colour, shape) that no training scene has, and those that it may have.
UNSEEN = tuple((c, s) for i, c in enumerate(COLOURS) for j, s in enumerate(SHAPES) if (j - i) % 8 in (0, 3))
SEEN = tuple(pair for pair in itertools.product(COLOURS, SHAPES) if pair not in UNSEEN)


@dataclass(frozen=True)
class Scene:
    """What is in one picture; `number` seeds what its words do not say."""

    colour: str
    shape: str
    size: str
    place: str
    background: str
    number: int


def scenes(pairs: Sequence[tuple[str, str]], count: int, *, seed: int) -> list[Scene]:
    """`count` scenes, the pairs in turn, everything else drawn at random; the same seed gives the same scenes."""
    rng = np.random.default_rng(seed)
    sizes, places, backgrounds = list(SIZES), list(PLACES), list(BACKGROUNDS)
    return [
        Scene(
            *pairs[i % len(pairs)],
            sizes[rng.integers(len(sizes))],
            places[rng.integers(len(places))],
            backgrounds[rng.integers(len(backgrounds))],
            int(rng.integers(2**31)),
        )
        for i in range(count)
    ]


def prompt(colour: str, shape: str) -> str:
    """What CLIP is asked for a pair, in the words that its authors used.

    Examples
    --------
    >>> prompt("orange", "star")
    'a photo of an orange star'
    """
    return f"a photo of {_article(colour)} {colour} {shape}"


def caption(scene: Scene, rng: np.random.Generator) -> tuple[str, tuple[str, ...]]:
    """A sentence that is true of the scene, and the words (of `facts`) that it says; size, place, ground by chance."""
    size, place, ground = (w if rng.random() < 0.25 else "" for w in (scene.size, scene.place, scene.background))
    words = " ".join(w for w in (size, scene.colour, scene.shape) if w)
    sentence = f"{_article(words)} {words}"
    sentence += f" {place}" if place else ""
    sentence += f" on a {ground} background" if ground else ""
    return TEMPLATES[rng.integers(len(TEMPLATES))].format(sentence), (scene.colour, scene.shape, size, place, ground)


def facts(scene: Scene) -> tuple[str, ...]:
    """All that a caption may say, in its order."""
    return scene.colour, scene.shape, scene.size, scene.place, scene.background


def picture(scene: Scene) -> Image:
    """The scene as an RGB picture of 128 x 128."""
    from PIL import Image, ImageDraw

    rng = np.random.default_rng(scene.number)
    big = 2 * PIXELS  # drawn twice as large: reducing it smooths the edges
    image = Image.new("RGB", (big, big), _shade(BACKGROUNDS[scene.background], rng))
    draw = ImageDraw.Draw(image)
    low, high = SIZES[scene.size]
    radius = big * rng.uniform(low, high)
    room = big / 2 - radius
    right, down = PLACES[scene.place]
    # along its own axis well off the middle, across it near the middle
    along, across = rng.uniform(0.7, 0.9) * room, rng.uniform(-0.15, 0.15) * room
    x = big / 2 + (right * along if right else across)
    y = big / 2 + (down * along if down else across)
    turn = rng.uniform(-0.1, 0.1)
    colour = _shade(COLOURS[scene.colour], rng)
    for outline in _outlines(scene.shape):
        draw.polygon([_at(p, x, y, radius, turn) for p in outline], fill=colour)
    if scene.shape == "ring":
        hole = image.getpixel((0, 0))
        draw.polygon([_at((0.58 * a, 0.58 * b), x, y, radius, turn) for a, b in _round()], fill=hole)
    noise = rng.integers(-14, 15, (PIXELS, PIXELS, 3), dtype=np.int16)
    return Image.fromarray((np.asarray(image.reduce(2), np.int16) + noise).clip(0, 255).astype(np.uint8))


def _article(words: str) -> str:
    return "an" if words[0] in "aeiou" else "a"


def _shade(colour: tuple[int, int, int], rng: np.random.Generator) -> tuple[int, int, int]:
    r, g, b = (int(np.clip(c * rng.uniform(0.88, 1.08) + rng.uniform(-8, 8), 0, 255)) for c in colour)
    return r, g, b


def _at(point: tuple[float, float], x: float, y: float, radius: float, turn: float) -> tuple[float, float]:
    a, b = point
    return x + radius * (a * cos(turn) - b * sin(turn)), y + radius * (a * sin(turn) + b * cos(turn))


def _round(points: int = 48) -> list[tuple[float, float]]:
    return [(cos(2 * pi * i / points), sin(2 * pi * i / points)) for i in range(points)]


def _outlines(shape: str) -> Iterator[list[tuple[float, float]]]:
    """Polygons, about as large as the unit circle, that make up a shape; y points down."""
    if shape in ("circle", "ring"):
        yield _round()
    elif shape == "square":
        yield [(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)]
    elif shape == "triangle":
        yield [(0, -1), (0.95, 0.8), (-0.95, 0.8)]
    elif shape == "star":
        corners = [(1.05 if i % 2 == 0 else 0.42, pi * i / 5 - pi / 2) for i in range(10)]
        yield [(r * cos(a), r * sin(a)) for r, a in corners]
    elif shape == "cross":
        yield [(-0.3, -1), (0.3, -1), (0.3, 1), (-0.3, 1)]
        yield [(-1, -0.3), (1, -0.3), (1, 0.3), (-1, 0.3)]
    elif shape == "heart":
        t = [2 * pi * i / 48 for i in range(48)]
        yield [(sin(a) ** 3, -(13 * cos(a) - 5 * cos(2 * a) - 2 * cos(3 * a) - cos(4 * a)) / 16) for a in t]
    else:  # an arrow that points to the right
        yield [(-1, -0.28), (0.1, -0.28), (0.1, -0.85), (1, 0), (0.1, 0.85), (0.1, 0.28), (-1, 0.28)]
