"""`banet segment --scheduler` against real processes of Dask, some of which are killed."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dask_cluster import Cluster, cluster
from made_photos import make_photos
from processes import BANET, kill_group, lines_in, started, wait_until
from segment_results import ledger, outputs

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt", reason="Windows knows no SIGKILL"),
]

PHOTOS = 120


def segment_far(folder: Path, dask: Cluster) -> tuple[str, ...]:
    """The command, without further options."""
    return (*BANET, "segment", str(folder), "--out", "far", "--scheduler", dask.address)


@pytest.fixture
def options(weights_file: str) -> tuple[str, ...]:
    return ("--weights", weights_file, "--precision", "fp32", "--json")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    make_photos(folder, PHOTOS, broken=(7, 90), width=160, height=120)
    return folder


def without_seconds(out: Path) -> dict[str, dict[str, Any]]:
    return {name: {**row, "seconds": None} for name, row in ledger(out).items()}


def test_a_worker_that_is_killed_in_mid_run_costs_nothing(
    banet: Callable[..., Any], folder: Path, options: tuple[str, ...], tmp_path: Path
) -> None:
    assert banet("segment", folder, "--out", "local", "--workers", "2", *options).exit_code == 3

    with (
        cluster(tmp_path / "cluster") as dask,
        started(*segment_far(folder, dask), *options, log=tmp_path / "log") as run,
    ):
        rows = tmp_path / "far/results.jsonl"
        assert wait_until(lambda: lines_in(rows) > 20, run), (tmp_path / "log").read_text()
        kill_group(dask.workers[0])
        (tmp_path / "far/masks/0000/.1.part").touch()  # which it may have left
        assert lines_in(rows) < PHOTOS - 20
        assert run.wait(100) == 3, (tmp_path / "log").read_text()

    far, local = tmp_path / "far", tmp_path / "local"
    assert not list(far.rglob(".*.part"))
    assert outputs(far) == outputs(local)
    assert without_seconds(far) == without_seconds(local)


def test_a_scheduler_that_is_killed_ends_the_run_and_another_one_takes_it_on(
    banet: Callable[..., Any], folder: Path, options: tuple[str, ...], tmp_path: Path
) -> None:
    rows = tmp_path / "far/results.jsonl"
    with (
        cluster(tmp_path / "first") as dask,
        started(*segment_far(folder, dask), *options, log=tmp_path / "log") as run,
    ):
        assert wait_until(lambda: lines_in(rows) > 20, run), (tmp_path / "log").read_text()
        dask.scheduler.send_signal(signal.SIGKILL)
        code = run.wait(100)
        said = (tmp_path / "log").read_text()
    assert code == 1, said
    assert "the Dask cluster lost the workers or the tasks of this run" in said
    assert "Traceback" not in said
    done = {name for name, row in ledger(tmp_path / "far").items() if row["status"] == "ok"}
    assert 20 <= len(done) + 2 < PHOTOS

    with cluster(tmp_path / "second") as dask:
        far = banet("segment", folder, "--out", "far", "--scheduler", dask.address, *options)

    assert far.exit_code == 3, far.stderr
    assert (far.summary["skipped"], far.summary["failed"]) == (len(done), 2)
    assert far.summary["ok"] == PHOTOS - 2 - len(done)
    assert all((tmp_path / "far" / name).is_file() for name in outputs(tmp_path / "far"))
