"""What the facts about one pair say.

The thresholds stand where the 1,290 pairs of Shen et al. and the 997 of CCP, with their crops, have
hardly a false alarm; faults put into these pairs say how much is found.
"""

from collections.abc import Iterator

from pipelines.doctor.alignment import Alignment
from pipelines.doctor.facts import PairFacts
from pipelines.doctor.findings import Finding
from pipelines.doctor.mask_shape import MaskShape

TINY_PERSON = 0.005
"""Share of the photo: a square of 36 pixels in a frame of 512."""

INVERTED = 0.3
"""By how much more person there is along the border than in the middle. The most among the real
masks is 0.05, and 97 % of them, inverted, have more than 0.3."""

PIECES = 60
"""Real masks of loose hair have up to 48."""

BOX_FILLED = 0.98
BOX_LARGEST = 0.9

EQUAL_LINES = 0.7
"""Share of rows, and of columns, that are as the one before. Masks that were enlarged four times
have 0.75; of real ones none has as many of both."""

NOISE = 0.01
"""Share of nearly black and nearly white pixels, if they are more than the greys between. In soft
masks they are fewer; JPEG puts them all around an outline."""

BLANK = 2.0
"""Standard deviation of grey levels."""

COLOURLESS = 6
"""Grey levels between channels that compression leaves in a photo without colours."""

GREY_END = 0.05
"""Share of the photo."""

ENLARGED = 2.0

FACE_INSIDE = 0.5
"""Share of the landmarks."""

MORE_EDGES = {"shifted": 1.2, "mirrored": 1.2, "rotated": 1.3}
"""How many times as many edges a misplaced mask lies on once it is put right."""

STANDS_OUT = 4.2
"""Standard deviations by which it stands out there."""

STANDS_OUT_MORE = 1.5
"""By how many more than where it is."""

FEW_EDGES = 0.65
"""Edges along an outline that follows none. 0.2 % of the real masks have less."""

LITTLE_CONTRAST = 1.0

DARK = 30.0
"""Mean grey level along an outline that nobody can see."""


def pair_findings(facts: PairFacts, share: float, *, frame: int) -> Iterator[Finding]:
    """Yield what is wrong with a pair.

    Args:
        facts: What was measured of it.
        share: Of the person in the photo, [0, 1].
        frame: Side of the stored frame in pixels.
    """
    yield from _photo_findings(facts, frame)
    if share in {0.0, 1.0}:
        what = ("empty-mask", "shows nobody") if share == 0 else ("full-mask", "is all person")
        yield Finding(what[0], f"the mask {what[1]}")
        return
    if share < TINY_PERSON:
        yield Finding("tiny-person", f"the person takes {share:.2%} of the photo")
    shape = facts.shape
    has_an_outline = True
    for finding in _shape_findings(shape):
        has_an_outline &= finding.kind in {"blocky-mask", "lossy-mask"}
        yield finding
    if facts.alignment is not None and has_an_outline:
        yield from _misplaced(facts.alignment, facts)
    if facts.face_inside is not None and facts.face_inside < FACE_INSIDE:
        message = f"{facts.face_inside:.0%} of the landmarks of the face lie in the mask"
        yield Finding("face-outside-mask", message)


def _photo_findings(facts: PairFacts, frame: int) -> Iterator[Finding]:
    if facts.spread < BLANK:
        yield Finding("blank-photo", "the photo is of a single colour")
    elif facts.colour <= COLOURLESS:
        yield Finding("grey-photo", "the photo has no colours")
    if facts.spread >= BLANK and facts.grey_end >= GREY_END:
        yield Finding("half-photo", f"the lower {facts.grey_end:.0%} of the photo are flat grey")
    if max(facts.height, facts.width) * ENLARGED < frame:
        size = f"{facts.width} x {facts.height}"
        yield Finding("small-photo", f"{size} pixels for a frame of {frame} x {frame}")


def _shape_findings(shape: MaskShape) -> Iterator[Finding]:
    if shape.nearly >= max(NOISE, shape.between):
        message = f"{shape.nearly:.1%} of the mask are nearly, but not quite, black or white"
        yield Finding("lossy-mask", message)
    if shape.filled >= BOX_FILLED and shape.box < BOX_LARGEST:
        yield Finding("box-mask", "the mask is a rectangle")
    elif min(shape.equal_rows, shape.equal_columns) >= EQUAL_LINES:
        lines = f"{shape.equal_rows:.0%} of the rows and {shape.equal_columns:.0%} of the columns"
        yield Finding("blocky-mask", f"{lines} of the mask are as the one before")
    if shape.pieces >= PIECES:
        yield Finding("speckled-mask", f"the mask has {shape.pieces} pieces and holes")
    if shape.border - shape.middle >= INVERTED:
        message = f"{shape.border:.0%} person along the border, {shape.middle:.0%} in the middle"
        yield Finding("inverted-mask", message)


def _misplaced(alignment: Alignment, facts: PairFacts) -> Iterator[Finding]:
    if alignment.light <= DARK:
        return
    has_more = alignment.there >= MORE_EDGES[alignment.placing] * alignment.here
    if has_more and alignment.contrast_there >= max(
        STANDS_OUT, alignment.contrast + STANDS_OUT_MORE
    ):
        gain = f"{alignment.there / alignment.here:.1f} times as many edges"
        message = f"the mask lies on {gain} of the photo {_change(alignment, facts)}"
        yield Finding(f"{alignment.placing}-mask", message)
    elif alignment.here < FEW_EDGES and alignment.contrast < LITTLE_CONTRAST:
        yield Finding("ill-fitting-mask", "the outline of the mask follows no edges of the photo")


def _change(alignment: Alignment, facts: PairFacts) -> str:
    x, y = alignment.amount
    match alignment.placing:
        case "shifted":
            columns, rows = round(x * facts.width), round(y * facts.height)
            sides = f"{abs(columns)} pixels {'right' if columns > 0 else 'left'}"
            return f"if moved {sides} and {abs(rows)} {'down' if rows > 0 else 'up'}"
        case "mirrored":
            return "if turned upside down in a mirror" if x else "if mirrored"
        case "rotated":
            direction = "counter-clockwise" if x > 0 else "clockwise"
            return f"if turned by {abs(x):g} degrees {direction}"
