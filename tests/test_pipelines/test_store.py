import json
import shutil
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from file_contents import file_contents

from pipelines.errors import StoreError
from pipelines.schema import ARRAYS, COLUMN_ARRAYS, FRAME_ARRAYS
from pipelines.storage import Location
from pipelines.store import is_store, open_store
from pipelines.store_writing import (
    SAMPLES_PER_SHARD,
    Piece,
    aside_of,
    create_store,
    write_part,
    write_shard,
)

SIZE = 16


def value(name: str, number: int) -> Any:
    rng = np.random.default_rng(number)
    values = {
        "image": rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8),
        "mask": rng.integers(0, 256, (SIZE, SIZE), dtype=np.uint8),
        "boundary": rng.integers(0, 2, (SIZE, SIZE), dtype=np.uint8),
        "kernel_size": number + 1,
        "valid": (0, 2, SIZE, SIZE - 4),
        "split": number % 3,
        "name": f"n\u00e4me {number}",
        "sha256": f"{number:064x}",
    }
    return values[name]


def part(folder: Path, numbers: range) -> Piece:
    frames = {name: np.array([value(name, number) for number in numbers]) for name in FRAME_ARRAYS}
    write_part(folder, frames)
    return Piece(folder, 0, len(numbers))


def new_store(path: Path, count: int) -> AbstractContextManager[Location]:
    columns = {name: [value(name, number) for number in range(count)] for name in COLUMN_ARRAYS}
    return create_store(path, count=count, size=SIZE, attributes={"size": SIZE}, columns=columns)


def write_store(path: Path, parts: Path) -> None:
    with new_store(path, 1) as folder:
        write_shard(folder, 0, [part(parts, range(1))])


def test_samples_come_back_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    count = SAMPLES_PER_SHARD + 3
    with new_store(path, count) as folder:
        assert not path.exists()
        first = part(tmp_path / "0", range(SAMPLES_PER_SHARD))
        write_shard(folder, 0, [first])
        write_shard(folder, 1, [part(tmp_path / "1", range(SAMPLES_PER_SHARD, count))])
    store = open_store(path)
    assert len(store) == count
    group = zarr.open_group(path, mode="r")
    for number in (66, 0, 64):
        for name in ARRAYS:
            assert np.array_equal(group[name][number], value(name, number))
    for number, (name, photo, mask) in zip((66, 0), store.photos([66, 0]), strict=True):
        assert name == value("name", number)
        assert np.array_equal(photo, value("image", number)[:, 2:14])
        assert np.array_equal(mask, value("mask", number)[:, 2:14])
    assert store.hashes("val") == {value("sha256", number) for number in range(1, count, 3)}
    assert store.indices("val") == list(range(1, count, 3))
    assert store.indices("all") == list(range(count))


def test_shards_are_the_same_bytes_whatever_parts_they_come_of(tmp_path: Path) -> None:
    count = SAMPLES_PER_SHARD + 3
    bounds = ((0, 40), (40, count))
    pieces = [part(tmp_path / str(start), range(start, stop)) for start, stop in bounds]
    whole = part(tmp_path / "whole", range(SAMPLES_PER_SHARD))
    rest = part(tmp_path / "rest", range(SAMPLES_PER_SHARD, count))
    last = SAMPLES_PER_SHARD - 40
    shards = {
        "aligned": ([whole], [rest]),
        "packed": (
            [pieces[0], pieces[1]._replace(stop=last)],
            [pieces[1]._replace(start=last)],
        ),
    }
    for name, of in shards.items():
        with new_store(tmp_path / f"{name}.zarr", count) as folder:
            for number, each in enumerate(of):
                write_shard(folder, number, each)
    aligned, packed = (file_contents(tmp_path / f"{name}.zarr") for name in shards)
    assert aligned == packed


def test_frames_of_a_part_that_are_gone_are_an_error(tmp_path: Path) -> None:
    piece = part(tmp_path / "part", range(3))
    shutil.rmtree(tmp_path / "part" / "mask" / "c")
    with (
        pytest.raises(StoreError, match=r"mask.*is gone; run the same command again"),
        new_store(tmp_path / "a.zarr", 2) as folder,
    ):
        write_shard(folder, 0, [piece._replace(start=1)])


def test_failure_while_writing_leaves_the_old_store(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    write_store(path, tmp_path / "part")
    with pytest.raises(RuntimeError, match="power cut"), new_store(path, 2):
        raise RuntimeError("power cut")
    assert len(open_store(path)) == 1
    assert list(aside_of(path).iterdir()) == []


def test_foreign_folders_are_named(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    zarr.create_group(tmp_path / "foreign.zarr")
    for path, reason in (
        (tmp_path / "nowhere.zarr", "no such dataset"),
        (tmp_path / "plain", "not a zarr v3 dataset"),
        (tmp_path / "foreign.zarr", "not a dataset made by"),
    ):
        assert not is_store(path)
        with pytest.raises(StoreError, match=reason):
            open_store(path)


def edit_attributes(path: Path, **changes: object) -> None:
    metadata = json.loads((path / "zarr.json").read_text())
    metadata["attributes"].update(changes)
    (path / "zarr.json").write_text(json.dumps(metadata))


def test_newer_version_and_lost_arrays_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    write_store(path, tmp_path / "part")
    (path / "mask" / "zarr.json").rename(tmp_path / "aside")
    with pytest.raises(StoreError, match="damaged, mask is not complete"):
        open_store(path)
    edit_attributes(path, schema_version=99)
    with pytest.raises(StoreError, match=r"schema version 99, this banet reads up to 1; upgrade"):
        open_store(path)
