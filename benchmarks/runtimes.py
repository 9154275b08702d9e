"""Times the engines that `banet segment` can use on a CPU, side by side in one run.

    python benchmarks/runtimes.py
    python benchmarks/runtimes.py --repeats 30 --photos examples/photos --json runtimes.json
    TORCHINDUCTOR_FORCE_DISABLE_CACHES=1 python benchmarks/runtimes.py --compile

Each round runs every engine once, so that whatever else the machine does hits all alike; the
figures are medians over the rounds. On a machine that is not idle the ratios are worth more than
the milliseconds, and neither is worth much where several threads wait for each other.
"""

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Annotated

import torch
import typer
from result_files import write_result

from models import ProbabilityNetwork
from pipelines.allocator import keep_freed_memory
from pipelines.checkpoints import Weights, load_weights
from pipelines.devices import Precision, autocast
from pipelines.errors import BanetError
from pipelines.export import export_weights
from pipelines.inference import inference_form
from pipelines.info import versions
from pipelines.onnx_engine import open_session
from pipelines.onnx_metadata import IMAGE, PORTRAIT
from pipelines.runtimes import runtime_of
from pipelines.segment import SegmentOptions, segment

CPU = torch.device("cpu")
SHAPES = ((512, 512), (320, 240))
THREADS = (1, 2)
WARM_UP_ROUNDS = 2
BASELINE = "torch fp32"
HALF = "torch bf16"
COMPILED = "torch bf16 compiled"
EXPORTED = "onnx fp32"

Forward = Callable[[], object]


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Median latency of an engine for one photo.

    Attributes:
        first: Milliseconds of the very first pass, in which torch may compile.
        ratio: How many times as fast as `BASELINE`.
    """

    engine: str
    height: int
    width: int
    threads: int
    first: float
    milliseconds: float
    ratio: float


@dataclass(frozen=True, kw_only=True)
class Throughput:
    """Photos per second of `banet segment`, file to file, masks alone, with default workers."""

    engine: str
    photos: int
    images_per_second: float
    ratio: float


def torch_forward(
    weights: Weights, image: torch.Tensor, dtype: torch.dtype, *, compiled: bool = False
) -> Forward:
    """Return a forward pass of the network in the form that `banet segment` runs."""
    network = ProbabilityNetwork(inference_form(weights.network, device=CPU, dtype=dtype))
    if compiled:
        torch.compiler.reset()
        network.compile()
    image = image.contiguous(memory_format=torch.channels_last)

    def forward() -> object:
        with torch.inference_mode(), autocast(CPU, dtype):
            return network(image)

    return forward


def onnx_forward(content: bytes, image: torch.Tensor, threads: int) -> Forward:
    """Return a forward pass of the exported network."""
    session = open_session(content, threads=threads)
    values = image.numpy()
    return lambda: session.run([PORTRAIT], {IMAGE: values})


def interleaved(engines: dict[str, Forward], rounds: int) -> dict[str, tuple[float, float]]:
    """Return the seconds of each engine: of the first pass, and the median of those that count."""
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(WARM_UP_ROUNDS + rounds):
        for name, forward in engines.items():
            started = perf_counter()
            forward()
            seconds[name].append(perf_counter() - started)
    return {name: (values[0], median(values[WARM_UP_ROUNDS:])) for name, values in seconds.items()}


def latencies(weights: Weights, content: bytes, rounds: int, *, compiled: bool) -> list[Timing]:
    """Time one photo at a time at every size and number of threads."""
    timings = []
    for threads in THREADS:
        torch.set_num_threads(threads)
        for height, width in SHAPES:
            image = torch.rand(1, 3, height, width)
            engines = {
                BASELINE: torch_forward(weights, image, torch.float32),
                HALF: torch_forward(weights, image, torch.bfloat16),
                EXPORTED: onnx_forward(content, image, threads),
            }
            if compiled:
                engines[COMPILED] = torch_forward(weights, image, torch.bfloat16, compiled=True)
            seconds = interleaved(engines, rounds)
            timings += [
                Timing(
                    engine=name,
                    height=height,
                    width=width,
                    threads=threads,
                    first=round(first * 1000, 2),
                    milliseconds=round(value * 1000, 2),
                    ratio=round(seconds[BASELINE][1] / value, 2),
                )
                for name, (first, value) in seconds.items()
            ]
    return timings


def throughputs(weights: str, content: bytes, photos: Path, rounds: int) -> list[Throughput]:
    """Time whole runs of `banet segment`, engine by engine in turn."""
    with tempfile.TemporaryDirectory() as folder:
        exported = Path(folder) / "weights.onnx"
        exported.write_bytes(content)
        named: dict[str, tuple[str, Precision]] = {
            BASELINE: (weights, "fp32"),
            HALF: (weights, "bf16"),
            EXPORTED: (str(exported), "fp32"),
        }
        runs = [
            {name: _run(*engine, photos, Path(folder)) for name, engine in named.items()}
            for _ in range(WARM_UP_ROUNDS + rounds)
        ][WARM_UP_ROUNDS:]
    speeds = {name: median(speed for _, speed in (run[name] for run in runs)) for name in named}
    return [
        Throughput(
            engine=name,
            photos=runs[0][name][0],
            images_per_second=round(speed, 2),
            ratio=round(speed / speeds[BASELINE], 2),
        )
        for name, speed in speeds.items()
    ]


def _run(weights: str, precision: Precision, photos: Path, folder: Path) -> tuple[int, float]:
    options = SegmentOptions(
        inputs=(photos,),
        out=folder / "out",
        weights=weights,
        composite="none",
        precision=precision,
        device="cpu",
        force=True,
    )
    summary = segment(options)
    return summary.discovered, summary.images_per_second


def _load(weights: str) -> Weights:
    if runtime_of(weights) == "onnx":
        raise typer.BadParameter(
            f"{weights} is exported already; name the weights that it was made from",
            param_hint="--weights",
        )
    try:
        return load_weights(weights)
    except BanetError as error:
        raise typer.BadParameter(str(error), param_hint="--weights") from error


def main(
    weights: Annotated[str, typer.Option(help="Shipped name or .safetensors file.")] = "banet-64",
    repeats: Annotated[int, typer.Option(min=1, help="Rounds that count.")] = 20,
    photos: Annotated[
        Path | None, typer.Option(help="Folder to segment as well, file to file.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="File for the results.")] = None,
    *,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Compile with torch.compile as well.")
    ] = False,
) -> None:
    """Compare torch and ONNX Runtime on this machine's CPU."""
    loaded = _load(weights)
    content = export_weights(loaded)
    keep_freed_memory()  # as `banet segment` does
    default_threads = torch.get_num_threads()
    timings = latencies(loaded, content, repeats, compiled=compiled)
    torch.set_num_threads(default_threads)
    speeds = [] if photos is None else throughputs(weights, content, photos, repeats)
    for timing in timings:
        typer.echo(
            f"{timing.engine:<19} {timing.height}x{timing.width}, {timing.threads} threads: "
            f"{timing.milliseconds:8.1f} ms  x{timing.ratio:.2f}, first {timing.first:.0f} ms"
        )
    for speed in speeds:
        typer.echo(
            f"{speed.engine:<19} banet segment, {speed.photos} photos: "
            f"{speed.images_per_second:8.1f} per second  x{speed.ratio:.2f}"
        )
    if json_file is not None:
        results = {
            "weights": weights,
            "repeats": repeats,
            "latency": [asdict(timing) for timing in timings],
            "segment": [asdict(speed) for speed in speeds],
            "versions": versions(),
        }
        write_result(json_file, results)


if __name__ == "__main__":
    typer.run(main)
