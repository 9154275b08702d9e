"""The second pass of `banet prepare`: samples are made and written, shard by shard."""

from pathlib import Path

import numpy as np

from pipelines.affine import AffineMap, apply, compose, fit, shift
from pipelines.boundary import CANONICAL_SIZE, boundary_target
from pipelines.errors import PhotoError, StoreError
from pipelines.examine import Pair, ReportRow, load_pair
from pipelines.frames import fit_frame, frame_map
from pipelines.landmarks import Landmarks
from pipelines.prepare_options import PrepareOptions
from pipelines.sources import Sample
from pipelines.store import SPLITS, StoredSample, write_shard


def make_shard(
    folder: Path,
    options: PrepareOptions,
    reference: Landmarks | None,
    task: tuple[int, list[tuple[Sample, ReportRow]]],
) -> int:
    """Read the pairs of one shard again, bring them into their frames, and write the shard.

    Args:
        folder: What `create_store` yielded.
        options: How.
        reference: Landmarks of the reference face, None if there is none.
        task: Position of the first sample, and all samples of the shard.

    Returns:
        How many it wrote.

    Raises:
        StoreError: A file is not what it was when it was examined.
    """
    start, chosen = task
    samples = [stored_sample(sample, row, options, reference) for sample, row in chosen]
    write_shard(folder, start, samples)
    return len(chosen)


def stored_sample(
    sample: Sample, row: ReportRow, options: PrepareOptions, reference: Landmarks | None
) -> StoredSample:
    """Read a pair again and bring it into its frame.

    Raises:
        StoreError: A file is not what it was when it was examined.
    """
    try:
        pair = load_pair(sample)
    except PhotoError as error:
        raise StoreError(f"changed while the dataset was being made: {error}") from error
    if pair.hashes != (row.sha256, row.mask_sha256, row.landmarks_sha256):
        raise StoreError(
            f"{sample.photo}: photo, mask or landmarks changed while the dataset was being made; "
            "run the same command again"
        )
    image, mask, valid = fit_frame(pair.photo, pair.mask, size=options.size, fit=options.fit)
    y, x, height, width = valid
    inside = slice(y, y + height), slice(x, x + width)
    boundary = np.zeros_like(mask)
    boundary[inside], kernel_size = boundary_target(
        mask[inside],
        canonical_width=options.canonical_width * options.size / CANONICAL_SIZE,
        canny=options.canny,
    )
    return StoredSample(
        image=image,
        mask=mask,
        boundary=boundary,
        kernel_size=kernel_size,
        valid=valid,
        split=SPLITS.index(row.split),
        name=sample.name,
        sha256=row.sha256,
        face_alignment=_face_alignment(pair, sample, options, reference),
    )


def _face_alignment(
    pair: Pair, sample: Sample, options: PrepareOptions, reference: Landmarks | None
) -> AffineMap:
    """Return the map from the frame of a sample to that of the reference face, NaN if unknown."""
    if reference is None or pair.landmarks.points is None:
        return np.full((2, 3), np.nan)
    left, top = sample.crop[:2] if sample.crop else (0, 0)
    height, width = pair.photo.shape[:2]
    to_frame = frame_map(height=height, width=width, size=options.size, fit=options.fit)
    return fit(apply(compose(to_frame, shift(-left, -top)), pair.landmarks.points), reference)
