"""Says how well the confidence in the ledger of `banet segment` tells poor masks from good ones.

    python benchmarks/confidence.py pfcn.zarr ccp.zarr
    python benchmarks/confidence.py pfcn.zarr ccp.zarr --split train --every 4 --json train.json

A mask is poor if its portrait IoU is below 0.9. A statistic of the probabilities ranks well if poor
masks have the lower values: its AUROC is how often that is so, of all pairs of a poor mask and
another one; one half is chance. The confidence stands beside the statistics that it was chosen
among, on training photos: those of `--split train` help to choose, those of `--split val` to judge.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import cv2
import numpy as np
import torch
import typer
from entry import told_in_a_sentence
from held_out import held_out_photos
from numpy.typing import NDArray
from result_files import write_result
from rich.console import Console as RichConsole
from robustness_scores import Predict, overlap_of
from scipy.stats import mannwhitneyu, spearmanr
from terminal_tables import terminal_table

from banet_cli.console import Console
from models.metrics import portrait_iou
from pipelines.devices import precision_name
from pipelines.engines import load_network, make_engine
from pipelines.evaluate import chosen_indices
from pipelines.inference import DOUBT, confidence, limit_threads
from pipelines.info import versions
from pipelines.progress import Progress
from pipelines.runtimes import resolve_compute
from pipelines.scoring import THRESHOLD
from pipelines.store import Store, open_store

POOR = 0.9
"""A mask of a lower portrait IoU is one that a person should look at."""

CONFIDENCE = "confidence"

LEVELS = 5
"""Number of equal parts, by confidence, whose mean IoU is told."""

EDGE = 2
"""Distance in pixels from the edge of the mask that counts as near it."""

Probability = NDArray[np.float32]


def agreement(probability: Probability, *, doubt: float) -> float:
    """Return the IoU of the masks at `doubt` and 1 - `doubt`, as `confidence` does at `DOUBT`."""
    possible = np.count_nonzero(probability >= doubt)
    return np.count_nonzero(probability >= 1 - doubt) / possible if possible else 1.0


def weighted_certainty(probability: Probability) -> float:
    """Return the mean of |2p - 1| weighted by p: the confidence of banet 0.1."""
    return float((probability * np.abs(2 * probability - 1)).sum() / max(probability.sum(), 1e-9))


def expected_iou(probability: Probability) -> float:
    """Return the IoU to expect if every pixel shows a person as often as its probability says."""
    mask = probability >= THRESHOLD
    union = np.count_nonzero(mask) + probability[~mask].sum()
    return float(probability[mask].sum() / max(float(union), 1e-9))


def _area(probability: Probability) -> int:
    """Return the pixels of the mask, at least 1."""
    return max(1, int(np.count_nonzero(probability >= THRESHOLD)))


def entropy_by_area(probability: Probability) -> float:
    """Return minus the sum of the entropy by the area of the mask."""
    return -float(_entropy(probability).sum()) / _area(probability)


def entropy_near_edge(probability: Probability) -> float:
    """Return minus the mean entropy within `EDGE` pixels of the edge of the mask."""
    near = _near_edge(probability)
    return -float(_entropy(probability)[near].mean()) if near.any() else 0.0


def entropy_far_from_edge(probability: Probability) -> float:
    """Return minus the sum of the entropy elsewhere, by the area of the mask."""
    far = _entropy(probability)[~_near_edge(probability)].sum()
    return -float(far) / _area(probability)


def components(probability: Probability) -> float:
    """Return minus the number of pieces of the mask."""
    return -float(cv2.connectedComponents((probability >= THRESHOLD).astype(np.uint8))[0] - 1)


STATISTICS: dict[str, Callable[[Probability], float]] = {
    CONFIDENCE: confidence,
    **{
        f"agreement at {doubt} and {1 - doubt:g}": partial(agreement, doubt=doubt)
        for doubt in (0.02, 0.05, 0.1, 0.3)
    },
    "weighted certainty": weighted_certainty,
    "expected IoU": expected_iou,
    "entropy by area": entropy_by_area,
    "entropy near the edge": entropy_near_edge,
    "entropy far from the edge": entropy_far_from_edge,
    "pieces of the mask": components,
}
"""What is compared; of all a lower value should mean a poorer mask."""


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """How a statistic ranks masks.

    Attributes:
        auroc: For poor masks over all photos.
        auroc_by_dataset: Likewise within each dataset; None if none or all are poor there.
        spearman: Rank correlation with the portrait IoU, over all photos; None if all are the same.
    """

    statistic: str
    auroc: float | None
    auroc_by_dataset: dict[str, float | None]
    spearman: float | None


@dataclass(frozen=True, kw_only=True)
class Level:
    """Photos of like confidence.

    Attributes:
        confidence: Lowest and highest.
        portrait_iou: Mean, a fraction of 1.
        poor: Share of the photos whose mask is poor.
    """

    photos: int
    confidence: tuple[float, float]
    portrait_iou: float
    poor: float


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One photo.

    Attributes:
        values: Of the `STATISTICS`.
    """

    dataset: str
    iou: float
    values: dict[str, float]


def main(
    datasets: Annotated[list[Path], typer.Argument(help="Stores of people to judge on.")],
    *,
    weights: Annotated[str, typer.Option(help="As of banet segment.")] = "banet-64",
    split: Annotated[
        Literal["train", "val", "test", "all"], typer.Option(help="Whose photos are taken.")
    ] = "val",
    every: Annotated[int, typer.Option(min=1, help="Take one photo of so many.")] = 1,
    device: Annotated[str, typer.Option(help="As of banet segment.")] = "auto",
    json_file: Annotated[Path | None, typer.Option("--json", help="File for the results.")] = None,
) -> None:
    """Say how well the confidence tells poor masks from good ones."""
    limit_threads(torch.get_num_threads())  # OpenCV too, which does not know OMP_NUM_THREADS
    console = Console(json=False, log_format="text", quiet=False, verbose=False)
    with told_in_a_sentence():
        stores = [open_store(path) for path in datasets]
        network = load_network(weights)
        compute = resolve_compute(network.name, device=device, precision="auto")
        engine = make_engine(network, device=compute[0], dtype=compute[1], size=network.info.size)
        with console.progress() as progress:
            photos = list(judged(engine, stores, split, progress, every=every))
    rankings = [ranking(name, photos) for name in STATISTICS]
    levels = levels_of(photos)
    _print(rankings, levels, poor=sum(photo.iou < POOR for photo in photos), photos=len(photos))
    if json_file is not None:
        content = {
            "weights": {"name": network.name, "sha256": network.sha256},
            "precision": precision_name(compute[1]),
            "split": split,
            "every": every,
            "doubt": DOUBT,
            "poor_below": POOR,
            "photos": len(photos),
            "poor": sum(photo.iou < POOR for photo in photos),
            "auroc": rankings[0].auroc,
            "rankings": [asdict(each) for each in rankings],
            "levels": [asdict(each) for each in levels],
            "versions": versions(),
        }
        write_result(json_file, content)


def judged(
    predict: Predict, stores: Sequence[Store], split: str, progress: Progress, *, every: int = 1
) -> Iterator[Judged]:
    """Yield the photos of a split with IoU and statistics.

    Raises:
        InputError: A store has no samples in the split.
    """
    for store in stores:
        indices = chosen_indices(store, split)[::every]
        progress.start(store.path.stem, len(indices))
        for photo in held_out_photos(store, indices):
            probability = predict(photo.photo)
            yield Judged(
                dataset=photo.dataset,
                iou=float(portrait_iou(overlap_of(probability, photo.mask))),
                values={name: of(probability) for name, of in STATISTICS.items()},
            )
            progress.advance()
        progress.finish()


def ranking(statistic: str, photos: Sequence[Judged]) -> Ranking:
    """Say how a statistic ranks photos."""
    by_dataset: dict[str, list[Judged]] = {}
    for photo in photos:
        by_dataset.setdefault(photo.dataset, []).append(photo)
    values, ious = zip(*((photo.values[statistic], photo.iou) for photo in photos), strict=True)
    differ = len(set(values)) > 1 and len(set(ious)) > 1
    return Ranking(
        statistic=statistic,
        auroc=auroc(statistic, photos),
        auroc_by_dataset={name: auroc(statistic, some) for name, some in by_dataset.items()},
        spearman=float(spearmanr(values, ious).statistic) if differ else None,
    )


def auroc(statistic: str, photos: Sequence[Judged]) -> float | None:
    """Return how often a poor mask has a lower value than another one; half a time if equal."""
    poor = [photo.values[statistic] for photo in photos if photo.iou < POOR]
    good = [photo.values[statistic] for photo in photos if photo.iou >= POOR]
    if not (poor and good):
        return None
    return float(mannwhitneyu(good, poor).statistic) / (len(poor) * len(good))


def levels_of(photos: Sequence[Judged]) -> list[Level]:
    """Divide the photos by their confidence into parts of equal size, from low to high."""
    ordered = sorted(photos, key=lambda photo: photo.values[CONFIDENCE])
    parts = np.array_split(np.arange(len(ordered)), LEVELS)
    return [_level([ordered[number] for number in part]) for part in parts if len(part)]


def _level(photos: Sequence[Judged]) -> Level:
    ious = np.array([photo.iou for photo in photos])
    return Level(
        photos=len(photos),
        confidence=(photos[0].values[CONFIDENCE], photos[-1].values[CONFIDENCE]),
        portrait_iou=float(ious.mean()),
        poor=float((ious < POOR).mean()),
    )


def _entropy(probability: Probability) -> Probability:
    certain = probability.clip(1e-7, 1 - 1e-7)
    return -(certain * np.log(certain) + (1 - certain) * np.log(1 - certain))


def _near_edge(probability: Probability) -> NDArray[np.bool_]:
    mask = (probability >= THRESHOLD).astype(np.uint8)
    kernel = np.ones((2 * EDGE + 1,) * 2, np.uint8)
    return (cv2.dilate(mask, kernel) > 0) & (cv2.erode(mask, kernel) == 0)


def _print(rankings: list[Ranking], levels: list[Level], *, poor: int, photos: int) -> None:
    datasets = list(rankings[0].auroc_by_dataset)
    title = f"AUROC for the {poor} of {photos} photos whose portrait IoU is below {POOR:g}"
    table = terminal_table("statistic", "all", *datasets, "Spearman", title=title)
    for each in rankings:
        scores = [each.auroc, *each.auroc_by_dataset.values(), each.spearman]
        texts = ["-" if score is None else f"{score:.3f}" for score in scores]
        table.add_row(each.statistic, *texts)
    columns = ("confidence", "photos", "portrait IoU %", f"% below {100 * POOR:g}")
    shares = terminal_table(*columns, title="from the least to the most confident")
    for level in levels:
        low, high = level.confidence
        shares.add_row(
            f"{low:.2f} to {high:.2f}",
            str(level.photos),
            f"{100 * level.portrait_iou:.2f}",
            f"{100 * level.poor:.1f}",
        )
    console = RichConsole()
    for each_table in (table, shares):
        console.print(each_table)


if __name__ == "__main__":
    typer.run(main)
