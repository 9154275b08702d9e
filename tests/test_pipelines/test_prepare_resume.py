"""Runs of `prepare` that end too early, and what the same command makes of it."""

import logging
import os
import shutil
import signal
from pathlib import Path
from random import Random
from time import monotonic, sleep
from typing import Any

import pytest
import zarr
from figures import write_pairs
from file_contents import file_contents
from killed_prepare import REPLACING, SPOTS, killed_prepare
from permissions import closed
from processes import BANET, kill_group, started, wait_until

from pipelines.errors import BanetError, StoreError
from pipelines.prepare import PrepareOptions, prepare, report_path

COUNT = 140
"""Pairs: two whole shards and some more, in eight parts."""

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows knows no SIGKILL")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs of which some are damaged, equal, or without a mask, so that parts have gaps."""
    root = tmp_path_factory.mktemp("many")
    write_pairs(root, COUNT)
    images, masks = root / "images", root / "masks"
    (images / "05.png").write_bytes(b"no photo")
    (masks / "70.png").unlink()
    shutil.copy(images / "08.png", images / "09.png")
    return root


@pytest.fixture(scope="module")
def whole(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What an uninterrupted run makes, the report included."""
    folder = tmp_path_factory.mktemp("whole")
    prepare(options(pairs, folder / "out.zarr"))
    return file_contents(folder)


def options(source: Path, dataset: Path, **changes: Any) -> PrepareOptions:
    return PrepareOptions(source=source, dataset=dataset, **{"size": 32, "workers": 0, **changes})


@pytest.mark.slow
@pytest.mark.parametrize("spot", SPOTS)
def test_wherever_a_run_dies_the_next_makes_the_same_bytes(
    pairs: Path, whole: dict[str, bytes], tmp_path: Path, spot: str
) -> None:
    again = options(pairs, tmp_path / "out.zarr")
    assert killed_prepare(spot, again) == -signal.SIGKILL
    prepare(again)
    assert file_contents(tmp_path) == whole


def test_what_is_done_is_not_done_again(
    pairs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    again = options(pairs, tmp_path / "out.zarr")
    assert killed_prepare("after the second part", again) == -signal.SIGKILL
    with caplog.at_level(logging.INFO):
        prepare(again)
    assert f"36 of {COUNT} pairs were done by an earlier run" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_goes_on(
    pairs: Path, whole: dict[str, bytes], tmp_path: Path, number: int, code: int
) -> None:
    folder, log = tmp_path / "made", tmp_path / "log"
    folder.mkdir()
    command = (*BANET, "prepare", str(pairs), str(folder / "out.zarr"), "--size", "32")
    with started(*command, "--workers", "1", log=log) as run:
        assert wait_until(lambda: any(folder.glob(".*/*/*/rows.json")), run), log.read_text()
        for _ in range(2):  # as `timeout` does
            run.send_signal(number)
        assert run.wait(60) == code, log.read_text()
    assert "Traceback" not in log.read_text()
    with started(*command, log=log) as run:
        assert run.wait(60) == 3, log.read_text()
    assert "pairs were done by an earlier run" in log.read_text()
    assert file_contents(folder) == whole


def test_files_that_change_or_go_after_a_death_are_as_they_are_now(
    pairs: Path, tmp_path: Path
) -> None:
    source = Path(shutil.copytree(pairs, tmp_path / "source"))
    again = options(source, tmp_path / "killed" / "out.zarr")
    assert killed_prepare("all parts, no store", again) == -signal.SIGKILL
    shutil.copy(source / "masks" / "20.png", source / "masks" / "21.png")
    shutil.copy(source / "images" / "20.png", source / "images" / "139.png")
    for folder in ("images", "masks"):
        (source / folder / "100.png").unlink()

    prepare(again)
    prepare(options(source, tmp_path / "new" / "out.zarr"))

    assert file_contents(tmp_path / "killed") == file_contents(tmp_path / "new")
    assert "100" not in zarr.open_group(again.dataset, mode="r")["name"][:].tolist()


def test_other_options_after_a_death_mix_nothing(pairs: Path, tmp_path: Path) -> None:
    assert killed_prepare("all parts, no store", options(pairs, tmp_path / "a" / "out.zarr")) < 0
    for folder in ("a", "b"):
        prepare(options(pairs, tmp_path / folder / "out.zarr", fit="crop", canny=(50, 60)))
    assert file_contents(tmp_path / "a") == file_contents(tmp_path / "b")


def test_death_while_a_store_is_replaced_loses_it_only_for_the_moment(
    pairs: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    dataset = tmp_path / "out.zarr"
    prepare(options(pairs, dataset, fit="stretch"))
    before = file_contents(dataset)
    again = options(pairs, dataset, force=True)
    assert killed_prepare("store beside its place", again) == -signal.SIGKILL
    assert file_contents(dataset) == before
    assert killed_prepare(REPLACING, again) == -signal.SIGKILL
    assert not dataset.exists()
    with pytest.raises(StoreError, match="other options; add --force"):
        prepare(options(pairs, dataset))
    assert file_contents(dataset) == before
    prepare(again)
    assert file_contents(tmp_path) == whole


def test_pairs_out_of_reach_are_looked_at_again(pairs: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(pairs, tmp_path / "source"))
    again = options(source, tmp_path / "out.zarr", max_failures=1)
    with closed(source / "images" / "30.png"), pytest.raises(BanetError, match="2 pairs failed"):
        prepare(again)
    assert prepare(again).failed == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "kills",
    [
        2,
        pytest.param(40, marks=[pytest.mark.heavy, pytest.mark.timeout(1800)]),
    ],
)
def test_killed_at_random_moments(
    pairs: Path, whole: dict[str, bytes], tmp_path: Path, kills: int
) -> None:
    dataset = tmp_path / "made" / "out.zarr"
    dataset.parent.mkdir()
    command = (*BANET, "prepare", str(pairs), str(dataset), "--size", "32", "--workers", "2")
    log = tmp_path / "log"
    begin = monotonic()
    with started(*command, log=log) as run:
        assert run.wait(120) == 3, log.read_text()
    seconds = monotonic() - begin
    draw = Random(0)  # noqa: S311 - moments to kill at
    for _ in range(kills):
        if report_path(dataset).exists():
            shutil.rmtree(dataset.parent)
            dataset.parent.mkdir()
        with started(*command, log=log) as run:
            sleep(draw.uniform(0.3, 1) * seconds)
            kill_group(run)
    with started(*command, log=log) as run:
        # Once a part is there: some of the above may have come too late.
        wait_until(lambda: any(dataset.parent.glob(".*/*/*/rows.json")), run)
        kill_group(run)
    with started(*command, log=log) as run:
        assert run.wait(120) == 3, log.read_text()
    assert file_contents(dataset.parent) == whole
