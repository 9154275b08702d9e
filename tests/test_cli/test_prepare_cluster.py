"""`banet prepare --scheduler` against real processes of Dask, one of which is killed."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dask_cluster import cluster
from figures import write_pairs
from file_contents import file_contents
from processes import BANET, kill_group, started, wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt", reason="Windows knows no SIGKILL"),
]

COUNT = 460
SIZE = ("--size", "64", "--json")


def test_a_worker_that_is_killed_in_mid_run_costs_nothing(
    banet: Callable[..., Any], tmp_path: Path
) -> None:
    write_pairs(tmp_path / "pairs", COUNT)
    (tmp_path / "pairs/images/05.png").write_bytes(b"no photo")
    assert banet("prepare", "pairs", "local/out.zarr", *SIZE).exit_code == 3

    aside, log = tmp_path / "far/.out.zarr.partial", tmp_path / "log"
    with cluster(tmp_path / "cluster") as dask:
        far = (*BANET, "prepare", "pairs", "far/out.zarr", "--scheduler", dask.address, *SIZE)
        with started(*far, log=log) as run:
            assert wait_until(lambda: any(aside.glob("parts-*/*/rows.json")), run), log.read_text()
            kill_group(dask.workers[0])
            assert not (tmp_path / "far/out.zarr").exists()
            assert run.wait(100) == 3, log.read_text()

    assert file_contents(tmp_path / "far") == file_contents(tmp_path / "local")
