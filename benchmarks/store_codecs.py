"""Compares codecs, chunks and shards of a dataset for the way training reads: samples at random.

    python benchmarks/store_codecs.py --json benchmarks/results/store-codecs.json
    python benchmarks/store_codecs.py --photos pfcn/ --rounds 3

`banet prepare` makes a dataset of the pairs; each candidate is a copy of it whose frames (photo,
mask, boundary) are written in another way. All are written and read in turn, round by round, so
that whatever else the machine does hits all alike; figures are medians over the rounds. Photo and
mask of every sample are read once a round, in shuffled order, by `Store.photos`, index of the shard
included. The files are in the cache of the system by then: slow disks gain more from small ones.

zarr gets one thread for codecs and files; it gives Blosc none of its own. The last candidate is the
first one read by the codecs of the package `zarrs`, where that is installed.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Annotated, Any

import numpy as np
import typer
import zarr
from entry import told_in_a_sentence
from pair_sets import write_pair_set
from photo_sets import EXAMPLES
from result_files import write_result
from rich.console import Console
from terminal_tables import terminal_table
from zarr.codecs import BloscCname, BloscCodec, BloscShuffle, ZstdCodec

from pipelines.info import versions
from pipelines.prepare import PrepareOptions, prepare
from pipelines.store import open_store
from pipelines.store_writing import FRAME_LEVEL

FRAMES = ("image", "mask", "boundary")
HEIGHT, WIDTH = 800, 600
"""Of photos that are made."""

WRITTEN_TOGETHER = 256
"""Samples: the largest shard, so that all are written whole."""

ONE_THREAD = {"threading.max_workers": 1}
ZARRS_PIPELINE = {"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}


@dataclass(frozen=True, kw_only=True, eq=False)  # codecs may not be hashed
class Candidate:
    """A way to write frames, and to read them.

    Attributes:
        codec: What zarr compresses chunks with; None for nothing.
        chunk: Samples per chunk.
        shard: Samples per shard; None for a file for each chunk.
        zarrs: Whether the codecs of the package of that name read.
    """

    name: str
    codec: ZstdCodec | BloscCodec | None
    chunk: int = 1
    shard: int | None = 64
    zarrs: bool = False


def candidates() -> Iterator[Candidate]:
    """Yield what is compared; the first one is what `pipelines/store_writing.py` does."""
    zstd, name = ZstdCodec(level=FRAME_LEVEL), f"zstd {FRAME_LEVEL}"
    yield Candidate(name=name, codec=zstd)
    for level in (-5, -1, 3):
        yield Candidate(name=f"zstd {level}", codec=ZstdCodec(level=level))
    yield Candidate(name="raw", codec=None)
    for cname, level in ((BloscCname.lz4, 5), (BloscCname.zstd, 1)):
        for shuffle in (BloscShuffle.shuffle, BloscShuffle.bitshuffle):
            codec = BloscCodec(cname=cname, clevel=level, shuffle=shuffle, typesize=1)
            yield Candidate(name=f"blosc {cname.value} {level}, {shuffle.value}", codec=codec)
    yield Candidate(name=name, codec=zstd, chunk=4)
    yield Candidate(name=name, codec=zstd, shard=None)
    yield Candidate(name=name, codec=zstd, shard=256)
    yield Candidate(name=f"{name} read by zarrs", codec=zstd, zarrs=True)


@dataclass(frozen=True, kw_only=True)
class Round:
    """What one round took, per sample.

    Attributes:
        bytes_written: Size of the files of all frames.
        write_cpu: Seconds.
        read_cpu: Likewise.
        read_wall: Likewise.
    """

    bytes_written: int
    write_cpu: float
    read_cpu: float
    read_wall: float


@dataclass(frozen=True, kw_only=True)
class Result:
    """Medians over the rounds of a candidate.

    Attributes:
        bytes_per_sample: Of the files of all frames.
        write_cpu_ms: Per sample, of all frames.
        read_cpu_ms: Per sample, of photo and mask.
        samples_per_second: Photo and mask, of one process.
        against_first: How many times as fast as the first candidate, round by round.
    """

    name: str
    chunk: int
    shard: int | None
    bytes_per_sample: int
    write_cpu_ms: float
    read_cpu_ms: float
    samples_per_second: float
    against_first: float


class Bench:
    """Writes and reads copies of a dataset, one at a time.

    Args:
        dataset: What `banet prepare` made.
        folder: For the copies.
    """

    def __init__(self, dataset: Path, folder: Path) -> None:
        self._dataset = dataset
        self._folder = folder
        self.samples = len(open_store(dataset))

    def run(self, candidate: Candidate, *, seed: int) -> Round:
        """Write all samples, read them in the order that a seed gives, and remove them."""
        copy, write_cpu = self.write(candidate)
        order = np.random.default_rng(seed).permutation(self.samples).tolist()
        with _pipeline(candidate):
            store = open_store(copy)
            for _ in store.photos(order[:1]):  # what is read once
                pass
            wall, cpu = perf_counter(), process_time()
            for _ in store.photos(order):
                pass
            wall, cpu = perf_counter() - wall, process_time() - cpu
        files = (path for name in FRAMES for path in (copy / name).rglob("*") if path.is_file())
        written = sum(path.stat().st_size for path in files)
        shutil.rmtree(copy)
        return Round(
            bytes_written=round(written / self.samples),
            write_cpu=write_cpu / self.samples,
            read_cpu=cpu / self.samples,
            read_wall=wall / self.samples,
        )

    def write(self, candidate: Candidate) -> tuple[Path, float]:
        """Write a copy; return where it is, and the CPU seconds that zarr took for its frames."""
        name = f"{candidate.name}-{candidate.chunk}-{candidate.shard}"
        copy = self._folder / f"{name.replace(' ', '-')}.zarr"
        shutil.copytree(self._dataset, copy, ignore=shutil.ignore_patterns(*FRAMES))
        source = zarr.open_group(self._dataset, mode="r", zarr_format=3)
        group = zarr.open_group(copy, mode="r+", zarr_format=3)
        arrays = {name: _create(group, name, source[name], candidate) for name in FRAMES}
        spent = 0.0
        for start in range(0, self.samples, WRITTEN_TOGETHER):
            for name, array in arrays.items():
                end = min(start + WRITTEN_TOGETHER, self.samples)
                values = np.asarray(source[name][start:end])  # type: ignore[index] # no group
                started = process_time()
                array[start:end] = values
                spent += process_time() - started
        return copy, spent


def _create(group: zarr.Group, name: str, like: Any, candidate: Candidate) -> zarr.Array[Any]:
    frame = like.shape[1:]
    return group.create_array(
        name,
        shape=like.shape,
        dtype=like.dtype,
        chunks=(candidate.chunk, *frame),
        shards=None if candidate.shard is None else (candidate.shard, *frame),
        compressors=candidate.codec,
        dimension_names=like.metadata.dimension_names,
    )


def _pipeline(candidate: Candidate) -> AbstractContextManager[object]:
    return zarr.config.set(ZARRS_PIPELINE) if candidate.zarrs else nullcontext()


def version_of_zarrs() -> str | None:
    """Return the version of the package; None where it is not installed."""
    try:
        return version("zarrs")
    except PackageNotFoundError:
        return None


def compare(dataset: Path, folder: Path, *, rounds: int) -> list[Result]:
    """Measure all candidates that can be measured."""
    bench = Bench(dataset, folder)
    measured: dict[Candidate, list[Round]] = {
        each: [] for each in candidates() if not each.zarrs or version_of_zarrs()
    }
    for number in range(rounds):
        for candidate, done in measured.items():
            done.append(bench.run(candidate, seed=number))
    first = next(iter(measured.values()))
    return [
        Result(
            name=candidate.name,
            chunk=candidate.chunk,
            shard=candidate.shard,
            bytes_per_sample=done[-1].bytes_written,
            write_cpu_ms=round(1000 * median(each.write_cpu for each in done), 3),
            read_cpu_ms=round(1000 * median(each.read_cpu for each in done), 3),
            samples_per_second=round(1 / median(each.read_wall for each in done), 1),
            against_first=round(
                median(
                    one.read_wall / each.read_wall for one, each in zip(first, done, strict=True)
                ),
                3,
            ),
        )
        for candidate, done in measured.items()
    ]


def main(
    *,
    photos: Annotated[
        Path | None, typer.Option(help="Dataset of any layout; else pairs are made from examples.")
    ] = None,
    count: Annotated[int, typer.Option(help="Pairs that are made.", min=1)] = 512,
    size: Annotated[int, typer.Option(help="As of banet prepare.")] = 512,
    rounds: Annotated[int, typer.Option(help="Of all candidates.", min=1)] = 5,
    folder: Annotated[Path | None, typer.Option(help="For datasets, on the disk to try.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="File for the results.")] = None,
) -> None:
    """Compare codecs, chunks and shards."""
    with (
        told_in_a_sentence(),
        tempfile.TemporaryDirectory(dir=folder) as place,
        zarr.config.set(ONE_THREAD),
    ):
        source = photos or Path(place) / "pairs"
        if photos is None:
            write_pair_set(source, EXAMPLES, count=count, height=HEIGHT, width=WIDTH)
        dataset = Path(place) / "dataset.zarr"
        summary = prepare(PrepareOptions(source=source, dataset=dataset, size=size))
        results = compare(dataset, Path(place), rounds=rounds)
    _print(results)
    if json_file is not None:
        content = {
            "photos": "made" if photos is None else photos.name,
            "samples": summary.stored,
            "size": size,
            "rounds": rounds,
            "results": [asdict(result) for result in results],
            "zarrs": version_of_zarrs(),
            "versions": versions(),
        }
        write_result(json_file, content)


def _print(results: list[Result]) -> None:
    # Milliseconds of CPU time, samples read per second, and how many times as many as at first.
    titles = ("codec", "chunk", "shard", "kB", "write ms", "read ms", "per s", "times")
    table = terminal_table(*titles)
    for result in results:
        table.add_row(
            result.name,
            str(result.chunk),
            str(result.shard or "none"),
            f"{result.bytes_per_sample / 1000:.1f}",
            f"{result.write_cpu_ms:.2f}",
            f"{result.read_cpu_ms:.2f}",
            f"{result.samples_per_second:.0f}",
            f"{result.against_first:.2f}",
        )
    if version_of_zarrs() is None:
        table.add_row("zstd 1 read by zarrs", "1", "64", "", "", "not installed")
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
