"""What travels between the driver of `banet segment` and its workers: paths and records."""

from dataclasses import dataclass
from typing import Literal

from pipelines.compositing import Colour
from pipelines.devices import Precision
from pipelines.encoding import ImageFormat
from pipelines.errors import BanetError
from pipelines.ledger import LedgerRow
from pipelines.network_description import NetworkDescription
from pipelines.storage import Location, Status

Composite = Literal["none", "transparent", "color", "image", "blur"]
MaskKind = Literal["soft", "binary"]
Stage = Literal[
    "read", "decode", "shrink", "forward", "refine", "mask", "composite", "encode", "write"
]
"""What is done with a photo, in this order. `shrink` brings it to what the network sees of it."""


@dataclass(frozen=True, kw_only=True)
class TaskSettings:
    """What all tasks of a run have in common; small, since it travels with every one of them.

    Attributes:
        root: Folder that the sources are relative to.
        out: Folder that masks and composites are relative to.
        weights: What `load_network` takes, valid on every worker.
        weights_sha256: Of that file.
        description: How the network in it is used; None for weights of torch.
        size: Working size.
        colour: Of the background, for the composite `color`.
        background: Picture and its hash, for the composite `image`.
        threads: That the network may use in each worker thread; None leaves torch's own choice.
        max_memory: Bytes that a worker process may have in memory; None for no limit.
        batch_size: As for `engine_once`.
        processes: That share the memory of this machine.
        fingerprint: For the ledger rows.
        watching: Whether photos may vanish; in a run that is not watching that is a failure.
    """

    root: Location
    out: Location
    weights: str
    weights_sha256: str
    description: NetworkDescription | None
    device: str
    precision: Precision
    size: int
    mask: MaskKind
    refine: bool
    threshold: float
    composite: Composite
    composite_format: ImageFormat
    colour: Colour | None
    background: tuple[Location, str] | None
    threads: int | None
    max_memory: int | None
    fingerprint: str
    batch_size: int | None = None
    processes: int = 1
    watching: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class PhotoTask:
    """One photo to segment. All of a run are in memory at once, small as they are.

    Attributes:
        source: Path relative to the root.
        stem: Path of its results, relative and without extension.
        status: Of the file, as a listing said; None if the file itself is to be asked.
        known: Row of an earlier run that still holds if the content of the file is the same.
    """

    source: str
    stem: str
    status: Status | None = None
    known: LedgerRow | None = None


@dataclass(frozen=True, kw_only=True)
class BatchTask:
    """Some photos that one worker does in turn."""

    photos: tuple[PhotoTask, ...]
    settings: TaskSettings


@dataclass(frozen=True, kw_only=True)
class BatchResult:
    """What comes back from a task.

    Attributes:
        rows: Of the photos that were segmented, or failed to be.
        unchanged: Of the photos whose content turned out to be that of an earlier run.
        vanished: Sources of the photos that were gone, while watching. Their results are as before.
        ended_by: What ends the run, so that the rest of the task was not done; None if nothing.
        undone: Sources of that rest.
        stages: Thread CPU seconds by stage.
        waits: Seconds by stage in which the thread did not compute: it waited for a disk, a GPU,
            or its turn on a core.
    """

    rows: tuple[LedgerRow, ...]
    unchanged: tuple[LedgerRow, ...]
    vanished: tuple[str, ...]
    ended_by: BanetError | None
    undone: tuple[str, ...]
    stages: dict[Stage, float]
    waits: dict[Stage, float]
