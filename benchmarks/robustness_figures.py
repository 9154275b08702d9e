"""What is said about how weights hold up."""

from dataclasses import asdict, dataclass

POOR = 0.8
"""A portrait IoU below this is a photo that somebody would have to mend by hand."""

HALF_PERCENT = 0.005
TWO_PERCENT = 0.02


@dataclass(frozen=True, kw_only=True)
class ChangeScore:
    """Scores of the photos of a dataset under one of the `CHANGES`.

    Attributes:
        portrait_iou: Mean over the photos, a fraction of 1.
        difference: To the plain photos, in points (hundredths).
    """

    dataset: str
    change: str
    photos: int
    portrait_iou: float
    difference: float


@dataclass(frozen=True, kw_only=True)
class PortraitScore:
    """Scores of a part of the web portraits, fractions of 1.

    Attributes:
        portrait_iou: Mean over the photos.
        miou: Mean of both classes' IoU, pooled over all pixels.
        poor: Share of the photos whose portrait IoU is below `POOR`.
    """

    part: str
    photos: int
    portrait_iou: float
    miou: float
    poor: float


@dataclass(frozen=True, kw_only=True)
class NobodyScore:
    """Shares of photos without people on which some area is taken for a person, fractions of 1.

    Attributes:
        over_half_percent: Share of the photos with more than 0.5 % of such an area.
        over_two_percent: With more than 2 %.
    """

    split: str
    photos: int
    over_half_percent: float
    over_two_percent: float


@dataclass(frozen=True, kw_only=True)
class PhotoIou:
    """Portrait IoU of one plain photo; `index` is its position in the store."""

    dataset: str
    index: int
    name: str
    portrait_iou: float


@dataclass(frozen=True, kw_only=True)
class Robustness:
    """All figures of one set of weights.

    Attributes:
        seed: Of the web portraits.
        worst: The worst plain photos of all datasets, the very worst first.
    """

    seed: int
    changes: tuple[ChangeScore, ...]
    web_portraits: tuple[PortraitScore, ...]
    nobody: tuple[NobodyScore, ...]
    worst: tuple[PhotoIou, ...]

    def as_json(self) -> dict[str, object]:
        """Return the figures as plain values."""
        return asdict(self)
