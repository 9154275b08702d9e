"""Works out what very many photos take, from measured stage times: docs/scale.md.

    python benchmarks/scale.py                                   write docs/scale.md
    python benchmarks/scale.py --photos 1000000 --core-hour 0.01 --out -

Times and sizes come from `results/segment-cpu.json`, which `benchmarks/segment.py` writes, and from
`results/soak.json` of `benchmarks/soak.py`. Prices are no measurements: they are options, and the
document says which it was written with.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from markdown_tables import markdown_table

from pipelines.segment_run import MOST_PHOTOS_PER_TASK
from pipelines.whole_files import write_atomically

HERE = Path(__file__).parent
RESULTS = HERE / "results"
DOCUMENT = HERE.parent / "docs" / "scale.md"

GPU_STAGE = "forward"
"""The stage that a GPU takes off the cores."""

CORES = (8, 64, 1000)
"""Machines and clusters that wall times are worked out for."""

SECONDS_PER_DAY = 86_400


@dataclass(frozen=True, kw_only=True)
class Prices:
    """What things are taken to cost, in US dollars.

    Attributes:
        core_hour: An hour of one core.
        terabyte_month: Keeping a terabyte in an object store for a month.
        million_writes: Writing a million objects there.
        million_reads: Reading a million.
    """

    core_hour: float
    terabyte_month: float
    million_writes: float
    million_reads: float


@dataclass(frozen=True, kw_only=True)
class Work:
    """What one photo takes, as measured.

    Attributes:
        name: Size of the photos, and composite.
        cpu_seconds: Of all that the run did, start-up aside, in all threads.
        forward_seconds: Of it, of the network.
        shrinks_apart: Whether these are without the shrinking of the photo before it, as they are
            since that is a stage of its own.
        megabytes_read: Per photo.
        megabytes_written: Per photo.
        files_written: Per photo.
    """

    name: str
    cpu_seconds: float
    forward_seconds: float
    shrinks_apart: bool
    megabytes_read: float
    megabytes_written: float
    files_written: int


def main(
    *,
    photos: Annotated[int, typer.Option(help="How many.", min=1)] = 100_000_000,
    core_hour: Annotated[float, typer.Option(help="Price of an hour of a core, USD.")] = 0.02,
    terabyte_month: Annotated[float, typer.Option(help="Of storage, USD.")] = 23.0,
    million_writes: Annotated[float, typer.Option(help="Of objects, USD.")] = 5.0,
    million_reads: Annotated[float, typer.Option(help="Of objects, USD.")] = 0.4,
    out: Annotated[Path, typer.Option(help="The document; - for standard output.")] = DOCUMENT,
) -> None:
    """Write docs/scale.md."""
    prices = Prices(
        core_hour=core_hour,
        terabyte_month=terabyte_month,
        million_writes=million_writes,
        million_reads=million_reads,
    )
    text = render(
        json.loads((RESULTS / "segment-cpu.json").read_text()),
        json.loads((RESULTS / "soak.json").read_text()),
        photos=photos,
        prices=prices,
    )
    if str(out) == "-":
        typer.echo(text, nl=False)
    else:
        write_atomically(out, text.encode())


def render(speed: dict[str, Any], soak: dict[str, Any], *, photos: int, prices: Prices) -> str:
    """Return the document as Markdown."""
    works = [_work(result) for result in speed["results"] if result["case"]["program"] == "banet"]
    return "\n".join(
        [
            _introduction(speed, photos),
            _times(works, photos, prices),
            _storage(works, photos, prices),
            _gpus(works),
            _limits(works, soak, photos),
        ]
    )


_COMPOSITES = {"none": "masks", "transparent": "masks and cut-outs"}


def _work(result: dict[str, Any]) -> Work:
    case, count = result["case"], result["count"]
    return Work(
        name=f"{case['photos']}, {_COMPOSITES[case['composite']]}",
        cpu_seconds=result["cpu_seconds_per_photo"],
        forward_seconds=result["stages"][GPU_STAGE] / 1000,
        shrinks_apart="shrink" in result["stages"],
        megabytes_read=result["megabytes_read"],
        megabytes_written=result["megabytes_written"],
        files_written=round(result["files_written"] / count),
    )


def _introduction(speed: dict[str, Any], photos: int) -> str:
    return f"""\
# {photos:,} photos

Written by `python benchmarks/scale.py` from what `benchmarks/segment.py` and `benchmarks/soak.py`
measured on a machine of {speed["cores"]} cores (Python {speed["versions"]["python"]}, torch
{speed["versions"]["torch"]}). No figure here is of a GPU or of a cluster: none of either was
measured. Multiply by what `benchmarks/segment.py` says on your machine and on your photos.
"""


def _times(works: list[Work], photos: int, prices: Prices) -> str:
    rows = []
    for work in works:
        core_seconds = work.cpu_seconds * photos
        rows.append(
            [
                work.name,
                f"{1000 * work.cpu_seconds:.0f}",
                f"{core_seconds / 3600:,.0f}",
                f"{core_seconds / 3600 * prices.core_hour:,.0f}",
                *(f"{core_seconds / cores / SECONDS_PER_DAY:,.1f}" for cores in CORES),
            ]
        )
    header = ["photos", "CPU ms each", "core hours", "USD", *(f"days, {n} cores" for n in CORES)]
    return f"""\
## Time

CPU time of all that a run does, its start aside. USD at {prices.core_hour:g} for an hour of a core,
which is a price that you put in (`--core-hour`).

{markdown_table(header, rows)}
Days are those of cores that never wait. How close one machine comes to that is the `efficiency` in
`benchmarks/results/segment-cpu.json`; parts of a folder (`--shard I/N`) share nothing but the
output folder, so that many machines come as close as one, as long as the storage keeps up.
"""


def _storage(works: list[Work], photos: int, prices: Prices) -> str:
    rows = []
    for work in works:
        read, written = (
            each * photos / 1e6 for each in (work.megabytes_read, work.megabytes_written)
        )
        requests = (
            photos / 1e6 * (prices.million_reads + work.files_written * prices.million_writes)
        )
        rows.append(
            [
                work.name,
                f"{read:,.1f}",
                f"{written:,.1f}",
                f"{written * prices.terabyte_month:,.0f}",
                f"{requests:,.0f}",
                f"{1000 * work.megabytes_read / work.cpu_seconds:,.0f}",
            ]
        )
    header = ["photos", "TB read", "TB written", "USD a month", "USD requests", "MB/s, 1000 cores"]
    return f"""\
## Storage

USD at {prices.terabyte_month:g} for a terabyte and a month, {prices.million_writes:g} for a million
objects written and {prices.million_reads:g} for a million read; all three are options.

{markdown_table(header, rows)}
Cut-outs can be made from photos and masks at any time: it may be cheaper to keep masks alone.
"""


def _gpus(works: list[Work]) -> str:
    rows = []
    for work in works:
        rest = work.cpu_seconds - work.forward_seconds
        rows.append(
            [
                work.name,
                f"{1000 * work.forward_seconds:.1f}",
                f"{1000 * rest:.1f}",
                f"{work.cpu_seconds / rest:.2f}",
                f"{1 / rest:.0f}",
            ]
        )
    header = ["photos", "network, CPU ms", "the rest, CPU ms", "gain at most", "photos/s per core"]
    remark = (
        ""
        if all(work.shrinks_apart for work in works)
        else "The network counts with the shrinking of the photo before it, which stays on the "
        "cores.\n"
    )
    return f"""\
## GPUs

A GPU takes the network off the cores, and nothing else: reading, decoding, refining and writing
remain. So it makes a run at most so many times as fast, however fast it is itself, and needs so
many cores beside it that their photos per second (last column, each) add up to its own.

{markdown_table(header, rows)}
{remark}What a GPU does per second was not measured.
"""


def _limits(works: list[Work], soak: dict[str, Any], photos: int) -> str:
    row_bytes = soak["ledger_bytes_per_photo"]
    most = soak["most_megabytes"]
    slope = soak["megabytes_per_10000_photos"]
    fast = min(work.cpu_seconds for work in works)
    return f"""\
## What breaks first

1. **One folder of results.** `masks/` mirrors the tree of the photos; a flat folder of {photos:,}
   files is more than file systems and people handle. Keep photos in folders of thousands, or in an
   object store, which limits requests per prefix and second instead.
2. **One driver.** A single run lists all photos before it begins, and hands them out
   up to {MOST_PHOTOS_PER_TASK} at a time. Its memory changed by {slope:+.2f} MB for 10,000 photos
   over {soak["photos"]:,} (most: {most:,.0f} MB), while the list grew shorter.
   Split from some ten million photos on: `--shard 1/100` to `--shard 100/100`, as jobs of whatever
   queue there is; each has a ledger of its own and resumes by itself. A Dask cluster is for what one
   driver can hand out.
3. **The ledger.** {row_bytes:,.0f} bytes a photo are {row_bytes * photos / 1e9:,.0f} GB of
   `results.jsonl` for all. Shards keep it in parts; a run without `--shard` joins them, which is
   the run to leave out.
4. **Storage.** At {1000 * fast:.0f} ms a photo, 1000 cores read {1000 / fast:,.0f} photos a
   second, and write at least as many files.
5. **Broken photos.** One in a thousand is {photos // 1000:,} rows to look at. They do not stop a
   run (exit code 3); `--max-failures` stops one whose storage is gone.
"""


if __name__ == "__main__":
    typer.run(main)
