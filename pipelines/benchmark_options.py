"""The options and the summary of `banet benchmark`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import get_args

from models import MODELS
from pipelines.devices import Precision
from pipelines.errors import ConfigError
from pipelines.inference import MINIMUM_SIZE

REFERENCE_MODEL = "banet-64"
"""The network whose frames per second the others are compared with."""


@dataclass(frozen=True, kw_only=True)
class BenchmarkOptions:
    """What `banet benchmark` is to measure.

    Attributes:
        models: Names in the registry of networks; None for all of them.
        size: Side of the square photos, in pixels.
        batch_size: Photos per forward pass.
        repeats: Samples of the latency of each network.
        precision: Arithmetic; `auto` takes for each network whichever of fp32 and the device's
            half precision is measured to be faster.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        threads: CPU threads of a forward pass; None for as many as torch takes by itself.

    Raises:
        ConfigError: Some options make no sense; the message names all of them.
    """

    models: tuple[str, ...] | None = None
    size: int = 512
    batch_size: int = 1
    repeats: int = 20
    precision: Precision = "auto"
    device: str = "auto"
    threads: int | None = None

    def __post_init__(self) -> None:
        mistakes = []
        if self.models is not None and not self.models:
            mistakes.append("--models: name at least one")
        mistakes += [
            f"--models {name}: use {', '.join(MODELS)}"
            for name in self.models or ()
            if name not in MODELS
        ]
        for option, value, minimum in (
            ("--size", self.size, MINIMUM_SIZE),
            ("--batch-size", self.batch_size, 1),
            ("--repeats", self.repeats, 1),
            ("--threads", self.threads, 1),
        ):
            if value is not None and value < minimum:
                mistakes.append(f"{option} {value}: at least {minimum}")
        if self.precision not in get_args(Precision):
            mistakes.append(f"--precision {self.precision}: use {', '.join(get_args(Precision))}")
        if mistakes:
            raise ConfigError("; ".join(mistakes))

    @property
    def names(self) -> tuple[str, ...]:
        """The networks to measure, each once, in the order of the registry."""
        return tuple(name for name in MODELS if self.models is None or name in self.models)


@dataclass(frozen=True, kw_only=True)
class ModelFigures:
    """What was measured of one network.

    Attributes:
        parameters: Learnable ones, before batch normalisation is folded into convolutions.
        gflops: 10^9 floating point operations of the convolutions and matrix products for one
            photo; a multiply-add counts as 2.
        precision: That the other figures were measured in.
        latency_ms: Median over the samples of the milliseconds of one forward pass.
        latency_ms_p10: 10th percentile of the same.
        latency_ms_p90: 90th percentile of the same.
        fps: Photos per second at the median latency.
        peak_memory_mb: 10^6 bytes that weights, input and forward pass need at most together: on
            NVIDIA GPUs as torch's allocator counts, on CPUs as the resident memory of a process
            grows; None where the system does not tell.
        fps_ratio: `fps` as a multiple of that of `REFERENCE_MODEL`; None if it was not measured.
    """

    name: str
    parameters: int
    gflops: float
    precision: str
    latency_ms: float
    latency_ms_p10: float
    latency_ms_p90: float
    fps: float
    fps_ratio: float | None
    peak_memory_mb: float | None


@dataclass(frozen=True, kw_only=True)
class BenchmarkSummary:
    """All figures of one run.

    Attributes:
        device_name: What the maker calls the device.
        threads: CPU threads of a forward pass.
        precision: As asked for; each of `models` says which it ran in.
    """

    models: tuple[ModelFigures, ...]
    device: str
    device_name: str
    threads: int
    precision: str
    size: int
    batch_size: int
    repeats: int
    seconds: float
    versions: Mapping[str, str]
    exit_code: int = field(default=0, init=False)

    def as_json(self) -> dict[str, object]:
        """Return the JSON summary of the command."""
        facts = {key: value for key, value in vars(self).items() if key != "exit_code"}
        return {**facts, "models": [vars(figures) for figures in self.models]}
