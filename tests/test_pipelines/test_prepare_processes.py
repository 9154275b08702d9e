"""Runs of `prepare` whose workers are processes: what ends some of them, or all."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from acting_progress import At
from figures import write_pairs
from file_contents import file_contents
from processes import kill_group, started, wait_until
from worker_processes import workers_of

from pipelines.errors import BanetError
from pipelines.prepare import PrepareOptions, prepare

COUNT = 140
"""Pairs: two whole shards and some more, in eight parts."""

BANET = """
import pipelines.prepare
from banet_cli.app import main

pipelines.prepare.PAIRS_FOR_PROCESSES = 1
main()
"""
"""The command, for which few pairs are worth the start of processes. It has no guard."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as on Linux")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("many")
    write_pairs(root, COUNT)
    (root / "images" / "05.png").write_bytes(b"no photo")
    return root


@pytest.fixture(scope="module")
def whole(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a run in this thread makes, the report included."""
    folder = tmp_path_factory.mktemp("whole")
    prepare(options(pairs, folder / "out.zarr", workers=0))
    return file_contents(folder)


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    script = tmp_path_factory.mktemp("command") / "banet.py"
    script.write_text(BANET)
    return sys.executable, str(script)


@pytest.fixture
def few_suffice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.prepare.PAIRS_FOR_PROCESSES", 1)


def options(source: Path, dataset: Path, **changes: Any) -> PrepareOptions:
    return PrepareOptions(source=source, dataset=dataset, **{"size": 32, "workers": 2, **changes})


@pytest.mark.usefixtures("few_suffice")
def test_a_worker_that_is_killed_loses_nothing(
    pairs: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    found: list[psutil.Process] = []

    def kill_one() -> None:
        found.extend(workers_of(os.getpid()))
        found[0].kill()

    summary = prepare(options(pairs, tmp_path / "out.zarr"), progress=At(kill_one))

    assert len(found) == 2
    assert (summary.stored, summary.failed) == (COUNT - 1, 1)
    assert file_contents(tmp_path) == whole
    assert not workers_of(os.getpid())


@pytest.mark.usefixtures("few_suffice")
def test_workers_that_are_killed_all_the_time_end_the_run(
    pairs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    over = threading.Event()

    def kill() -> None:
        while not over.wait(0.01):
            for worker in workers_of(os.getpid()):
                with suppress(psutil.NoSuchProcess):
                    worker.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        with pytest.raises(BanetError, match="died 4 times over the same work"):
            prepare(options(pairs, tmp_path / "out.zarr"))
    finally:
        over.set()
        killer.join()
    assert "done again" in caplog.text


@pytest.mark.parametrize(
    ("least", "changes", "processes"),
    [
        (COUNT, {}, 2),
        (COUNT, {"check": True}, 2),
        (COUNT, {"workers": 1}, 1),
        (COUNT, {"workers": 0}, 0),
        (COUNT + 1, {}, 0),
    ],
)
def test_local_workers_are_processes_where_there_are_many_pairs(
    *,
    pairs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    least: int,
    changes: dict[str, Any],
    processes: int,
) -> None:
    monkeypatch.setattr("pipelines.prepare.PAIRS_FOR_PROCESSES", least)
    found: list[psutil.Process] = []

    def look() -> None:
        found.extend(workers_of(os.getpid()))

    prepare(options(pairs, tmp_path / "out.zarr", **changes), progress=At(look))

    assert len(found) == processes


def test_workers_run_no_code_of_the_current_folder(
    pairs: Path, command: tuple[str, str], tmp_path: Path
) -> None:
    for name in ("selectors.py", "pickle.py", "pipelines.py", "cv2.py"):
        (tmp_path / name).write_text("raise SystemExit('foreign code')")
    places = (str(pairs), str(tmp_path / "out.zarr"), "--size", "32", "--workers", "2", "--quiet")
    done = subprocess.run(
        [*command, "prepare", *places], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 3, done.stderr  # for the file that is no photo
    assert "foreign" not in done.stderr
    assert "died" not in done.stderr


def have_started(run: int, _: Path) -> bool:
    return bool(workers_of(run))


def have_written(_: int, folder: Path) -> bool:
    return any(folder.glob(".*/*/*/rows.json"))


@pytest.mark.slow
@pytest.mark.parametrize("moment", [have_started, have_written])
@pytest.mark.parametrize(
    ("number", "code", "whom"),
    [(signal.SIGINT, 130, os.killpg), (signal.SIGTERM, 143, os.kill)],
    ids=["interrupt of a terminal", "termination of the run"],
)
def test_an_interrupted_run_ends_quietly_and_the_next_goes_on(
    *,
    pairs: Path,
    whole: dict[str, bytes],
    tmp_path: Path,
    number: int,
    code: int,
    whom: Callable[[int, int], None],
    moment: Callable[[int, Path], bool],
    command: tuple[str, str],
) -> None:
    folder, log = tmp_path / "made", tmp_path / "log"
    folder.mkdir()
    with started(*command, "prepare", *places(pairs, folder), log=log) as run:
        assert wait_until(lambda: moment(run.pid, folder), run), log.read_text()
        left = workers_of(run.pid)
        whom(run.pid, number)
        assert run.wait(60) == code, log.read_text()
    assert not psutil.wait_procs(left, 5)[1]
    said = log.read_text()
    assert "interrupted; run the command again" in said
    for noise in ("Traceback", "Error", "ignored", "leaked"):
        assert noise not in said
    prepare(options(pairs, folder / "out.zarr", workers=0))
    assert file_contents(folder) == whole


def test_workers_end_with_a_run_that_is_killed(
    pairs: Path, whole: dict[str, bytes], command: tuple[str, str], tmp_path: Path
) -> None:
    folder, log = tmp_path / "made", tmp_path / "log"
    folder.mkdir()
    with started(*command, "prepare", *places(pairs, folder), log=log) as run:
        assert wait_until(lambda: have_written(run.pid, folder), run), log.read_text()
        left = workers_of(run.pid)
        os.kill(run.pid, signal.SIGKILL)
        assert run.wait() == -signal.SIGKILL
        assert len(left) == 2
        assert not psutil.wait_procs(left, 5)[1]
        kill_group(run)
    prepare(options(pairs, folder / "out.zarr", workers=0))
    assert file_contents(folder) == whole


def places(pairs: Path, folder: Path) -> tuple[str, ...]:
    return (str(pairs), str(folder / "out.zarr"), "--size", "32", "--workers", "2")
