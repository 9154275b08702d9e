"""What `prepare` knows of each pair lies on the disk, not in memory."""

import gc
import resource
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.errors import BanetError
from pipelines.on_disk import OnDisk
from pipelines.prepare import PrepareOptions, prepare
from pipelines.progress import SilentProgress


class WhenWriting(SilentProgress):
    """Looks at what a run holds when it begins to write the dataset."""

    held = 0

    def start(self, description: str, *_more: object) -> None:
        if description == "writing":
            gc.collect()
            self.held = tracemalloc.get_traced_memory()[0]


def write_pairs(folder: Path, count: int) -> None:
    """Write small photos of noise, and the same number that cannot be read, with one mask."""
    folder.mkdir()
    random = np.random.default_rng(0)
    Image.fromarray(np.tri(16, dtype=np.uint8) * 255).save(folder / "mask.png")
    names = [f"{number:06d}.png" for number in range(2 * count)]
    for name in names[:count]:
        Image.fromarray(random.integers(0, 256, (16, 16, 3), np.uint8)).save(folder / name)
    for name in names[count:]:
        (folder / name).touch()
    table = "".join(f"{name},mask.png\n" for name in names)
    (folder / "pairs.csv").write_text(f"image,mask\n{table}")


def held_bytes(folder: Path, count: int) -> int:
    """Return what a run holds of so many pairs, and as many that cannot be used."""
    settings = PrepareOptions(
        source=folder, dataset=folder / "out.zarr", size=32, workers=0, force=True
    )
    progress = WhenWriting()
    tracemalloc.start()
    summary = prepare(settings, progress=progress)
    tracemalloc.stop()
    assert (summary.failed, summary.stored) == (count, count)
    return progress.held


def test_a_pair_takes_a_hundred_bytes_of_memory(tmp_path: Path) -> None:
    few, many = 20, 170
    for count in (few, many):
        write_pairs(tmp_path / str(count), count)

    def held(count: int) -> int:
        # At least one of them without what libraries load once and keep.
        return min(held_bytes(tmp_path / str(count), count) for _ in range(2))

    assert (held(many) - held(few)) / (2 * (many - few)) < 200


def test_what_lies_on_the_disk_is_read_in_the_order_of_its_positions() -> None:
    items = OnDisk("ab")
    items.put(4, "ef")
    items.put(2, "cd")
    assert [*items] == [*"abcdef"]
    assert items[4] == items[-2] == "e"
    assert items[1:3] == ["b", "c"]
    first = iter(items)
    assert [next(first), items[5], next(first)] == ["a", "f", "b"]


def test_no_room_for_temporary_files_is_told() -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
        with pytest.raises(BanetError, match=r"temporary files cannot be written .* TMPDIR"):
            OnDisk(np.random.default_rng(0).bytes(1000) for _ in range(1000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
