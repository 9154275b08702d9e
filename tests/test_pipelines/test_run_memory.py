"""What a run keeps in memory of photos that are done."""

import gc
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from acting_progress import At

from pipelines.ledger import LedgerRow
from pipelines.photo_tasks import PhotoTask
from pipelines.segment import Failure, SegmentSummary
from pipelines.segment_run import MOST_PHOTOS_PER_TASK

PHOTOS = 300


def test_photos_that_are_done_are_forgotten(
    run: Callable[..., SegmentSummary], tmp_path: Path
) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    for number in range(PHOTOS):
        (folder / f"{number:03}.jpg").write_bytes(b"no photo %d" % number)
    alive: Counter[type] = Counter()

    def count() -> None:
        gc.unfreeze()  # the run has set aside what it began with
        gc.collect()
        alive.update(map(type, gc.get_objects()))

    summary = run(folder, workers=0, progress=At(count, done=PHOTOS))

    few = 4 * MOST_PHOTOS_PER_TASK  # those in work, and what earlier runs may have left
    assert 0 < alive[PhotoTask] < few < PHOTOS
    assert 0 < alive[LedgerRow] < few
    assert alive[Failure] < few
    assert [failure.source for failure in summary.failures] == [
        f"{number:03}.jpg" for number in range(PHOTOS)
    ]
    assert {failure.error for failure in summary.failures} != {""}
