"""Measures `banet prepare` beside a plain loop, its memory, and how fast datasets are read.

    python benchmarks/prepare.py --json benchmarks/results/prepare-cpu.json
    python benchmarks/prepare.py --photos holiday/ --repeats 5
    python benchmarks/prepare.py --count 100 --memory-counts ""

Pairs of 600 x 800 pixels are made from the photos of a folder, see `pair_sets`. All commands run in
processes of their own and in turn, so that whatever else the machine does hits all alike; figures
are medians over the repeats. Start-up is what a command takes for one pair; pairs per second are
told with it, and without it. `benchmarks/plain_prepare.py` is the loop, with the measurements of
the doctor and without them. As it comes, it uses more than one core, since OpenCV and zarr have
threads of their own; with one thread it does not.

One and two processes read samples of the dataset at random, from the cache of the system, in one
thread each; `ratio` is how many times as many each of them reads as a training step of banet-64
uses up meanwhile on all cores. For memory, small pairs are made by code.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Annotated

import numpy as np
import typer
from entry import told_in_a_sentence
from measured_commands import BANET, Measured, measure
from pair_sets import write_pair_set, write_small_pairs
from photo_sets import EXAMPLES
from result_files import items, write_result
from rich.console import Console
from stored_reading import Reading, measure_reading
from terminal_tables import terminal_table

from pipelines.info import versions
from pipelines.parallel import available_cores

HEIGHT, WIDTH = 800, 600
SMALL_SIZE = 64
"""Of the frames of small pairs."""

PLAIN_LOOP = Path(__file__).parent / "plain_prepare.py"
PROGRAMS = ("banet", "plain loop", "plain loop with doctor", "one thread with doctor")


@dataclass(frozen=True, kw_only=True)
class Throughput:
    """Medians over the runs of a program.

    Attributes:
        cpu_ms_per_pair: Of what a run over all pairs takes more than one over one pair.
        start_up_seconds: Of a run over one pair.
        pairs_per_second: Of the whole command.
        pairs_per_second_started: Of what a run over all pairs takes longer; None if it does not.
        peak_memory_mb: The most of all runs.
        bytes_per_pair: Of the dataset.
    """

    program: str
    count: int
    wall_seconds: float
    cpu_seconds: float
    cpu_ms_per_pair: float
    start_up_seconds: float
    pairs_per_second: float
    pairs_per_second_started: float | None
    peak_memory_mb: float
    bytes_per_pair: int


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Peaks of the process, by the number of pairs.

    Attributes:
        megabytes_per_1000_pairs: Slope; None for less than two counts.
    """

    peak_mb: dict[int, float]
    megabytes_per_1000_pairs: float | None


class Bench:
    """Pairs, and the commands that are run on them.

    Args:
        folder: For pairs and datasets.
        source: Folder of the photos that pairs are made from.
        count: Of pairs, two at least.
        size: Of frames.
    """

    def __init__(self, folder: Path, source: Path, *, count: int, size: int) -> None:
        self._folder = folder
        self._count = count
        self._size = size
        for pairs in (1, count):
            write_pair_set(self._pairs(pairs), source, count=pairs, height=HEIGHT, width=WIDTH)

    def throughput(self, repeats: int) -> list[Throughput]:
        """Run all programs in turn, over one pair and over all."""
        runs: dict[tuple[str, int], list[Measured]] = {
            (program, count): [] for program in PROGRAMS for count in (1, self._count)
        }
        for _ in range(repeats):
            for (program, count), done in runs.items():
                done.append(self._run(program, count))
        return [
            self._summarise(program, runs[program, 1], runs[program, self._count])
            for program in PROGRAMS
        ]

    def memory(self, counts: Sequence[int]) -> Memory:
        """Run `banet prepare` over small pairs."""
        peaks = {}
        for count in counts:
            pairs, out = self._folder / f"small-{count}", self._folder / "small.zarr"
            write_small_pairs(pairs, count)
            command: list[str | Path] = [*BANET, "prepare", pairs, out, "--force"]
            command += ["--size", str(SMALL_SIZE)]
            peaks[count] = round(measure(command).peak_memory / 1e6, 1)
            shutil.rmtree(pairs)
        slope = None
        if len(peaks) > 1:
            slope = round(1000 * float(np.polyfit(list(peaks), list(peaks.values()), 1)[0]), 3)
        return Memory(peak_mb=peaks, megabytes_per_1000_pairs=slope)

    def dataset(self, program: str, count: int) -> Path:
        """Return where a program puts the dataset of so many pairs."""
        return self._folder / f"{program.replace(' ', '-')}-{count}.zarr"

    def _pairs(self, count: int) -> Path:
        return self._folder / f"pairs-{count}"

    def _run(self, program: str, count: int) -> Measured:
        out = self.dataset(program, count)
        shutil.rmtree(out, ignore_errors=True)
        places: list[str | Path] = [self._pairs(count), out, "--size", str(self._size)]
        if program == "banet":
            return measure([*BANET, "prepare", *places])
        options = ["--doctor"] if program.endswith("doctor") else []
        options += ["--one-thread"] if program.startswith("one thread") else []
        return measure([sys.executable, PLAIN_LOOP, *places, *options])

    def _summarise(self, program: str, one: list[Measured], all_: list[Measured]) -> Throughput:
        wall, start_up = (median(run.wall_seconds for run in runs) for runs in (all_, one))
        cpu, start_up_cpu = (median(run.cpu_seconds for run in runs) for runs in (all_, one))
        files = self.dataset(program, self._count).rglob("*")
        size = sum(path.stat().st_size for path in files if path.is_file())
        longer = wall - start_up
        return Throughput(
            program=program,
            count=self._count,
            wall_seconds=round(wall, 3),
            cpu_seconds=round(cpu, 3),
            cpu_ms_per_pair=round(1000 * (cpu - start_up_cpu) / (self._count - 1), 3),
            start_up_seconds=round(start_up, 3),
            pairs_per_second=round(self._count / wall, 3),
            pairs_per_second_started=round((self._count - 1) / longer, 3) if longer > 0 else None,
            peak_memory_mb=round(max(run.peak_memory for run in all_) / 1e6, 1),
            bytes_per_pair=round(size / self._count),
        )


def main(
    *,
    photos: Annotated[
        Path, typer.Option(help="Folder of photos that pairs are made from.")
    ] = EXAMPLES,
    count: Annotated[int, typer.Option(help="Number of pairs of 600 x 800 pixels.", min=2)] = 600,
    size: Annotated[int, typer.Option(help="As of banet prepare.")] = 512,
    repeats: Annotated[int, typer.Option(help="Runs of each command.", min=1)] = 3,
    samples: Annotated[int, typer.Option(help="That each process reads.", min=1)] = 1000,
    steps: Annotated[int, typer.Option(help="Of training; 0 to leave out reading.")] = 20,
    memory_counts: Annotated[str, typer.Option(help="Numbers of small pairs.")] = "1000,20000",
    json_file: Annotated[Path | None, typer.Option("--json", help="File for the results.")] = None,
) -> None:
    """Measure `banet prepare`, and how fast datasets are read."""
    load = os.getloadavg()[0]
    with told_in_a_sentence(), tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), photos, count=count, size=size)
        throughput = bench.throughput(repeats)
        reading = None
        if steps:
            reading = measure_reading(
                bench.dataset("banet", count), samples=samples, steps=steps, repeats=repeats
            )
        memory = bench.memory(list(map(int, items(memory_counts))))
    _print(throughput, reading, memory)
    if json_file is not None:
        content = {
            "cores": available_cores(),
            "load_before": round(load, 2),
            "repeats": repeats,
            "size": size,
            "throughput": [asdict(each) for each in throughput],
            "ratios": ratios(throughput),
            "reading": None if reading is None else asdict(reading),
            "memory": asdict(memory),
            "versions": versions(),
        }
        write_result(json_file, content)


def ratios(throughput: Sequence[Throughput]) -> dict[str, float]:
    """Say how many times as fast as the loops `banet prepare` is, with start-up and without."""
    banet, *loops = throughput
    found = {}
    for loop in loops:
        found[f"over {loop.program}"] = round(banet.pairs_per_second / loop.pairs_per_second, 3)
        ours, others = banet.pairs_per_second_started, loop.pairs_per_second_started
        if ours is not None and others is not None:
            found[f"over {loop.program}, without start-up"] = round(ours / others, 3)
    return found


def _print(throughput: Sequence[Throughput], reading: Reading | None, memory: Memory) -> None:
    titles = ("program", "start-up s", "pairs/s", "started", "CPU ms each", "peak MB", "kB")
    table = terminal_table(*titles)
    for each in throughput:
        started = each.pairs_per_second_started
        table.add_row(
            each.program,
            f"{each.start_up_seconds:.2f}",
            f"{each.pairs_per_second:.2f}",
            "" if started is None else f"{started:.2f}",
            f"{each.cpu_ms_per_pair:.1f}",
            f"{each.peak_memory_mb:.0f}",
            f"{each.bytes_per_pair / 1000:.0f}",
        )
    Console().print(table)
    for name, ratio in ratios(throughput).items():
        typer.echo(f"banet {name}: {ratio:.2f} times as fast")
    if reading is not None:
        for readers, speed in reading.speeds.items():
            typer.echo(
                f"{readers} reading: {speed.read:.1f} samples/s each, {speed.ready:.1f} made ready"
            )
        for name, rate in reading.training.items():
            typer.echo(f"training, {name}: {rate:.2f} samples/s")
        for name, ratio in reading.ratios.items():
            typer.echo(f"{name}: {ratio:.1f} times as fast as training")
    for count, peak in memory.peak_mb.items():
        typer.echo(f"{count:,} small pairs: peak of {peak:.0f} MB")
    if memory.megabytes_per_1000_pairs is not None:
        typer.echo(f"{memory.megabytes_per_1000_pairs:+.2f} MB per 1,000 pairs")


if __name__ == "__main__":
    typer.run(main)
