"""Says what refining masks is worth, against enlarging them bilinearly, and what it costs.

    python benchmarks/refinement.py pfcn.zarr ccp.zarr --originals pfcn/ --json refinement.json

Judged are the held-out photos of the stores as the stores hold them, and those among `--originals`,
a dataset as `banet prepare` takes it, at their own size. Beside the boundary IoU there is one whose
band is a quarter as wide, because one of 2 % of the diagonal hardly sees where an edge is sharp.
A portrait of 12 megapixels whose alpha is known is made by code, see `known_alpha`.
"""

import time
from collections.abc import Callable, Iterable, Iterator
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
from known_alpha import draw_portrait, seen_by_a_network
from numpy.typing import NDArray
from result_files import write_result
from rich.console import Console
from terminal_tables import terminal_table, titles_of

from models.metrics import BOUNDARY_RATIO, boundary_iou, count_overlap, portrait_iou
from pipelines.encoding import encode
from pipelines.engines import Engine, load_network, make_engine
from pipelines.errors import ConfigError, MissingFileError
from pipelines.evaluate import chosen_indices
from pipelines.examine import load_pair
from pipelines.images import OPAQUE, PERSON_FROM, Pixels
from pipelines.inference import limit_threads, soft_mask, to_alpha
from pipelines.info import versions
from pipelines.matting import absolute_error, gradient_error
from pipelines.refinement import refined_mask
from pipelines.runtimes import resolve_compute
from pipelines.sources import discover_samples
from pipelines.store import Store, open_store

NARROW_RATIO = BOUNDARY_RATIO / 4

HEIGHT, WIDTH = 4000, 3000
"""Of the portrait made by code, in pixels."""

REPEATS = 5
"""Times are the shortest of so many."""

Sample = tuple[Pixels, Pixels]


@dataclass(frozen=True, kw_only=True)
class EdgeScores:
    """Scores of masks at the size of their photos, fractions of 1, means over photos.

    Attributes:
        boundary_iou: With the usual band.
        narrow_boundary_iou: With a band of `NARROW_RATIO`.
        mae: Mean absolute difference of alpha.
    """

    portrait_iou: float
    boundary_iou: float
    narrow_boundary_iou: float
    mae: float


@dataclass(frozen=True, kw_only=True)
class PhotoResult:
    """What became of some photos.

    Attributes:
        better: Share of the photos whose narrow boundary IoU rose by refining.
        worse: Share of those whose fell.
    """

    photos: str
    count: int
    plain: EdgeScores
    refined: EdgeScores
    better: float
    worse: float


@dataclass(frozen=True, kw_only=True)
class KnownAlphaResult:
    """Errors and CPU milliseconds of one kind of mask of the portrait made by code."""

    mask: str
    mae_at_the_edge: float
    sad: float
    gradient_error: float
    milliseconds: float
    png_milliseconds: float


def main(
    datasets: Annotated[list[Path], typer.Argument(help="Stores of people to judge on.")],
    *,
    originals: Annotated[
        Path | None, typer.Option(help="Dataset that the photos of one of the stores are from.")
    ] = None,
    weights: Annotated[str, typer.Option(help="As of banet evaluate.")] = "banet-64",
    split: Annotated[
        Literal["train", "val", "test"], typer.Option(help="Whose photos are taken.")
    ] = "val",
    limit: Annotated[
        int | None, typer.Option(help="Take only so many photos of each dataset.")
    ] = None,
    device: Annotated[str, typer.Option(help="As of banet evaluate.")] = "auto",
    json_file: Annotated[Path | None, typer.Option("--json", help="File for the results.")] = None,
) -> None:
    """Compare refined masks with plain ones."""
    limit_threads(1)  # so that CPU times are comparable
    with told_in_a_sentence():
        network = load_network(weights)
        found_device, dtype = resolve_compute(weights, device=device, precision="auto")
        engine = make_engine(network, device=found_device, dtype=dtype, size=network.info.size)
        stores = [open_store(path) for path in datasets]
        sources = {
            f"{store.path.stem}, {store.attributes['size']} pixels": partial(
                _stored, store, split, limit
            )
            for store in stores
        }
        if originals is not None:
            sources[f"{originals.name}, own size"] = partial(
                _at_own_size, originals, stores, split, limit
            )
        photos = [_judge(name, engine, samples()) for name, samples in sources.items()]
    known = _known_alpha()
    _print(photos, known)
    if json_file is not None:
        content = {
            "weights": {"name": network.name, "sha256": network.sha256},
            "split": split,
            "device": str(found_device),
            "photos": [asdict(result) for result in photos],
            "known_alpha": [asdict(result) for result in known],
            "versions": versions(),
        }
        write_result(json_file, content)


def _stored(store: Store, split: str, limit: int | None) -> Iterator[Sample]:
    for sample in held_out_photos(store, chosen_indices(store, split)[:limit]):
        yield sample.photo, sample.mask


def _at_own_size(
    originals: Path, stores: list[Store], split: str, limit: int | None
) -> Iterator[Sample]:
    """Yield those photos of a dataset that the stores hold in a split, as large as they are."""
    wanted = set[str]().union(*(store.hashes(split) for store in stores))
    count = 0
    for sample in discover_samples(originals)[1]:
        if count == limit:
            return
        try:
            pair = load_pair(sample)
        except MissingFileError:
            continue
        if pair.sha256 in wanted:
            wanted.remove(pair.sha256)  # a copy of a photo does not count again
            count += 1
            yield pair.photo, pair.mask


def _judge(name: str, engine: Engine, samples: Iterable[Sample]) -> PhotoResult:
    """Compare both kinds of mask on some photos.

    Raises:
        ConfigError: There are none.
    """
    scores: list[tuple[EdgeScores, EdgeScores]] = []
    for photo, truth in samples:
        seen = engine.prepare(photo)
        alpha = to_alpha(seen.probability())
        plain = soft_mask(alpha, height=truth.shape[0], width=truth.shape[1])
        refined = refined_mask(alpha, photo, seen.small)
        scores.append((_score(plain, truth), _score(refined, truth)))
    if not scores:
        raise ConfigError(f"{name}: none of the photos is in the split; name the store of them")
    gains = np.array([two.narrow_boundary_iou - one.narrow_boundary_iou for one, two in scores])
    return PhotoResult(
        photos=name,
        count=len(scores),
        plain=_mean([one for one, _ in scores]),
        refined=_mean([two for _, two in scores]),
        better=float((gains > 0).mean()),
        worse=float((gains < 0).mean()),
    )


def _score(mask: Pixels, truth: Pixels) -> EdgeScores:
    predicted, true = (torch.from_numpy(each >= PERSON_FROM)[None] for each in (mask, truth))
    everywhere = torch.ones_like(true)
    return EdgeScores(
        portrait_iou=float(portrait_iou(count_overlap(predicted, true, everywhere))),
        boundary_iou=float(boundary_iou(predicted, true, everywhere)),
        narrow_boundary_iou=float(boundary_iou(predicted, true, everywhere, ratio=NARROW_RATIO)),
        mae=float(cv2.absdiff(mask, truth).mean() / OPAQUE),
    )


def _mean(scores: list[EdgeScores]) -> EdgeScores:
    names = vars(scores[0])
    return EdgeScores(**{n: float(np.mean([getattr(s, n) for s in scores])) for n in names})


def _known_alpha() -> list[KnownAlphaResult]:
    photo, true = draw_portrait(height=HEIGHT, width=WIDTH)
    alpha = seen_by_a_network(true)
    kinds: dict[str, Callable[[], Pixels]] = {
        "plain": partial(soft_mask, alpha, height=HEIGHT, width=WIDTH),
        "refined": partial(refined_mask, alpha, photo),
    }
    return [_compare(name, make, true) for name, make in kinds.items()]


def _compare(name: str, make: Callable[[], Pixels], true: NDArray[np.float32]) -> KnownAlphaResult:
    mask = make()
    predicted = mask.astype(np.float32) / OPAQUE
    edge = (true > 0) & (true < 1)
    return KnownAlphaResult(
        mask=name,
        mae_at_the_edge=float(np.abs(predicted - true)[edge].mean()),
        sad=absolute_error(predicted, true),
        gradient_error=gradient_error(predicted, true),
        milliseconds=_milliseconds(make),
        png_milliseconds=_milliseconds(lambda: encode(mask, "png")),
    )


def _milliseconds(work: Callable[[], object]) -> float:
    """Return the CPU time that a piece of work needs at least."""
    times = []
    for _ in range(REPEATS):
        started = time.thread_time()
        work()
        times.append(time.thread_time() - started)
    return 1000 * min(times)


def _print(photos: list[PhotoResult], known: list[KnownAlphaResult]) -> None:
    columns = ("photos", "number", *titles_of(photos[0].plain), "better")
    table = terminal_table(*columns, title="plain -> refined, %")
    for result in photos:
        pairs = zip(vars(result.plain).values(), vars(result.refined).values(), strict=True)
        cells = [f"{100 * plain:.2f} -> {100 * refined:.2f}" for plain, refined in pairs]
        table.add_row(result.photos, str(result.count), *cells, f"{100 * result.better:.0f}")
    title = "12 megapixels, known alpha; CPU milliseconds"
    made = terminal_table(*titles_of(known[0]), title=title)
    for row in known:
        made.add_row(row.mask, *(f"{value:.4g}" for value in list(vars(row).values())[1:]))
    for each in (table, made):
        Console().print(each)


if __name__ == "__main__":
    typer.run(main)
