"""What `prepare` knows of each pair lies on the disk, not in memory."""

import gc
import resource
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from figures import draw_portrait
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


def held_bytes(folder: Path, count: int) -> int:
    """Return what a run holds of so many pairs that cannot be used, and a good one."""
    folder.mkdir()
    photo, mask = draw_portrait(1)
    Image.fromarray(photo).save(folder / "good.png")
    Image.fromarray(mask).save(folder / "mask.png")
    names = [f"{number:06d}.jpg" for number in range(count)]
    for name in names:
        (folder / name).touch()
    table = "".join(f"{name},mask.png\n" for name in [*names, "good.png"])
    (folder / "pairs.csv").write_text(f"image,mask\n{table}")
    settings = PrepareOptions(source=folder, dataset=folder / "out.zarr", size=64, workers=0)
    progress = WhenWriting()
    tracemalloc.start()
    summary = prepare(settings, progress=progress)
    tracemalloc.stop()
    assert (summary.failed, summary.stored) == (count, 1)
    return progress.held


def test_a_pair_takes_a_hundred_bytes_of_memory(tmp_path: Path) -> None:
    held_bytes(tmp_path / "once", 1)  # imports what is needed
    few, many = held_bytes(tmp_path / "few", 100), held_bytes(tmp_path / "many", 1100)
    assert (many - few) / 1000 < 200


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
