"""Measures `banet segment` as a whole, beside a plain loop and, if it is there, rembg.

    python benchmarks/segment.py --json segment-cpu.json
    python benchmarks/segment.py --photos holiday/ --repeats 5
    python benchmarks/segment.py --rembg ~/rembg/bin/rembg --rembg-model u2netp

The photos are made from those of a folder, see `photo_sets`. All commands run in processes of their
own, start-up included, and in turn, so that whatever else the machine does hits all alike; figures
are medians over the repeats.

`efficiency` is the CPU time of all stages of a run, over its wall time and the number of cores: 1
if no core ever waited or did anything else. Its wall time begins when the program is loaded, as in
`run.json`; that of the commands, of which the photos per second are, when they are started.

The plain loop computes in fp32, as it comes, and banet in what `--precision auto` takes; the loop
refines no mask.
"""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
from entry import told_in_a_sentence
from measured_commands import BANET, Measured, measure
from photo_sets import EXAMPLES, write_photo_set
from result_files import write_result
from rich.console import Console
from terminal_tables import terminal_table

from pipelines.info import versions
from pipelines.parallel import available_cores

SIZES = {"600 x 800": (800, 600), "12 megapixels": (4000, 3000)}
"""Height and width of the photos."""

PLAIN_LOOP = Path(__file__).parent / "plain_loop.py"

START_UPS = 9
"""How often each start-up is measured."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is done to which photos.

    Attributes:
        photos: Their size, a key of `SIZES`.
        composite: As of `banet segment`.
        program: `banet`, `plain loop` or `rembg`.
    """

    photos: str
    composite: str
    program: str


@dataclass(frozen=True, kw_only=True)
class Result:
    """Medians over the runs of a case, and of memory the most.

    Attributes:
        photos_per_second: Of the whole command, start-up included.
        efficiency: Of `banet segment`.
        cpu_seconds: Of the whole command.
        cpu_seconds_per_photo: Of `banet segment` after its start-up: more than all stages.
        precision: Of the network's arithmetic.
        megabytes_read: Per photo: its file.
        megabytes_written: Per photo: all files of the output folder.
        files_written: In that folder.
        stages: CPU milliseconds per photo, of `banet segment`.
    """

    case: Case
    count: int
    photos_per_second: float
    wall_seconds: float
    cpu_seconds: float
    cpu_seconds_per_photo: float | None
    precision: str
    peak_memory_mb: float
    megabytes_read: float
    megabytes_written: float
    files_written: int
    efficiency: float | None
    stages: dict[str, float] | None


@dataclass(frozen=True, kw_only=True)
class StartUp:
    """Median wall seconds.

    Attributes:
        help: `banet --help`.
        imports: `python -c "import typer, rich"`.
        one_photo: `banet segment` of one photo of 600 x 800 pixels.
        one_photo_cpu: CPU seconds of that.
    """

    help: float
    imports: float
    one_photo: float
    one_photo_cpu: float


class Bench:
    """Folders of photos, and the commands that are run on them.

    Args:
        folder: For photos and results.
        source: Folder of the photos that others are made from.
        counts: How many photos to make, by size.
        rembg: Command and model; None to leave it out.
    """

    def __init__(
        self, folder: Path, source: Path, counts: dict[str, int], rembg: tuple[Path, str] | None
    ) -> None:
        self._folder = folder
        self._counts = counts
        self._rembg = rembg
        for size, (height, width) in SIZES.items():
            write_photo_set(
                self._photos(size), source, count=counts[size], height=height, width=width
            )

    def cases(self) -> Iterator[Case]:
        """Yield what is to be measured, in the order of a round."""
        for size in SIZES:
            yield Case(photos=size, composite="none", program="plain loop")
            for composite in ("none", "transparent"):
                yield Case(photos=size, composite=composite, program="banet")
                if self._rembg is not None and size == "600 x 800":
                    yield Case(photos=size, composite=composite, program="rembg")

    def run(self, case: Case) -> Measured:
        """Run the command of a case."""
        out = self._out(case)
        shutil.rmtree(out, ignore_errors=True)
        return measure(self._command(case, out))

    def result(self, case: Case, runs: Sequence[Measured], start_up: StartUp) -> Result:
        """Summarise the runs of a case."""
        count = self._counts[case.photos]
        wall = median(run.wall_seconds for run in runs)
        cpu = median(run.cpu_seconds for run in runs)
        summaries = [json.loads(run.output) for run in runs] if case.program == "banet" else []
        return Result(
            case=case,
            count=count,
            photos_per_second=round(count / wall, 3),
            wall_seconds=round(wall, 3),
            cpu_seconds=round(cpu, 3),
            cpu_seconds_per_photo=(
                round((cpu - start_up.one_photo_cpu) / max(1, count - 1), 5) if summaries else None
            ),
            precision=summaries[0]["precision"] if summaries else "fp32",
            peak_memory_mb=round(max(run.peak_memory for run in runs) / 1e6, 1),
            megabytes_read=round(_bytes(self._photos(case.photos)) / count / 1e6, 4),
            megabytes_written=round(_bytes(self._out(case)) / count / 1e6, 4),
            files_written=len(_files(self._out(case))),
            efficiency=round(median(map(_efficiency, summaries)), 4) if summaries else None,
            stages=_stages(summaries, count) if summaries else None,
        )

    def start_up(self) -> StartUp:
        """Measure how long it takes to begin."""
        photo = self._photos("600 x 800") / "000000.jpg"
        commands: dict[str, list[str | Path]] = {
            "help": [*BANET, "--help"],
            "imports": [sys.executable, "-c", "import typer, rich"],
            "one_photo": [*BANET, "segment", photo, "--out", self._folder / "one", "--force"],
        }
        runs: dict[str, list[Measured]] = {name: [] for name in commands}
        for _ in range(START_UPS):
            for name, command in commands.items():
                runs[name].append(measure(command))
        wall = {name: median(run.wall_seconds for run in done) for name, done in runs.items()}
        return StartUp(
            help=round(wall["help"], 3),
            imports=round(wall["imports"], 3),
            one_photo=round(wall["one_photo"], 3),
            one_photo_cpu=round(median(run.cpu_seconds for run in runs["one_photo"]), 3),
        )

    def _photos(self, size: str) -> Path:
        return self._folder / size.replace(" ", "-")

    def _out(self, case: Case) -> Path:
        return self._folder / f"{case.program}-{case.photos}-{case.composite}".replace(" ", "-")

    def _command(self, case: Case, out: Path) -> list[str | Path]:
        photos = self._photos(case.photos)
        match case.program:
            case "plain loop":
                return [sys.executable, PLAIN_LOOP, photos, out]
            case "rembg":
                assert self._rembg is not None
                command, model = self._rembg
                only_mask = ["-om"] if case.composite == "none" else []
                return [command, "p", "-m", model, *only_mask, photos, out]
        return [*BANET, "segment", photos, "--out", out, "--composite", case.composite, "--json"]


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in _files(folder))


def _efficiency(summary: dict[str, Any]) -> float:
    busy: float = sum(summary["stages"].values())
    return busy / available_cores() / float(summary["wall_seconds"])


def _stages(summaries: Sequence[dict[str, Any]], count: int) -> dict[str, float]:
    names = summaries[0]["stages"]
    return {
        name: round(1000 * median(each["stages"][name] for each in summaries) / count, 2)
        for name in names
    }


def main(
    *,
    photos: Annotated[
        Path, typer.Option(help="Folder of photos that others are made from.")
    ] = EXAMPLES,
    small: Annotated[int, typer.Option(help="Number of photos of 600 x 800 pixels.", min=1)] = 600,
    large: Annotated[int, typer.Option(help="Number of photos of 12 megapixels.", min=1)] = 80,
    repeats: Annotated[int, typer.Option(help="Runs of each command.", min=1)] = 3,
    rembg: Annotated[Path | None, typer.Option(help="The command, where it is there.")] = None,
    rembg_model: Annotated[str, typer.Option(help="Its network.")] = "u2netp",
    json_file: Annotated[Path | None, typer.Option("--json", help="File for the results.")] = None,
) -> None:
    """Measure `banet segment`."""
    load = os.getloadavg()[0]
    counts = dict(zip(SIZES, (small, large), strict=True))
    other = None if rembg is None else (rembg, rembg_model)
    with told_in_a_sentence(), tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), photos, counts, other)
        start_up = bench.start_up()
        runs: dict[Case, list[Measured]] = {case: [] for case in bench.cases()}
        for _ in range(repeats):
            for case, done in runs.items():
                done.append(bench.run(case))
        results = [bench.result(case, done, start_up) for case, done in runs.items()]
    _print(results, start_up)
    if json_file is not None:
        content = {
            "cores": available_cores(),
            "load_before": round(load, 2),
            "repeats": repeats,
            "rembg_model": rembg_model if rembg is not None else None,
            "results": [asdict(result) for result in results],
            "ratios": _ratios(results),
            "start_up": asdict(start_up),
            "versions": versions(),
        }
        write_result(json_file, content)


def _ratios(results: Sequence[Result]) -> dict[str, float]:
    """Say how many times as fast as other programs banet is on the same photos."""
    speed = {result.case: result.photos_per_second for result in results}
    return {
        f"{case.photos}, {case.composite}, over {case.program}": round(
            speed[Case(photos=case.photos, composite=case.composite, program="banet")] / slow, 3
        )
        for case, slow in speed.items()
        if case.program != "banet"
    }


def _print(results: Sequence[Result], start_up: StartUp) -> None:
    titles = ("photos", "program", "composite", "photos/s", "efficiency", "CPU s", "peak MB")
    table = terminal_table(*titles, text=3)
    for result in results:
        table.add_row(
            f"{result.count} of {result.case.photos}",
            result.case.program,
            result.case.composite,
            f"{result.photos_per_second:.2f}",
            "" if result.efficiency is None else f"{result.efficiency:.3f}",
            f"{result.cpu_seconds:.1f}",
            f"{result.peak_memory_mb:.0f}",
        )
    stages = terminal_table("CPU ms per photo", "stages", text=2)
    for result in results:
        if result.stages is not None:
            text = ", ".join(f"{name} {spent:.1f}" for name, spent in result.stages.items())
            stages.add_row(f"{result.case.photos}, {result.case.composite}", text)
    ratios = terminal_table("times as fast", "")
    for name, ratio in _ratios(results).items():
        ratios.add_row(name, f"{ratio:.2f}")
    for each in (table, stages, ratios):
        Console().print(each)
    ratio = start_up.help / start_up.imports
    typer.echo(
        f"start-up: --help {start_up.help:.2f} s, {ratio:.2f} times that of importing typer and "
        f"rich; one photo {start_up.one_photo:.2f} s"
    )


if __name__ == "__main__":
    typer.run(main)
