"""Splitting the photos of a folder among jobs that know nothing of each other."""

import hashlib
import re
from dataclasses import dataclass
from typing import Self

from pipelines.images import PHOTO_EXTENSIONS
from pipelines.photo_files import default_stem, name_key

_SPELLING = re.compile(r"(\d+)/(\d+)", re.ASCII)
_TAG = re.compile(r"(\d+)-of-(\d+)", re.ASCII)

_NAMED_LIKE_A_PHOTO = re.compile(
    rf"(?:\.(?:{'|'.join(sorted(extension[1:] for extension in PHOTO_EXTENSIONS))})(?:-\d+)?)+\Z"
)
"""What photos that compete for one name add to it: extensions, and the numbers behind them."""


@dataclass(frozen=True, order=True)
class Shard:
    """One of `count` parts of a folder.

    Which part a photo belongs to is a hash of its path, so that photos that are added later move no
    other one. Photos that could compete for the name of a result, such as `a.jpg`, `a.heic` and
    `a.heic.png`, are hashed without what makes them differ: they meet in one part, whose ledger
    decides between them, whatever the other parts do in the meantime.

    Attributes:
        index: From 1 to `count`.
        count: At least 1.
    """

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `I/N`.

        Raises:
            ValueError: It is something else, or not 1 <= I <= N.
        """
        return cls._from_match(_SPELLING.fullmatch(text))

    @classmethod
    def from_tag(cls, text: str) -> Self:
        """Read what `tag` wrote.

        Raises:
            ValueError: It is something else.
        """
        return cls._from_match(_TAG.fullmatch(text))

    @classmethod
    def _from_match(cls, match: re.Match[str] | None) -> Self:
        index, count = map(int, match.groups()) if match else (0, 0)
        if not 1 <= index <= count:
            raise ValueError
        return cls(index, count)

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @property
    def tag(self) -> str:
        """Return how the shard is called in the names of its files: `2-of-8`."""
        return f"{self.index}-of-{self.count}"

    def holds(self, source: str) -> bool:
        """Tell whether a photo, named relative to its root, belongs to this shard."""
        family = _NAMED_LIKE_A_PHOTO.sub("", name_key(default_stem(source)))
        digest = hashlib.sha256(family.encode("utf-8", "surrogateescape")).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.index - 1
