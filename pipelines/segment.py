"""`banet segment`: photos in; masks, composites and a ledger out."""

import hashlib
import logging
import time
from dataclasses import replace
from pathlib import Path

import torch

from pipelines.checkpoints import SHIPPED_WEIGHTS, Weights
from pipelines.compositing import Colour, parse_colour
from pipelines.devices import precision_name
from pipelines.engines import load_network, working_size_of
from pipelines.errors import InputError, PhotoError
from pipelines.onnx_weights import OnnxWeights
from pipelines.output_folder import OutputFolder
from pipelines.photo_files import default_output_folder, refuse_overlap
from pipelines.photo_search import find_photos
from pipelines.photo_tasks import TaskSettings
from pipelines.progress import Progress, SilentProgress
from pipelines.resume import fingerprint
from pipelines.review import refuse_review_among_photos
from pipelines.run_workers import gpu_processes
from pipelines.runtimes import resolve_compute
from pipelines.segment_options import Failure, SegmentOptions, SegmentSummary
from pipelines.segment_run import SegmentRun
from pipelines.storage import Location, locate
from pipelines.watch_run import WatchRun
from pipelines.whole_files import read_bytes
from pipelines.worker_process import load_background

__all__ = ["Failure", "SegmentOptions", "SegmentSummary", "segment"]

logger = logging.getLogger(__name__)


def segment(options: SegmentOptions, *, progress: Progress | None = None) -> SegmentSummary:
    """Cut the people out of all photos that the options name.

    A photo that fails is recorded and the run goes on. Whatever ends the run, the ledger holds
    all photos that were finished, and the same call goes on from there. With `watch` only an
    interrupt or an error ends it.

    Raises:
        ConfigError: The options do not fit together, an ONNX file does not say how it is used, or
            the packages for it are missing.
        InputError: An input is missing, or the output folder overlaps the input or holds the
            results of another one; or the folder of the review overlaps input or results.
        WeightsError: The weights cannot be used.
        DeviceError: The requested device is missing.
        LockedError: Another run is writing to the output folder, and is not another shard of the
            same count.
        BanetError: Nothing can be written, the workers or their device are gone, or too many
            photos failed.
    """
    started, started_cpu = time.perf_counter(), time.process_time()
    tree = find_photos(options.inputs, may_come_later=options.watch)
    out = (locate(options.out) if options.out else default_output_folder(tree)).absolute()
    refuse_overlap(tree, out)
    if options.review_dir is not None:
        refuse_review_among_photos(locate(options.review_dir), tree, out)
    folder = OutputFolder(path=out, shard=options.shard_of_photos)
    folder.refuse_other_root(tree.root)
    probed = probe_device(options) if options.scheduler is None else None
    # Nobody here keeps the weights: they are the workers' to load.
    settings = _task_settings(options, load_network(options.weights), tree.root, out)
    run = (WatchRun if options.watch else SegmentRun)(
        options=options,
        settings=settings,
        folder=folder,
        tree=tree,
        started=started,
        started_cpu=started_cpu,
    )
    if probed is not None:
        run.computed_by(probed)
    if options.dry_run:
        run.plan()
        return run.summary()
    return run.do(progress or SilentProgress())


def probe_device(options: SegmentOptions) -> tuple[str, str]:
    """Return the names of the device and the precision that local workers will compute with.

    Raises:
        ConfigError: The device cannot compute in the requested precision.
        DeviceError: The requested device is missing.
    """
    device, dtype = resolve_compute(
        options.weights, device=options.device, precision=options.precision
    )
    if str(device) == "cuda" and torch.cuda.device_count() > 1:
        used = (
            "a process for each of them; --device cuda:N takes a single one"
            if gpu_processes(options, str(device))
            else "using cuda:0; --device cuda:N takes another one, the extra `cuda` all of them"
        )
        logger.info("%d CUDA devices, %s", torch.cuda.device_count(), used)
    return str(device), precision_name(dtype)


def _task_settings(
    options: SegmentOptions, weights: Weights | OnnxWeights, root: Location, out: Location
) -> TaskSettings:
    """Put together what workers need to know.

    Raises:
        ConfigError: The weights do not take the working size.
        BanetError: The background picture cannot be read.
    """
    name = options.weights
    settings = TaskSettings(
        root=root,
        out=out,
        weights=name if name in SHIPPED_WEIGHTS else str(Path(name).absolute()),
        weights_sha256=weights.sha256,
        description=weights.description if isinstance(weights, OnnxWeights) else None,
        device=options.device,
        precision=options.precision,
        size=working_size_of(weights, options.size),
        mask=options.mask,
        refine=options.refine,
        threshold=options.threshold,
        composite=options.composite,
        composite_format=options.composite_format,
        colour=_colour(options),
        background=_background(options),
        threads=None,
        max_memory=options.max_memory,
        fingerprint="",
        batch_size=options.batch_size,
        watching=options.watch,
    )
    return replace(settings, fingerprint=fingerprint(settings))


def _colour(options: SegmentOptions) -> Colour | None:
    return parse_colour(options.background or "white") if options.composite == "color" else None


def _background(options: SegmentOptions) -> tuple[Location, str] | None:
    if options.composite != "image" or options.background is None:
        return None
    path = locate(options.background).absolute()
    try:
        sha256 = hashlib.sha256(read_bytes(path)).hexdigest()
    except PhotoError as error:
        raise InputError(
            f"--background {path}: {error}; name a picture that can be read"
        ) from error
    load_background(path, sha256)
    return path, sha256
