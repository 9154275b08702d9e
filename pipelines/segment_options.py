"""The options and the summary of `banet segment`."""

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

from pipelines.compositing import parse_colour
from pipelines.devices import Precision
from pipelines.encoding import ImageFormat
from pipelines.errors import ConfigError
from pipelines.inference import MINIMUM_SIZE
from pipelines.photo_shards import Shard
from pipelines.photo_tasks import Composite, MaskKind, Stage
from pipelines.runtimes import Runtime, runtime_mistakes, runtime_of
from pipelines.storage import Location
from pipelines.urls import is_url


@dataclass(frozen=True, kw_only=True)
class SegmentOptions:
    """What `banet segment` is to do.

    Attributes:
        inputs: Files, folders or globs; or URLs of these, as all folders may be.
        out: Folder for the results; None for `<folder>-segmented` beside the input folder.
        weights: One of the shipped weights, a weights file, what `banet export` made of one, or an
            ONNX file of others that is said how to use. Nobody looks for faces here: a network with
            position and shape channels sees zeros in them.
        runtime: `torch`, or `onnx` for an ONNX file; `auto` goes by the weights.
        composite: `none`; `transparent`, the person cut out; or the person before a `color`, an
            `image` (cropped to fill) or their own background, with a `blur`.
        background: Colour (`white`, `#rrggbb`) or picture; None is white for `color`.
        composite_format: Of the composites; `jpg` cannot be transparent.
        mask: `soft`, 256 levels of alpha, or `binary`, 0 and 255.
        refine: Draw the soft edges of masks anew along the edges that the photos have at full size.
        threshold: Probability, between 0 and 1, from which a pixel counts as part of a person: in
            binary masks, in `coverage`, and for whether a photo is `empty`.
        size: Working size; None for the one that the weights were trained for, which ONNX files
            that take pictures of one size insist on.
        batch_size: Most photos of a forward pass, which photos of equal working size share whose
            workers wait at the same time; never more than there are workers. None for one on a CPU,
            where that is fastest, and on a GPU for as many as its memory holds.
        precision: `auto` takes half precision where the device is built for it.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        max_memory: Bytes that the process may have in memory at any time, network and all; on a
            cluster, each worker process. A photo that cannot be done with so little fails. None
            lets the photos in work take half of the machine's memory.
        max_failures: Stop the run when more photos than this fail; None goes on to the end.
        force: Segment again what earlier runs have done.
        dry_run: Find out what there is to do, and do nothing.
        shard: `I/N` does the I-th of N parts of the photos; others may do the other parts into
            the same folder at the same time. None does all.
        watch: Go on looking for photos that are new or have changed, until an interrupt.
        stable_seconds: How long size and time of a photo must stay as they are before it is taken,
            while watching.
        review_dir: Folder for pictures of the least certain masks; None for none.
        workers: Local threads; 0 for none beside the caller's. None for one per core and one
            more; on a GPU two per core; four where photos or results are behind URLs.
        scheduler: Address of an existing Dask scheduler to use instead.

    Raises:
        ConfigError: Some options make no sense; the message names all of them.
    """

    inputs: tuple[Path | str, ...]
    out: Path | str | None = None
    weights: str = "banet-64"
    runtime: Runtime = "auto"
    composite: Composite = "transparent"
    background: str | None = None
    composite_format: ImageFormat = "png"
    mask: MaskKind = "soft"
    refine: bool = True
    threshold: float = 0.5
    size: int | None = None
    batch_size: int | None = None
    precision: Precision = "auto"
    device: str = "auto"
    max_memory: int | None = None
    max_failures: int | None = None
    force: bool = False
    dry_run: bool = False
    shard: str | None = None
    watch: bool = False
    stable_seconds: float = 5.0
    review_dir: Path | str | None = None
    workers: int | None = None
    scheduler: str | None = None

    def __post_init__(self) -> None:
        mistakes = [
            *self._choice_mistakes(),
            *self._number_mistakes(),
            *self._mixture_mistakes(),
            *runtime_mistakes(
                self.weights,
                runtime=self.runtime,
                device=self.device,
                precision=self.precision,
            ),
        ]
        if mistakes:
            raise ConfigError("; ".join(mistakes))

    @property
    def shard_of_photos(self) -> Shard | None:
        """Return what `shard` names."""
        return None if self.shard is None else Shard.parse(self.shard)

    def _choice_mistakes(self) -> list[str]:
        choices = {
            "composite": Composite,
            "composite-format": ImageFormat,
            "mask": MaskKind,
            "precision": Precision,
            "runtime": Runtime,
        }
        mistakes = []
        for option, kind in choices.items():
            value, allowed = getattr(self, option.replace("-", "_")), get_args(kind)
            if value not in allowed:
                mistakes.append(f"--{option} {value}: use one of {', '.join(allowed)}")
        if re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", self.device) is None:
            mistakes.append(f"--device {self.device}: use auto, cpu, cuda, cuda:N or mps")
        return mistakes

    def _number_mistakes(self) -> list[str]:
        mistakes = []
        if not self.inputs:
            mistakes.append("INPUT: name at least one photo, folder or glob")
        if not 0 < self.threshold < 1:
            mistakes.append(f"--threshold {self.threshold}: use a number between 0 and 1")
        if self.size is not None and self.size < MINIMUM_SIZE:
            mistakes.append(f"--size {self.size}: use at least {MINIMUM_SIZE} pixels")
        if self.batch_size is not None and self.batch_size < 1:
            mistakes.append(f"--batch-size {self.batch_size}: use auto or a positive number")
        try:
            _ = self.shard_of_photos
        except ValueError:
            mistakes.append(f"--shard {self.shard}: use I/N with 1 <= I <= N, such as 2/8")
        if not 0 < self.stable_seconds < math.inf:
            mistakes.append(f"--stable-seconds {self.stable_seconds}: use a positive number")
        if self.max_failures is not None and self.max_failures < 0:
            mistakes.append(f"--max-failures {self.max_failures}: use 0 or a positive number")
        if self.max_memory is not None and self.max_memory <= 0:
            mistakes.append(f"--max-memory {self.max_memory}: use a positive amount, such as 2G")
        if self.workers is not None and self.workers < 0:
            mistakes.append(f"--workers {self.workers}: use 0 for none or a positive number")
        return mistakes

    def _mixture_mistakes(self) -> list[str]:
        mistakes = []
        if runtime_of(self.weights) == "onnx" and self.batch_size not in {None, 1}:
            mistakes.append(
                f"--batch-size {self.batch_size}: {self.weights} is computed photo by photo; leave "
                "it out"
            )
        if self.watch and any(map(is_url, self.inputs)):
            mistakes.append(
                "--watch: looks at folders of this machine only; for URLs repeat the command "
                "without it, from cron for instance"
            )
        if self.watch and self.dry_run:
            mistakes.append("--watch: a dry run looks once; leave --watch or --dry-run out")
        if self.composite == "transparent" and self.composite_format == "jpg":
            mistakes.append(
                "--composite-format jpg: cannot be transparent; use png or webp, or another "
                "--composite"
            )
        if self.composite == "image" and self.background is None:
            mistakes.append("--background: --composite image needs a picture")
        if self.composite == "color" and self.background is not None:
            try:
                parse_colour(self.background)
            except ValueError:
                mistakes.append(
                    f"--background {self.background}: no colour; use a name such as white, or "
                    "#rrggbb (a picture needs --composite image)"
                )
        if self.composite not in {"color", "image"} and self.background is not None:
            mistakes.append(
                f"--background {self.background}: has no effect with --composite "
                f"{self.composite}; use --composite color or image"
            )
        return mistakes


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """A photo that could not be segmented, and why."""

    source: str
    error: str


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What a run made of the machine; for people, who read it beside the stages.

    Attributes:
        cores: That the run could use.
        start_seconds: From the start to the first photo that was handed out.
        cpu_seconds: Of this process, in all its threads, during the run; None if others did the
            work.
        waits: Seconds by stage in which worker threads did not compute, summed over workers.
    """

    cores: int
    start_seconds: float
    cpu_seconds: float | None
    waits: dict[Stage, float]


@dataclass(frozen=True, kw_only=True)
class SegmentSummary:
    """What a run of `banet segment` did.

    Attributes:
        out: Folder of the results.
        root: Folder that the photos' paths in the ledger are relative to.
        shard: Part of the photos that it was to do; None for all. Others do not count below.
        discovered: Photos found; the sum of `ok`, `empty`, `failed`, `skipped` and `pending`.
        skipped: Photos unchanged since an earlier run with the same weights and options.
        pending: Photos that were not come to: all that a dry run would do, and what an
            interrupted run left; 0 otherwise.
        exit_code: For the process: 0, or 3 if some photos failed.
        runtime: What computed: torch or onnx.
        device: Where the networks ran.
        precision: Of their arithmetic.
        weights: `name` and `sha256`.
        stages: CPU seconds of the worker threads by stage, in the order of the work, summed over
            workers.
        wall_seconds: From start to end.
        images_per_second: Photos segmented, skipped ones not counted, by wall time.
        versions: Of banet and what it stands on.
        failures: The failed photos.
        usage: What the run made of the machine.
    """

    out: Location
    root: Location
    shard: str | None
    discovered: int
    ok: int
    empty: int
    failed: int
    skipped: int
    pending: int
    exit_code: int
    runtime: str
    device: str
    precision: str
    weights: dict[str, str]
    stages: dict[Stage, float]
    wall_seconds: float
    images_per_second: float
    versions: Mapping[str, str]
    failures: tuple[Failure, ...]
    usage: Usage

    def as_json(self) -> dict[str, object]:
        """Return what `run.json` and `--json` hold."""
        return {
            **{key: value for key, value in vars(self).items() if key != "usage"},
            "out": str(self.out),
            "root": str(self.root),
            "failures": [asdict(failure) for failure in self.failures],
        }
