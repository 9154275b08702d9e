"""A disk without room ends a run with a sentence, and costs nothing but what it had no room for."""

import json
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from acting_progress import At

from pipelines.errors import BanetError
from pipelines.ledger import Ledger, LedgerRow, read_ledger
from pipelines.segment import SegmentSummary

Run = Callable[..., SegmentSummary]

DISK_BYTES = 256 * 1024
PAGE_BYTES = 4096


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, which is soon full."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, capture_output=True, check=True, text=True)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        reason = str(getattr(error, "stderr", None) or error).splitlines()[0]
        pytest.skip(
            "a small file system to fill up cannot be mounted, for which a process must be root "
            f"and allowed to mount ({reason}); the test with /dev/full needs neither"
        )
    yield folder
    subprocess.run(["umount", str(folder)], check=True)  # noqa: S607


def sources_on_disk(out: Path) -> set[str]:
    """Return the photos whose rows say that they are done, all of whose results are there."""
    ledger = out / "results.jsonl"
    if not ledger.exists():
        return set()
    rows = [json.loads(line) for line in ledger.read_text().splitlines()]
    newest = {row["source"]: row for row in rows}
    done = {source: row for source, row in newest.items() if row["status"] == "ok"}
    for row in done.values():
        for path in (row["mask"], row["composite"]):
            assert (out / path).read_bytes().endswith(b"IEND\xaeB`\x82"), path
    return set(done)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_full_disk_ends_the_run_with_a_sentence_and_it_goes_on_when_there_is_room(
    run: Run, photos: Path, disk: Path, workers: int
) -> None:
    sentences = []
    for pages in range(0, 40, 3 if workers == 0 else 13):
        out, ballast = disk / "out", disk / "ballast"
        ballast.write_bytes(bytes(DISK_BYTES - pages * PAGE_BYTES))
        try:
            run(photos, out=out, workers=workers)
        except BanetError as error:
            sentences.append(str(error))
        assert not list(disk.rglob(".*.part"))
        done = sources_on_disk(out)

        ballast.unlink()
        summary = run(photos, out=out, workers=workers)

        assert summary.skipped == len(done)
        assert summary.ok == 5 - len(done)
        assert len(sources_on_disk(out)) == 5
        subprocess.run(["rm", "-r", str(out)], check=True)  # noqa: S607

    assert sentences
    assert all("No space left on device" in sentence for sentence in sentences)
    assert all("make room" in sentence for sentence in sentences)


@pytest.mark.skipif(
    not Path("/dev/full").is_char_device(),
    reason="only Linux and some BSDs have /dev/full, the device that never has any room",
)
@pytest.mark.parametrize("kind", ["masks", "composites"])
def test_a_result_that_finds_no_room_ends_the_run_and_the_others_are_kept(
    run: Run, photos: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"

    def fill() -> None:  # what is written next into that folder goes to the full device
        (out / kind / ".next.part").symlink_to("/dev/full")

    with monkeypatch.context() as patch:
        patch.setattr("pipelines.whole_files.uuid4", lambda: SimpleNamespace(hex="next"))
        with pytest.raises(BanetError, match=r"out: No space left on device; make room"):
            run(photos, out=out, progress=At(fill))

    assert not list(out.rglob(".*.part"))
    done = sources_on_disk(out)
    assert 1 <= len(done) < 5
    summary = run(photos, out=out)
    assert (summary.ok, summary.skipped) == (5 - len(done), len(done))
    assert len(sources_on_disk(out)) == 5


def test_a_row_that_finds_no_room_is_not_written_in_part(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    rows = [LedgerRow(source=name, status="failed", seconds=0.0, fingerprint="f") for name in "abc"]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    room = len(rows[0].to_line()) * 3 // 2
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
        with (  # noqa: PT012 - the second row is the one
            pytest.raises(BanetError, match=r"results\.jsonl: cannot be written .*make room"),
            Ledger(path, {}) as ledger,
        ):
            ledger.append(rows[:1])
            ledger.append(rows[1:])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert path.read_bytes() == rows[0].to_line()
    with Ledger(path, read_ledger(path)) as ledger:
        ledger.append(rows[1:])
    assert set(read_ledger(path)) == {"a", "b", "c"}
