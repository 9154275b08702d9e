"""Pictures of the masks that the network was least sure of, for a person to look at.

Photo, mask and the person on a checkerboard stand side by side: veils and holes show there.
"""

import json
import logging
import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from heapq import nsmallest

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pipelines.compositing import put_before
from pipelines.encoding import encode
from pipelines.errors import BanetError, InputError, PhotoError
from pipelines.images import Pixels, decode_photo, read_header
from pipelines.ledger import LedgerRow
from pipelines.mask_pictures import decode_mask
from pipelines.photo_files import COMPOSITES, MASKS
from pipelines.photo_shards import Shard
from pipelines.photo_tree import PhotoTree
from pipelines.process_memory import has_room
from pipelines.progress import Progress
from pipelines.sizes import fitted_size, resize
from pipelines.storage import FilePath, Location, lies_in, path_in, status_of
from pipelines.whole_files import read_bytes, write_atomically

REVIEWED = 50
"""Number of pictures: as many as a person looks through in a few minutes."""

MASK_DECODING_BYTES = 3
"""Per pixel, to decode a mask of a run."""

ROWS_AT_ONCE = 4 * REVIEWED
"""Rows that are in memory at once while the least certain ones are looked for."""

LONG_SIDE = 480
"""Of each of the three parts of a picture, in pixels."""

SQUARE = 12
GAP = 8
CAPTION = 30
FONT_SIZE = 18
PAPER = (255, 255, 255)
INK = (20, 20, 20)
LIGHT, DARK = 235, 165
ELLIPSIS = "..."

logger = logging.getLogger(__name__)


class _NoRoomError(PhotoError):
    """A picture takes more memory than the process may have."""


@dataclass(frozen=True, kw_only=True)
class Review:
    """A folder of such pictures.

    Attributes:
        folder: Absolute.
        root: Folder that the sources are relative to.
        out: Folder that the masks are relative to.
        shard: Whose photos are shown; None for all. It is part of the names of the files, so that
            several shards can share the folder.
        max_memory: Bytes that this process may have in memory; None for no limit.
    """

    folder: Location
    root: Location
    out: Location
    shard: Shard | None
    max_memory: int | None

    def open(self) -> None:
        """Create the folder before hours of work.

        Raises:
            BanetError: It cannot be created.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._failure(error) from error

    def write(self, rows: Callable[[], Iterable[LedgerRow]], progress: Progress) -> None:
        """Show the least certain masks, and remove the pictures of an earlier review.

        Photos that cannot be shown any more, or have changed since, make room for the next ones.

        Args:
            rows: Returns the newest rows of all photos, each time it is called.
            progress: Told of each picture.

        Raises:
            BanetError: The folder cannot be written to.
        """
        entries: list[dict[str, object]] = []
        too_large = 0
        progress.start("Review pictures", None)
        try:
            for row in least_certain(rows):
                if len(entries) == REVIEWED:
                    break
                if not self._is_unchanged(row):
                    continue
                try:
                    entries.append(self._write_picture(row, rank=len(entries) + 1))
                    progress.advance()
                except _NoRoomError:
                    too_large += 1
                except PhotoError:
                    continue
            write_atomically(
                self.folder / f"{self._prefix}.json", json.dumps(entries, indent=2).encode("ascii")
            )
            self._remove_beyond(len(entries))
        except OSError as error:
            raise self._failure(error) from error
        progress.finish()
        if too_large:
            logger.warning(
                "%d uncertain masks of large photos are not shown in %s, since --max-memory leaves "
                "too little for them",
                too_large,
                self.folder,
            )

    @property
    def _prefix(self) -> str:
        return "review" if self.shard is None else f"review.{self.shard.tag}"

    def _is_unchanged(self, row: LedgerRow) -> bool:
        try:
            status = status_of(path_in(self.root, row.source))
        except OSError:
            return False
        return status == (row.size, row.mtime_ns, row.etag)

    def _write_picture(self, row: LedgerRow, *, rank: int) -> dict[str, object]:
        assert row.mask is not None
        # One after the other, so that both take no more than segmenting the photo did.
        content = self._read(path_in(self.root, row.source), row.size or 0)
        self._need(read_header(content, reduced_to=LONG_SIDE).decoding_bytes)
        photo = _fitted(decode_photo(content, reduced_to=LONG_SIDE).pixels)
        content = self._read(path_in(self.out, row.mask), 0)
        self._need(MASK_DECODING_BYTES * read_header(content).pixels)
        mask = _fitted(decode_mask(content).values.astype(np.uint8, copy=False))
        del content
        name = f"{self._prefix}-{rank:03}.jpg"
        picture = side_by_side(photo, mask, _caption(row, rank))
        write_atomically(self.folder / name, encode(picture, "jpg"))
        shown = ("source", "mask", "status", "confidence", "coverage")
        return {"picture": name, **{key: getattr(row, key) for key in shown}}

    def _read(self, path: FilePath, size: int) -> bytes:
        self._need(size)
        return read_bytes(path)

    def _need(self, amount: int) -> None:
        """Make sure that there is room for so many bytes in memory.

        Raises:
            _NoRoomError: There is not.
        """
        if not has_room(amount, limit=self.max_memory):
            raise _NoRoomError

    def _remove_beyond(self, count: int) -> None:
        ours = re.compile(rf"{re.escape(self._prefix)}-(\d{{3}})\.jpg")
        for path in self.folder.glob(f"{self._prefix}-*.jpg"):
            match = ours.fullmatch(path.name)
            if match and int(match[1]) > count:
                path.unlink(missing_ok=True)

    def _failure(self, error: OSError) -> BanetError:
        return BanetError(
            f"--review-dir {self.folder}: cannot be written ({error.strerror or error}); mend its "
            "permissions or choose another folder"
        )


def refuse_review_among_photos(review: Location, tree: PhotoTree, out: Location) -> None:
    """Make sure that no picture of a review becomes a photo, or lies among results.

    Raises:
        InputError: The folder lies in an input folder or holds photos, a pattern of the inputs
            names what is in it, or it lies among masks or composites.
    """
    target = review.resolve()
    for folder in tree.folders:
        if lies_in(target, folder.resolve()):
            raise InputError(
                f"--review-dir {review}: lies inside the input folder {folder}, so that its "
                "pictures would be segmented by the next run; choose a folder beside it"
            )
    parents = {source.rpartition("/")[0] for source in tree.sources}
    if any(pattern.may_name(target) for pattern in tree.patterns) or any(
        (tree.root / parent).resolve() == target for parent in parents
    ):
        raise InputError(
            f"--review-dir {review}: there are photos of the inputs, or would be in the next run; "
            "choose another folder"
        )
    for results in (out / MASKS, out / COMPOSITES):
        if lies_in(target, results.resolve()):
            raise InputError(
                f"--review-dir {review}: lies among the results in {results}; choose another folder"
            )


def side_by_side(photo: Pixels, mask: Pixels, caption: str) -> Pixels:
    """Lay a photo, its mask, and the person on a checkerboard out beside each other.

    Args:
        photo: RGB, (H, W, 3) uint8.
        mask: Alpha, uint8, of any size with about the same proportions.
        caption: What stands below; too long a one loses its beginning.

    Returns:
        RGB, uint8.
    """
    height, width = fitted_size(height=photo.shape[0], width=photo.shape[1], long_side=LONG_SIDE)
    photo, mask = (resize(each, height=height, width=width) for each in (photo, mask))
    cut_out = put_before(photo, mask, checkerboard(height=height, width=width)).whole()
    parts = (photo, np.repeat(mask[..., None], 3, axis=2), cut_out)
    sheet = Image.new("RGB", (3 * width + 4 * GAP, height + 2 * GAP + CAPTION), PAPER)
    for number, part in enumerate(parts):
        sheet.paste(Image.fromarray(part), (GAP + number * (width + GAP), GAP))
    font = ImageFont.load_default(FONT_SIZE)
    draw = ImageDraw.Draw(sheet)
    shown = caption
    while font.getlength(shown) > sheet.width - 2 * GAP and len(caption) > 1:
        caption = caption[1:]
        shown = ELLIPSIS + caption
    draw.text((GAP, height + 2 * GAP), shown, fill=INK, font=font)
    return np.asarray(sheet)


def checkerboard(*, height: int, width: int) -> Pixels:
    """Return grey squares, (H, W, 3) uint8."""
    rows, columns = np.mgrid[:height, :width] // SQUARE
    plane = np.where((rows + columns) % 2, DARK, LIGHT).astype(np.uint8)
    return np.repeat(plane[..., None], 3, axis=2)


def least_certain(rows: Callable[[], Iterable[LedgerRow]]) -> Iterator[LedgerRow]:
    """Yield the rows with a mask, the least certain first."""
    last = (-math.inf, "")
    while True:
        least = nsmallest(
            ROWS_AT_ONCE,
            (row for row in rows() if _has_mask(row) and _doubt(row) > last),
            key=_doubt,
        )
        yield from least
        if len(least) < ROWS_AT_ONCE:
            return
        last = _doubt(least[-1])


def _has_mask(row: LedgerRow) -> bool:
    return row.status != "failed" and row.mask is not None and row.confidence is not None


def _fitted(pixels: Pixels) -> Pixels:
    """Return a picture as it is shown, if it is larger than that."""
    height, width = pixels.shape[:2]
    if max(height, width) <= LONG_SIDE:
        return pixels
    height, width = fitted_size(height=height, width=width, long_side=LONG_SIDE)
    return resize(pixels, height=height, width=width)


def _doubt(row: LedgerRow) -> tuple[float, str]:
    assert row.confidence is not None
    return row.confidence, row.source


def _caption(row: LedgerRow, rank: int) -> str:
    # Names of files may hold what is no text.
    name = row.source.encode("utf-8", "replace").decode()
    status = "" if row.status == "ok" else f", {row.status}"
    return f"{rank}. {name}  (confidence {row.confidence:.2f}, coverage {row.coverage:.1%}{status})"
