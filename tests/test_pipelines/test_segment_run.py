"""What a run leaves behind, and what later and simultaneous runs make of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from processes import paused

from pipelines.errors import BanetError, InputError, LockedError
from pipelines.locks import exclusive
from pipelines.output_folder import LOCK_FILE
from pipelines.segment import SegmentSummary

Run = Callable[..., SegmentSummary]
WritePhoto = Callable[..., Path]


def ledger(out: Path) -> dict[str, dict[str, Any]]:
    rows = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    return {row["source"]: row for row in rows}


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def out(photos: Path) -> Path:
    return photos.with_name("photos-segmented")


class Interrupted:
    """Progress that is interrupted at the first result."""

    def start(self, *_stage: object) -> None:
        """Begin."""

    def advance(self, steps: int = 1, status: str = "") -> None:
        raise KeyboardInterrupt(steps, status)

    def finish(self) -> None:
        """End."""


def test_a_second_interrupt_ends_the_wait_for_what_is_in_flight(
    run: Run, photos: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.parallel.SAME_INTERRUPT_SECONDS", 0.0)

    with pytest.raises(KeyboardInterrupt):
        run(photos, progress=Interrupted(), workers=2)  # at the first result, and at the second

    done = len(ledger(out))
    assert 2 <= done < 5
    assert (run(photos).skipped, len(ledger(out))) == (done, 5)


@pytest.mark.parametrize("dry_run", [False, True])
def test_another_input_folder_cannot_overwrite_the_results(
    run: Run, photos: Path, out: Path, write_photo: WritePhoto, *, dry_run: bool
) -> None:
    run(photos)
    before = files(out)
    other = write_photo(photos.with_name("other") / "0.png", seed=70).parent

    with pytest.raises(InputError, match=r"the results for .*photos, which .*other"):
        run(other, out=out, dry_run=dry_run)
    with pytest.raises(InputError, match="choose another folder"):
        run(photos / "below", out=out)

    assert files(out) == before


def test_the_same_folder_under_another_name_goes_on(run: Run, photos: Path, out: Path) -> None:
    run(photos)
    (photos.with_name("link")).symlink_to(photos)

    assert run(photos.with_name("link"), out=out).skipped == 5


def test_run_json_names_the_root_as_soon_as_there_are_results(
    run: Run, photos: Path, out: Path
) -> None:
    class Looking:
        def start(self, *_stage: object) -> None:
            content = json.loads((out / "run.json").read_text())
            assert (content["root"], content["exit_code"]) == (str(photos), None)

        def advance(self, steps: int = 1, status: str = "") -> None:
            """Go on."""

        def finish(self) -> None:
            """End."""

    run(photos, progress=Looking())

    content = json.loads((out / "run.json").read_text())
    assert (content["root"], content["exit_code"]) == (str(photos), 0)


def test_a_folder_that_another_process_writes_to_is_refused(
    run: Run, photos: Path, out: Path
) -> None:
    out.mkdir()
    script = f"""
        import sys
        from pathlib import Path
        from pipelines.locks import exclusive
        with exclusive(Path({str(out / LOCK_FILE)!r}), place=Path("out")):
            print("waiting", flush=True)
            sys.stdin.readline()
    """
    with paused(script):
        with pytest.raises(LockedError, match="photos-segmented"):
            run(photos)
        assert run(photos, dry_run=True).pending == 5
        assert [path.name for path in out.iterdir()] == [LOCK_FILE]

    assert run(photos).ok == 5


def test_the_lock_is_held_while_photos_are_written_and_free_afterwards(
    run: Run, photos: Path, out: Path
) -> None:
    class Trying:
        def start(self, *_stage: object) -> None:
            with pytest.raises(LockedError), exclusive(out / LOCK_FILE, place=out):
                pass

        def advance(self, steps: int = 1, status: str = "") -> None:
            """Go on."""

        def finish(self) -> None:
            """End."""

    run(photos, progress=Trying())

    with exclusive(out / LOCK_FILE, place=out):
        pass


def test_a_run_with_other_options_that_dies_leaves_no_row_that_lies(
    run: Run, photos: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(photos / "0.png")

    def die(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr("pipelines.segment_run.SegmentRun._record", die)
        with pytest.raises(SystemExit):
            run(photos / "0.png", mask="binary")
    replaced = np.asarray(Image.open(out / "masks/0.png"))
    assert set(np.unique(replaced)) <= {0, 255}

    assert run(photos / "0.png").skipped == 0
    assert len(np.unique(np.asarray(Image.open(out / "masks/0.png")))) > 2


def test_too_many_failures_still_commit_what_was_in_flight(
    run: Run, photos: Path, out: Path
) -> None:
    (photos / "-.png").write_bytes(b"broken")

    with pytest.raises(BanetError, match="--max-failures allows 0"):
        run(photos, max_failures=0, workers=2)

    rows = ledger(out)
    masks = {str(path.relative_to(out)) for path in out.rglob("masks/**/*.png")}
    assert masks == {row["mask"] for row in rows.values() if row["mask"]}
    assert len(masks) >= 1


def test_temporary_files_of_a_run_that_died_are_removed_by_the_next(
    run: Run, photos: Path, out: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(photos, progress=Interrupted())
    (out / ".1.part").touch()
    (out / "composites/.2.part").touch()

    run(photos)

    assert not [name for name in files(out) if name.endswith(".part")]


def test_results_of_a_photo_that_fails_now_are_removed(run: Run, photos: Path, out: Path) -> None:
    run(photos)
    run(photos, composite_format="webp")
    (photos / "0.png").write_bytes(b"broken")

    run(photos)

    assert not list(out.rglob("0.*"))
    assert (out / "composites/1.png").exists()


def test_composites_of_every_format_go_when_nobody_is_there_any_more(
    run: Run, photos: Path, out: Path
) -> None:
    run(photos)
    run(photos, composite="color", composite_format="jpg")

    run(photos, threshold=0.9999, composite="none")

    assert not any(path.is_file() for path in out.glob("composites/**/*"))
    assert (out / "masks/0.png").exists()


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
        cv2.error("(-4:Insufficient memory) Failed to allocate 300000000 bytes"),
    ],
)
def test_missing_memory_fails_one_photo_and_says_so(
    run: Run, photos: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("pipelines.photo_worker.decode_photo", fail)

    summary = run(photos / "0.png")

    assert summary.failures[0].error == "not enough memory for a photo of this size"


class BrokenDevice(torch.nn.Module):
    """A network on a GPU that raises an error."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def forward(self, _image: torch.Tensor) -> torch.Tensor:
        raise self.error


@pytest.mark.parametrize(
    ("device", "error", "raised", "reason"),
    [
        ("meta", torch.OutOfMemoryError("full"), "OutOfMemoryError", "full"),
        ("meta", RuntimeError("device lost\nmore"), "BanetError", r"failed \(device lost\)"),
        ("cpu", RuntimeError("a bug"), "RuntimeError", "a bug"),
    ],
)
def test_a_lost_device_ends_the_run_and_a_full_one_does_not(
    device: str, error: Exception, raised: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from contextlib import nullcontext

    from pipelines import inference

    monkeypatch.setattr(inference, "autocast", lambda *_: nullcontext())
    segmenter = inference.Segmenter(
        BrokenDevice(error), device=torch.device(device), dtype=torch.float32, size=32
    )

    with pytest.raises(Exception, match=reason) as caught:
        segmenter(np.zeros((8, 8, 3), np.uint8))

    assert caught.type.__name__ == raised


def test_a_device_that_cannot_take_the_network_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.inference import Segmenter

    def fail(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("out of memory")

    network = torch.nn.Identity()
    monkeypatch.setattr(torch.nn.Module, "to", fail)

    with pytest.raises(BanetError, match=r"--device meta: failed \(out of memory\)"):
        Segmenter(network, device=torch.device("meta"), dtype=torch.float32, size=32)


def test_what_was_finished_before_the_device_was_lost_is_kept(
    run: Run, photos: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.inference import Segmenter

    forward, calls = Segmenter._forward, 0

    def fail_in_the_end(segmenter: Segmenter, *arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > 4:
            raise BanetError("--device cuda: failed")
        return forward(segmenter, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Segmenter, "_forward", fail_in_the_end)
        with pytest.raises(BanetError, match="--device cuda"):
            run(photos)

    assert len(ledger(out)) == 4
    assert (run(photos).ok, run(photos).skipped) == (1, 5)


def test_photos_that_are_large_together_are_done_one_by_one(
    run: Run, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines import photo_worker
    from pipelines.budget import Budget
    from pipelines.process_memory import ProcessMemory

    at_once, highest = 0, 0

    def count(worker: Any, *arguments: Any) -> Any:
        nonlocal at_once, highest
        at_once += 1
        highest = max(highest, at_once)
        try:
            return segment_content(worker, *arguments)
        finally:
            at_once -= 1

    segment_content = photo_worker._PhotoWorker._segment_content
    monkeypatch.setattr(photo_worker._PhotoWorker, "_segment_content", count)
    for total, expected in ((1, 1), (10**9, 2)):
        highest = 0
        memory = ProcessMemory(Budget(total))
        monkeypatch.setattr(photo_worker, "process_memory", lambda _settings, it=memory: it)

        assert run(photos, workers=2, force=True).ok == 5
        assert highest == expected
