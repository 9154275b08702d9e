"""`banet evaluate`: scores of weights on a split of prepared datasets."""

import csv
import io
import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from models import MODELS
from pipelines.checkpoints import Weights
from pipelines.devices import Precision, memory_limit_explained, precision_name
from pipelines.engines import Engine, load_network, make_engine, working_size_of
from pipelines.errors import ConfigError, InputError, PhotoError, WeightsError
from pipelines.face_prior import Face
from pipelines.images import Pixels
from pipelines.inference import MINIMUM_SIZE
from pipelines.known_faces import known_faces
from pipelines.onnx_weights import OnnxWeights
from pipelines.progress import Progress, SilentProgress
from pipelines.runtimes import resolve_compute, runtime_mistakes
from pipelines.scoring import PhotoScore, Scores, score_mask, summarise
from pipelines.storage import Location, locate
from pipelines.store import SPLITS, Store, open_store
from pipelines.whole_files import write_atomically

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """What to evaluate; the options of the command of the same name.

    Attributes:
        datasets: Paths or URLs of stores made by `banet prepare`, each scored on its own.
        weights: Shipped names, weights files, or ONNX files.
        split: train, val, test or all.
        out: Folder for `metrics.json` and `samples.csv`; None writes nothing.
        size: Working size; None takes that of the weights.
        precision: Arithmetic of the network.
        device: auto, cpu, cuda, cuda:N or mps.

    Raises:
        ConfigError: Some values make no sense; all of them are named.
    """

    datasets: tuple[Path | str, ...]
    weights: tuple[str, ...] = ("banet-64",)
    split: str = "val"
    out: Path | None = None
    size: int | None = None
    precision: Precision = "auto"
    device: str = "auto"

    def __post_init__(self) -> None:
        mistakes = []
        if not self.datasets:
            mistakes.append("DATASET: name at least one")
        if not self.weights:
            mistakes.append("--weights: name at least one")
        if self.split not in {*SPLITS, "all"}:
            mistakes.append(f"--split {self.split}: use {', '.join(SPLITS)} or all")
        if self.size is not None and self.size < MINIMUM_SIZE:
            mistakes.append(f"--size {self.size}: at least {MINIMUM_SIZE}")
        for name in self.weights:
            mistakes += runtime_mistakes(
                name, runtime="auto", device=self.device, precision=self.precision
            )
        if mistakes:
            raise ConfigError("; ".join(mistakes))


@dataclass(frozen=True, kw_only=True)
class EvaluationResult:
    """Scores of one set of weights on one dataset.

    Attributes:
        name: Of the weights, as given.
        dataset: Path or URL of the store, without the password that a URL may hold.
        size: Working size that the photos were segmented at.
    """

    name: str
    dataset: str
    size: int
    scores: Scores

    def as_json(self) -> dict[str, object]:
        """Return one object of the list `results`."""
        facts = {"name": self.name, "dataset": self.dataset, "size": self.size}
        return {**facts, **self.scores.as_json()}


@dataclass(frozen=True, kw_only=True)
class EvaluateSummary:
    """All results of one run."""

    results: tuple[EvaluationResult, ...]
    split: str
    device: str
    precision: str
    seconds: float
    exit_code: int = field(default=0, init=False)

    def as_json(self) -> dict[str, object]:
        """Return the JSON summary of the command."""
        return {
            "results": [result.as_json() for result in self.results],
            "split": self.split,
            "device": self.device,
            "precision": self.precision,
            "seconds": self.seconds,
        }


def evaluate(options: EvaluateOptions, *, progress: Progress | None = None) -> EvaluateSummary:
    """Score weights on a split of every dataset, photo by photo, at the stored size.

    Raises:
        ConfigError: An option makes no sense, or the packages for an exported network are missing.
        StoreError: A dataset cannot be read.
        InputError: A dataset has no samples in the split.
        WeightsError: Weights cannot be read, or cannot segment a photo.
        DeviceError: The device is not there.
        BanetError: Its memory does not suffice.
    """
    started = perf_counter()
    progress = progress or SilentProgress()
    device, dtype = resolve_compute(
        *options.weights, device=options.device, precision=options.precision
    )
    stores = [open_store(locate(dataset)) for dataset in options.datasets]
    chosen = [chosen_indices(store, options.split) for store in stores]
    results: list[EvaluationResult] = []
    rows: list[dict[str, object]] = []
    progress.start("evaluating", sum(map(len, chosen)) * len(options.weights))
    for name in options.weights:
        weights = load_network(name)
        _warn_of_zero_prior(weights)
        size = working_size_of(weights, options.size)
        engine = make_engine(weights, device=device, dtype=dtype, size=size)
        for store, indices in zip(stores, chosen, strict=True):
            scores: list[PhotoScore] = []
            faces = _faces(store, indices, weights, split=options.split)
            for (sample, photo, mask), face in zip(store.photos(indices), faces, strict=True):
                try:
                    probability = _probability(engine, photo, face)
                except PhotoError as error:
                    raise WeightsError(f"{name}: {store.path}, photo {sample}: {error}") from error
                scores.append(score_mask(probability, mask))
                rows.append(_row(name, store.path, sample, scores[-1]))
                progress.advance()
            results.append(
                EvaluationResult(
                    name=name, dataset=str(store.path), size=size, scores=summarise(scores)
                )
            )
    progress.finish()
    summary = EvaluateSummary(
        results=tuple(results),
        split=options.split,
        device=str(device),
        precision=precision_name(dtype),
        seconds=round(perf_counter() - started, 3),
    )
    if options.out is not None:
        _write_report(options.out, summary, rows)
    return summary


def _warn_of_zero_prior(weights: Weights | OnnxWeights) -> None:
    if isinstance(weights, OnnxWeights) and weights.info.face_prior == "zero":
        logger.warning(
            "%s: its position and shape channels are zero, as in every exported %s; only the "
            "weights that it was made from can be scored with faces",
            weights.name,
            weights.info.model,
        )


def _faces(
    store: Store, indices: list[int], weights: Weights | OnnxWeights, *, split: str
) -> list[Face | None]:
    """Return the faces of photos for a network that looks at them, else nothing but None."""
    if isinstance(weights, OnnxWeights) or not MODELS[weights.info.model].face_prior:
        return [None] * len(indices)
    return known_faces(store, indices, split=split)


def _probability(engine: Engine, photo: Pixels, face: Face | None) -> NDArray[np.float32]:
    elsewhere = "" if engine.device.type == "cpu" else ", or --device cpu"
    with memory_limit_explained(
        f"{engine.device}: not enough memory for a photo; use a smaller --size{elsewhere}"
    ):
        return engine(photo, face)


def chosen_indices(store: Store, split: str) -> list[int]:
    """Return the positions of the samples of a split, of which there is at least one.

    Raises:
        InputError: The dataset has no samples in the split.
    """
    indices = store.indices(split)
    if not indices:
        counts = ", ".join(f"{name} {len(store.indices(name))}" for name in SPLITS)
        raise InputError(
            f"{store.path}: no samples in the split {split!r} (it has {counts}); choose another "
            "with --split"
        )
    return indices


def _row(weights: str, dataset: Location, sample: str, score: PhotoScore) -> dict[str, object]:
    return {
        "weights": weights,
        "dataset": str(dataset),
        "sample": sample,
        "portrait_iou": round(score.portrait_iou, 6),
        "boundary_iou": round(score.boundary_iou, 6),
        "mae": round(score.mae, 6),
        "sad": round(score.sad, 6),
        "grad": round(score.grad, 6),
        "conn": round(score.conn, 6),
    }


def _write_report(folder: Path, summary: EvaluateSummary, rows: list[dict[str, object]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps(summary.as_json(), indent=2)
    write_atomically(folder / "metrics.json", content.encode())
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(folder / "samples.csv", table.getvalue().encode())
