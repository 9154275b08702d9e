"""Measuring how weights hold up on held-out photos that are not like the training photos."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import torch
from changes import CHANGES, PLAIN
from held_out import HeldOutPhoto, grounds, held_out_photos
from numpy.typing import NDArray
from robustness_figures import (
    HALF_PERCENT,
    POOR,
    TWO_PERCENT,
    ChangeScore,
    NobodyScore,
    PhotoIou,
    PortraitScore,
    Robustness,
)
from web_portraits import PHOTOS, SEED, Sample, compositions, reframings

from models.metrics import Overlap, count_overlap, pooled_miou, portrait_iou
from pipelines.checkpoints import Weights
from pipelines.engines import make_engine
from pipelines.errors import PhotoError, WeightsError
from pipelines.evaluate import chosen_indices
from pipelines.images import PERSON_FROM, Pixels
from pipelines.inference import binary_mask, coverage
from pipelines.onnx_weights import OnnxWeights
from pipelines.progress import Progress, SilentProgress
from pipelines.scoring import THRESHOLD
from pipelines.store import Store

Predict = Callable[[Pixels], NDArray[np.float32]]
"""Turns RGB (H, W, 3) uint8 into probabilities (h, w) in [0, 1] of a size of its own."""

WORST = 20
"""Number of photos that are named as the worst."""

EVERYTHING = "both"
"""Name of the two parts of the web portraits together."""


def robustness(
    weights: Weights | OnnxWeights,
    stores: Sequence[Store],
    nobody: Store,
    *,
    split: str = "val",
    count: int = PHOTOS,
    device: torch.device,
    dtype: torch.dtype,
    progress: Progress | None = None,
) -> Robustness:
    """Judge weights on held-out photos, at their own working size.

    Networks with position and shape channels are shown no faces, as in `banet segment`.

    Args:
        weights: What `load_network` returned.
        stores: Photos of people.
        nobody: Photos without people.
        split: Whose photos are taken of all stores.
        count: Number of compositions, and of re-framings, in the stand-in for web portraits.
        device: As for `make_engine`.
        dtype: As for `make_engine`.
        progress: Told of every photo.

    Raises:
        InputError: A store has no samples in the split, or a photo of `stores` shows nobody.
        StoreError: A store is damaged.
        WeightsError: What the network makes of a photo is not a number.
        BanetError: The device cannot take the network.
    """
    engine = make_engine(weights, device=device, dtype=dtype, size=weights.info.size)
    try:
        return judge(engine, stores, nobody, split=split, count=count, progress=progress)
    except PhotoError as error:
        raise WeightsError(f"{weights.name}: {error}") from error


def judge(
    predict: Predict,
    stores: Sequence[Store],
    nobody: Store,
    *,
    split: str = "val",
    count: int = PHOTOS,
    progress: Progress | None = None,
) -> Robustness:
    """Judge whatever predicts masks; see `robustness`."""
    progress = progress or SilentProgress()
    backgrounds = grounds(nobody, split)
    changes: list[ChangeScore] = []
    plain: list[PhotoIou] = []
    for store in stores:
        scores, ious = change_scores(predict, store, split, backgrounds, progress)
        changes += scores
        plain += ious
    web = {
        "compositions": compositions(stores, split, backgrounds, count=count),
        "re-framings": reframings(stores, split, count=count),
    }
    return Robustness(
        seed=SEED,
        changes=tuple(changes),
        web_portraits=portrait_scores(predict, web, count, progress),
        nobody=tuple(
            nobody_score(predict, nobody, each, progress) for each in dict.fromkeys((split, "all"))
        ),
        worst=tuple(sorted(plain, key=lambda photo: photo.portrait_iou)[:WORST]),
    )


def change_scores(
    predict: Predict, store: Store, split: str, backgrounds: list[Pixels], progress: Progress
) -> tuple[list[ChangeScore], list[PhotoIou]]:
    """Score the photos of a dataset under every change, and tell the plain ones one by one."""
    indices = chosen_indices(store, split)
    progress.start(f"{store.path.stem}, changed", len(indices))
    rows: list[list[float]] = []
    plain: list[PhotoIou] = []
    for number, sample in enumerate(held_out_photos(store, indices)):
        background = backgrounds[number % len(backgrounds)]
        rows.append(_ious_under_changes(predict, sample, background))
        plain.append(_photo_iou(sample, rows[-1][list(CHANGES).index(PLAIN)]))
        progress.advance()
    progress.finish()
    means = dict(zip(CHANGES, np.mean(rows, axis=0).tolist(), strict=True))
    scores = [
        ChangeScore(
            dataset=store.path.stem,
            change=change,
            photos=len(rows),
            portrait_iou=mean,
            difference=100 * (mean - means[PLAIN]),
        )
        for change, mean in means.items()
    ]
    return scores, plain


def portrait_scores(
    predict: Predict, parts: Mapping[str, Iterable[Sample]], count: int, progress: Progress
) -> tuple[PortraitScore, ...]:
    """Score the parts of the web portraits, each of `count` photos, and all together."""
    overlaps: dict[str, list[Overlap]] = {}
    for part, samples in parts.items():
        progress.start(part, count)
        overlaps[part] = []
        for photo, mask in samples:
            overlaps[part].append(overlap_of(predict(photo), mask))
            progress.advance()
        progress.finish()
    overlaps[EVERYTHING] = [overlap for part in parts for overlap in overlaps[part]]
    return tuple(_portrait_score(part, found) for part, found in overlaps.items())


def nobody_score(predict: Predict, nobody: Store, split: str, progress: Progress) -> NobodyScore:
    """Measure how much is taken for a person where nobody is."""
    indices = chosen_indices(nobody, split)
    progress.start(f"{nobody.path.stem}, split {split}", len(indices))
    covered = []
    for _, photo, _ in nobody.photos(indices):
        covered.append(coverage(predict(photo), threshold=THRESHOLD))
        progress.advance()
    progress.finish()
    return NobodyScore(
        split=split,
        photos=len(covered),
        over_half_percent=float(np.mean(np.array(covered) > HALF_PERCENT)),
        over_two_percent=float(np.mean(np.array(covered) > TWO_PERCENT)),
    )


def overlap_of(probability: NDArray[np.float32], mask: Pixels) -> Overlap:
    """Compare probabilities, (h, w), with the mask of a photo, (H, W) uint8, 0-255."""
    height, width = mask.shape
    predicted = binary_mask(probability, height=height, width=width, threshold=THRESHOLD)
    person, truth = (torch.from_numpy(each >= PERSON_FROM)[None] for each in (predicted, mask))
    return count_overlap(person, truth, torch.ones_like(truth))


def _ious_under_changes(predict: Predict, sample: HeldOutPhoto, background: Pixels) -> list[float]:
    changed = (change(sample.photo, sample.mask, background) for change in CHANGES.values())
    return [float(portrait_iou(overlap_of(predict(photo), mask))) for photo, mask in changed]


def _photo_iou(sample: HeldOutPhoto, iou: float) -> PhotoIou:
    return PhotoIou(dataset=sample.dataset, index=sample.index, name=sample.name, portrait_iou=iou)


def _portrait_score(part: str, overlaps: list[Overlap]) -> PortraitScore:
    overlap = Overlap(*(torch.cat(counts) for counts in zip(*overlaps, strict=True)))
    ious = portrait_iou(overlap)
    return PortraitScore(
        part=part,
        photos=len(overlaps),
        portrait_iou=float(ious.mean()),
        miou=pooled_miou(overlap),
        poor=float((ious < POOR).double().mean()),
    )
