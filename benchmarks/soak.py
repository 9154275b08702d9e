"""Says whether `banet segment` needs more memory the more photos it has done.

    python benchmarks/soak.py --photos 100000 --folder /tmp/soak --json soak.json

Small photos are made by code, a tenth of them broken. One process segments them; its resident
memory is looked at from outside, together with the number of rows in its ledger. A straight line is
laid through both, by least squares, once the first photos have brought in what any photo needs.
Photos that a folder holds already are taken as they are; the results of an earlier run are removed.
"""

import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import psutil
import typer
from made_photos import make_photos
from measured_commands import BANET
from result_files import write_result

from pipelines.info import versions
from pipelines.ledger import LEDGER_NAME

BROKEN_EVERY = 10
WARM_UP = 0.1
"""Share of the photos after which memory counts."""

SECONDS_BETWEEN_LOOKS = 0.5
MEGABYTE = 1_000_000
PER_PHOTOS = 10_000
PHOTOS_BROKEN = 3
"""Exit code of a run in which some photos failed."""


class Sample(NamedTuple):
    """One look at a run: rows in its ledger, and bytes of memory."""

    done: int
    memory: int


@dataclass(frozen=True, kw_only=True)
class Growth:
    """How memory followed the number of photos.

    Attributes:
        megabytes_per_10000_photos: Slope of the line.
        first_megabytes: When the warm-up was over.
        most_megabytes: At any look, those before the warm-up was over and after the last photo
            included.
        looks: That the line was laid through.
    """

    megabytes_per_10000_photos: float
    first_megabytes: float
    most_megabytes: float
    looks: int


def growth(samples: Iterable[Sample], *, photos: int) -> Growth:
    """Lay a line through what was seen after the warm-up and before the last photo."""
    seen = list(samples)
    counted = [sample for sample in seen if WARM_UP * photos <= sample.done < photos]
    done = np.array([sample.done for sample in counted]) / PER_PHOTOS
    memory = np.array([sample.memory for sample in counted]) / MEGABYTE
    slope, _ = np.polyfit(done, memory, 1)
    return Growth(
        megabytes_per_10000_photos=round(float(slope), 3),
        first_megabytes=round(float(memory[0]), 1),
        most_megabytes=round(max(sample.memory for sample in seen) / MEGABYTE, 1),
        looks=len(counted),
    )


def watch(process: subprocess.Popen[bytes], ledger: Path, *, photos: int) -> Iterator[Sample]:
    """Look at a run now and then until it has ended."""
    memory = psutil.Process(process.pid)
    done = 0
    file = None
    while process.poll() is None:
        if file is None and ledger.exists():
            file = ledger.open("rb")
        if file is not None and done < photos:
            done += file.read().count(b"\n")
        try:
            yield Sample(done, memory.memory_info().rss)
        except psutil.NoSuchProcess:
            return
        time.sleep(SECONDS_BETWEEN_LOOKS)


def main(
    *,
    photos: Annotated[int, typer.Option(min=100, help="How many.")] = 100_000,
    folder: Annotated[Path, typer.Option(help="For the photos and the results.")] = Path("soak"),
    weights: Annotated[str, typer.Option(help="Shipped name or file.")] = "banet-64",
    size: Annotated[int, typer.Option(help="Working size; small ones are fast.")] = 64,
    workers: Annotated[int | None, typer.Option(help="As in `banet segment`.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="File for the result.")] = None,
) -> None:
    """Run `banet segment` over many small photos and fit the growth of its memory."""
    source, out = folder / f"photos-{photos}", folder / f"results-{photos}"
    make_photos(source, photos, broken=range(0, photos, BROKEN_EVERY))
    shutil.rmtree(out, ignore_errors=True)
    command = [*BANET, "segment", str(source), "--out", str(out)]
    command += ["--weights", weights, "--size", str(size)]
    command += [] if workers is None else ["--workers", str(workers)]
    started = time.perf_counter()
    with subprocess.Popen([*command, "--quiet"]) as process:  # noqa: S603 - our own command
        samples = list(watch(process, out / LEDGER_NAME, photos=photos))
    if process.returncode != PHOTOS_BROKEN:
        typer.echo(f"banet segment ended with {process.returncode}", err=True)
        raise typer.Exit(1)
    found = growth(samples, photos=photos)
    typer.echo(
        f"{photos:,} photos, every {BROKEN_EVERY}th broken: "
        f"{found.megabytes_per_10000_photos:+.3f} MB per {PER_PHOTOS:,} photos, from "
        f"{found.first_megabytes:.0f} MB; at most {found.most_megabytes:.0f} MB"
    )
    if json_file is not None:
        result = {
            "photos": photos,
            "broken": len(range(0, photos, BROKEN_EVERY)),
            "seconds": round(time.perf_counter() - started, 1),
            "ledger_bytes_per_photo": round((out / LEDGER_NAME).stat().st_size / photos),
            **asdict(found),
            "samples": samples[:: max(1, len(samples) // 200)],
            "versions": versions(),
        }
        write_result(json_file, result)


if __name__ == "__main__":
    typer.run(main)
