"""Pairs that cannot be used at all."""

from pipelines.errors import PhotoError

SAME_PROPORTIONS = 0.01
"""Difference of two ratios of width to height that rounding explains."""


class PairError(PhotoError):
    """A pair cannot be used.

    Args:
        message: Why.
        kind: Of the finding that says so.
    """

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message, kind)
        self.kind = kind

    def __str__(self) -> str:
        return str(self.args[0])


def misfit_kind(photo: tuple[int, int], mask: tuple[int, int]) -> str:
    """Tell in which way a mask does not have the size of its photo.

    Args:
        photo: Height and width, upright.
        mask: Height and width, which differ.
    """
    if mask == photo[::-1]:
        return "unrotated-mask"
    proportions = (mask[1] / mask[0]) / (photo[1] / photo[0])
    return "scaled-mask" if abs(proportions - 1) < SAME_PROPORTIONS else "size-mismatch"
