"""Where the mask of a sample comes from: a file of its own, or the photo itself."""

import hashlib
from dataclasses import dataclass
from posixpath import splitext
from typing import NamedTuple, Protocol

from pipelines.errors import PhotoError
from pipelines.images import Pixels
from pipelines.mask_pictures import decode_alpha
from pipelines.masks import alpha_convention, read_mask
from pipelines.storage import FilePath
from pipelines.whole_files import read_bytes


class Mask(NamedTuple):
    """A mask and what it was made of.

    Attributes:
        pixels: (H, W) uint8, 0 background to 255 person.
        convention: How its origin writes "person", see `masks.read_mask`; `drawn` for shapes.
        sha256: Of all that it was made of, so that a change is noticed.
    """

    pixels: Pixels
    convention: str
    sha256: str


class MaskOrigin(Protocol):
    """Where a mask comes from, said by `str`; all that it is, by `repr`. It travels to workers."""

    @property
    def files(self) -> tuple[FilePath, ...]:
        """Files beside the photo that the mask is made of, where reading them is left to `read`."""

    def read(self, photo: bytes) -> Mask:
        """Make the mask.

        Args:
            photo: Content of the file of its photo.

        Raises:
            MissingFileError: The file that it comes from does not exist.
            PhotoError: There is no mask to be had from it.
        """


@dataclass(frozen=True, slots=True)
class MaskFile:
    """A file: an image, or a MATLAB file with a variable `mask`.

    Attributes:
        path: Of the file.
        classes: As for `masks.read_mask`.
    """

    path: FilePath
    classes: tuple[int, ...] = ()

    def __str__(self) -> str:
        return str(self.path)

    @property
    def files(self) -> tuple[FilePath, ...]:
        """The file."""
        return (self.path,)

    def read(self, photo: bytes) -> Mask:  # noqa: ARG002 - it is of no use here
        """Read the file."""
        content = read_bytes(self.path)
        suffix = splitext(str(self.path))[1]
        pixels, convention = read_mask(content, suffix, classes=self.classes)
        return Mask(pixels, convention, sha256_of(content))


@dataclass(frozen=True, slots=True)
class PhotoAlpha:
    """The alpha channel of the photo itself, as cut-outs have it.

    Attributes:
        photo: File of the photo.
    """

    photo: FilePath

    def __str__(self) -> str:
        return f"{self.photo} (alpha)"

    @property
    def files(self) -> tuple[FilePath, ...]:
        """None."""
        return ()

    def read(self, photo: bytes) -> Mask:
        """Take the opacity of the photo."""
        alpha = decode_alpha(photo)
        if alpha is None:
            raise PhotoError("the picture has no alpha channel, so that nothing is cut out of it")
        return Mask(alpha, alpha_convention(alpha), sha256_of(photo))


def sha256_of(content: bytes) -> str:
    """Return the SHA-256 of bytes in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()
