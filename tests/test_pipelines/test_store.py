import json
from pathlib import Path

import numpy as np
import pytest
import zarr

from pipelines.errors import StoreError
from pipelines.schema import ARRAYS
from pipelines.store import (
    SAMPLES_PER_SHARD,
    StoredSample,
    create_store,
    is_store,
    open_store,
    write_shard,
)


def sample(number: int, *, size: int = 16) -> StoredSample:
    rng = np.random.default_rng(number)
    return StoredSample(
        image=rng.integers(0, 256, (size, size, 3), dtype=np.uint8),
        mask=rng.integers(0, 256, (size, size), dtype=np.uint8),
        boundary=rng.integers(0, 2, (size, size), dtype=np.uint8),
        kernel_size=number + 1,
        valid=(0, 2, size, size - 4),
        split=number % 3,
        name=f"n\u00e4me {number}",
        sha256=f"{number:064x}",
    )


def test_samples_come_back_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    count = SAMPLES_PER_SHARD + 3
    with create_store(path, count=count, size=16, attributes={"size": 16}) as folder:
        assert not path.exists()
        for start in (0, SAMPLES_PER_SHARD):
            numbers = range(start, min(start + SAMPLES_PER_SHARD, count))
            write_shard(folder, start, [sample(number) for number in numbers])
    store = open_store(path)
    assert len(store) == count
    group = zarr.open_group(path, mode="r")
    for number in (66, 0, 64):
        for name in ARRAYS:
            assert np.array_equal(group[name][number], getattr(sample(number), name))
    for number, (name, photo, mask) in zip((66, 0), store.photos([66, 0]), strict=True):
        expected = sample(number)
        assert name == expected.name
        assert np.array_equal(photo, expected.image[:, 2:14])
        assert np.array_equal(mask, expected.mask[:, 2:14])
    assert store.hashes("val") == {sample(number).sha256 for number in range(1, count, 3)}
    assert store.indices("val") == list(range(1, count, 3))
    assert store.indices("all") == list(range(count))


def test_half_a_shard_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="not one shard"),
        create_store(tmp_path / "a.zarr", count=80, size=16, attributes={}) as folder,
    ):
        write_shard(folder, 5, [sample(5)])


def test_failure_while_writing_leaves_the_old_store(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    with create_store(path, count=1, size=16, attributes={}) as folder:
        write_shard(folder, 0, [sample(0)])
    with (
        pytest.raises(RuntimeError, match="power cut"),
        create_store(path, count=2, size=16, attributes={}),
    ):
        raise RuntimeError("power cut")
    assert len(open_store(path)) == 1
    assert [item.name for item in tmp_path.iterdir()] == ["a.zarr"]


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
    with create_store(path, count=1, size=16, attributes={}) as folder:
        write_shard(folder, 0, [sample(0)])
    (path / "mask" / "zarr.json").rename(tmp_path / "aside")
    with pytest.raises(StoreError, match="damaged, mask is not complete"):
        open_store(path)
    edit_attributes(path, schema_version=99)
    with pytest.raises(StoreError, match=r"schema version 99, this banet reads up to 1; upgrade"):
        open_store(path)
