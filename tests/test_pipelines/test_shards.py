"""Shards: parts of a folder that several runs do into one output folder."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from deaths import begun
from processes import paused
from segment_results import counts, ledger

from pipelines.errors import ConfigError, InputError, LockedError
from pipelines.photo_files import assign_stems
from pipelines.photo_shards import Shard
from pipelines.segment import SegmentOptions, SegmentSummary, segment

Run = Callable[..., SegmentSummary]
WritePhoto = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path, write_photo: WritePhoto) -> Path:
    """Sixteen photos, some of which compete for a name."""
    folder = tmp_path / "photos"
    for index in range(12):
        write_photo(folder / f"{index % 3}" / f"{index:02}.png", seed=index)
    for name in ("a.png", "a.jpg", "a.webp", "a.jpg.png"):
        write_photo(folder / name, seed=len(name))
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def masks(out: Path) -> dict[str, bytes]:
    paths = out.rglob("masks/**/*.png")
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in paths}


@pytest.mark.parametrize("text", ["0/2", "3/2", "1/0", "1", "a/b", "1/2/3", "-1/2", ""])
def test_what_is_no_shard_is_refused(run: Run, folder: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="--shard"):
        run(folder, shard=text)


def test_each_photo_belongs_to_one_shard_whatever_else_there_is() -> None:
    sources = [f"{folder}/{number}.jpg" for folder in "abc" for number in range(1000)]
    for count in (1, 2, 7):
        parts = [
            [s for s in sources if Shard(index, count).holds(s)] for index in range(1, count + 1)
        ]
        assert sorted(source for part in parts for source in part) == sorted(sources)
        assert all(abs(len(part) - 3000 / count) < 0.25 * 3000 / count for part in parts)


def test_shards_are_those_of_every_other_machine_and_version() -> None:
    held = [number for number in range(8) if Shard(2, 3).holds(f"{number}.jpg")]

    assert held == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "names",
    [
        ("a.jpg", "a.heic", "A.PNG", "a.heic.png", "a.jpg-2.png"),
        ("x/\u00e9.jpg", "x/e\u0301.png"),  # one letter, composed and not
    ],
)
def test_photos_that_compete_for_a_name_are_in_one_shard(names: tuple[str, ...]) -> None:
    for count in (2, 3, 5, 64):
        homes = {i for name in names for i in range(1, count + 1) if Shard(i, count).holds(name)}
        assert len(homes) == 1


def test_shards_together_do_what_one_run_does_and_it_skips_all_of_it(
    run: Run, folder: Path, out: Path, tmp_path: Path
) -> None:
    parts = [run(folder, out=out, shard=f"{index}/3") for index in (2, 1, 3)]
    assert sum(part.ok for part in parts) == sum(part.discovered for part in parts) == 16
    assert not (out / "results.jsonl").exists()
    files = json.loads((out / "run.2-of-3.json").read_text())
    assert (files["shard"], files["exit_code"], files["ok"]) == ("2/3", 0, parts[0].ok)
    assert counts(run(folder, out=out, shard="2/3")) == (0, 0, 0, parts[0].discovered)

    assert counts(run(folder, out=out, dry_run=True)) == (0, 0, 0, 16)
    assert counts(run(folder, out=out)) == (0, 0, 0, 16)

    assert len(ledger(out)) == 16
    assert not [path.name for path in out.iterdir() if "-of-" in path.name]
    whole = run(folder, out=tmp_path / "whole")
    assert whole.ok == 16
    assert masks(out) == masks(tmp_path / "whole")
    names = {row["source"]: row["mask"] for row in ledger(out).values()}
    assert names == {row["source"]: row["mask"] for row in ledger(tmp_path / "whole").values()}


def test_names_do_not_depend_on_which_shard_comes_first_or_on_photos_that_come_later(
    run: Run, folder: Path, out: Path, write_photo: WritePhoto
) -> None:
    (folder / "a.jpg").unlink()
    home = next(index for index in range(1, 4) if Shard(index, 3).holds("a.png"))
    run(folder, out=out, shard=f"{home}/3")
    before = masks(out)
    write_photo(folder / "a.jpg", seed=40)

    for index in (1, 2, 3):
        run(folder, out=out, shard=f"{index}/3")
    run(folder, out=out)

    rows = ledger(out)
    assert len({row["mask"] for row in rows.values()}) == 16
    assert before.items() <= masks(out).items()


def test_another_count_goes_on_from_what_the_first_did(run: Run, folder: Path, out: Path) -> None:
    first = run(folder, out=out, shard="1/2")
    parts = [run(folder, out=out, shard=f"{index}/3", mask="binary") for index in (1, 2, 3)]
    assert sum(part.ok for part in parts) == 16

    assert counts(run(folder, out=out, mask="binary")) == (0, 0, 0, 16)
    assert counts(run(folder, out=out, shard="1/2")) == (first.discovered, 0, 0, 0)
    assert counts(run(folder, out=out, mask="binary")) == (first.discovered, 0, 0, 16 - first.ok)


def test_a_shard_skips_what_a_whole_run_did(run: Run, folder: Path, out: Path) -> None:
    run(folder, out=out)

    assert counts(run(folder, out=out, shard="1/2"))[:3] == (0, 0, 0)


def test_a_shard_without_photos_is_done_at_once(run: Run, folder: Path, out: Path) -> None:
    index = next(index for index in range(1, 200) if not Shard(index, 199).holds("a.png"))

    summary = run(folder / "a.png", out=out, shard=f"{index}/199")

    assert (summary.discovered, summary.exit_code) == (0, 0)


def test_a_shard_of_another_folder_is_refused(
    run: Run, folder: Path, out: Path, write_photo: WritePhoto
) -> None:
    run(folder, out=out, shard="1/2")
    other = write_photo(folder.with_name("other") / "b.png").parent

    with pytest.raises(InputError, match="the results for"):
        run(other, out=out, shard="2/2")
    with pytest.raises(InputError, match="the results for"):
        run(other, out=out)


@contextmanager
def running_shard(folder: Path, out: Path, weights: str, shard: str) -> Iterator[None]:
    """Have a shard run in another process, which waits after its first photos."""
    script = f"""
        import sys
        from pathlib import Path
        from pipelines.progress import SilentProgress
        from pipelines.segment import SegmentOptions, segment

        class Waiting(SilentProgress):
            waited = False
            def advance(self, steps=1, status=""):
                if not self.waited:
                    self.waited = True
                    print("waiting", flush=True)
                    sys.stdin.readline()

        segment(SegmentOptions(inputs=(Path({str(folder)!r}),), out=Path({str(out)!r}), workers=0,
                               shard={shard!r}, weights={weights!r}, precision="fp32"),
                progress=Waiting())
    """
    with paused(script):
        yield


def test_shards_run_beside_each_other_and_nothing_else_does(
    run: Run, folder: Path, out: Path, weights_file: str
) -> None:
    with running_shard(folder, out, weights_file, "1/2"):
        with pytest.raises(LockedError, match="shard 1/2 is being written"):
            run(folder, out=out)
        with pytest.raises(LockedError, match="another run"):
            run(folder, out=out, shard="1/2")
        with pytest.raises(LockedError, match="choose another place or a --shard of 2"):
            run(folder, out=out, shard="3/3")
        beside = run(folder, out=out, shard="2/2")
        assert beside.ok == beside.discovered > 0

    assert counts(run(folder, out=out)) == (0, 0, 0, 16)


def test_a_whole_run_keeps_shards_out(run: Run, folder: Path, out: Path) -> None:
    class Trying:
        def start(self, *_stage: object) -> None:
            with pytest.raises(LockedError, match="another run"):
                run(folder, out=out, shard="1/2")

        def advance(self, steps: int = 1, status: str = "") -> None:
            """Go on."""

        def finish(self) -> None:
            """End."""

    assert run(folder, out=out, progress=Trying()).ok == 16


@pytest.mark.slow
def test_eight_shards_that_start_together_all_get_through(
    folder: Path, out: Path, run: Run, weights_file: str
) -> None:
    common = {"out": out, "weights": weights_file, "workers": 0, "precision": "fp32"}
    processes = [
        begun(segment, SegmentOptions(inputs=(folder,), shard=f"{index}/8", **common))
        for index in range(1, 9)
    ]
    for process in processes:
        process.join()

    assert [process.exitcode for process in processes] == [0] * 8
    done = [json.loads(path.read_text())["ok"] for path in out.glob("run.*-of-8.json")]
    assert (len(done), sum(done)) == (8, 16)
    assert counts(run(folder, out=out)) == (0, 0, 0, 16)


def test_what_a_killed_shard_left_is_taken_up(run: Run, folder: Path, out: Path) -> None:
    class Interrupted:
        def start(self, *_stage: object) -> None:
            """Begin."""

        def advance(self, steps: int = 1, status: str = "") -> None:
            raise KeyboardInterrupt(steps, status)

        def finish(self) -> None:
            """End."""

    with pytest.raises(KeyboardInterrupt):
        run(folder, out=out, shard="1/2", progress=Interrupted())
    torn = out / "results.1-of-2.jsonl"
    torn.write_bytes(torn.read_bytes() + b'{"source": "a.p')
    (out / "masks/.1.part").touch()
    other = run(folder, out=out, shard="2/2")
    assert (out / "masks/.1.part").exists()  # it could be another shard's that is running

    summary = run(folder, out=out)

    assert summary.skipped == other.ok + 1
    assert not list(out.rglob("*.part"))
    assert len(ledger(out)) == 16


def test_names_in_shards_are_those_of_the_whole_folder(folder: Path) -> None:
    sources = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))
    whole = assign_stems(sources, {})
    for index in (1, 2, 3):
        mine = [source for source in sources if Shard(index, 3).holds(source)]
        assert assign_stems(mine, {}).items() <= whole.items()
