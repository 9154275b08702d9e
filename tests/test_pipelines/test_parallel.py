import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask
import psutil
import pytest
from distributed import LocalCluster, get_worker
from pool_tasks import fail_at_three, process_of, square

from pipelines.errors import BanetError, ConfigError, InputError
from pipelines.interrupts import SAME_INTERRUPT_SECONDS
from pipelines.parallel import (
    WINDOW_PER_WORKER,
    Pool,
    available_cores,
    available_memory,
    has_dask_cuda,
    open_pool,
)


@pytest.fixture(scope="module")
def two_threads() -> Iterator[Pool]:
    with open_pool(workers=2) as pool:
        yield pool


@pytest.fixture(params=[False, True], ids=["threads", "processes"])
def two(request: pytest.FixtureRequest) -> Iterator[Pool]:
    with open_pool(workers=2, apart=request.param) as pool:
        yield pool


def thread_name(_: int) -> str:
    return threading.current_thread().name


def dask_setting(name: str) -> Any:
    return dask.config.get(name)


def extensions(_: int) -> list[str]:
    return list(get_worker().extensions)


def test_all_results_come_back(two: Pool) -> None:
    assert sorted(two.map(square, range(50))) == [number**2 for number in range(50)]
    assert two.workers == 2


def test_without_tasks_there_are_no_results(two: Pool) -> None:
    assert list(two.map(square, [])) == []


def test_threads_share_a_process(two_threads: Pool) -> None:
    assert two_threads.processes == 1
    assert set(two_threads.map(process_of, range(4))) == {os.getpid()}


def test_workers_are_other_threads_than_the_caller(two_threads: Pool) -> None:
    assert threading.current_thread().name not in set(two_threads.map(thread_name, range(8)))


def test_tasks_are_drawn_only_as_results_are_taken(two: Pool) -> None:
    drawn = []

    def tasks() -> Iterator[int]:
        for number in range(1000):
            drawn.append(number)
            yield number

    results = iter(two.map(square, tasks()))
    next(results)

    assert len(drawn) <= 2 * WINDOW_PER_WORKER + 1


def test_the_exception_of_a_task_is_raised(two: Pool) -> None:
    with pytest.raises(BanetError, match="three"):
        list(two.map(fail_at_three, range(6)))


def test_no_workers_means_the_calling_thread_in_order() -> None:
    with open_pool(workers=0) as pool:
        assert list(pool.map(square, [3, 1])) == [9, 1]
        assert list(pool.map(thread_name, [0])) == [threading.current_thread().name]
        assert (pool.workers, pool.processes) == (0, 1)


def interrupted(number: int) -> int:
    signal.raise_signal(signal.SIGINT)
    return number


def interrupted_twice(number: int) -> int:
    signal.raise_signal(signal.SIGINT)
    time.sleep(SAME_INTERRUPT_SECONDS + 0.1)
    signal.raise_signal(signal.SIGINT)
    return number


def test_an_interrupt_in_the_calling_thread_waits_for_the_task_whose_result_is_kept() -> None:
    with open_pool(workers=0) as pool:
        results = iter(pool.map(interrupted, [5]))
        with pytest.raises(KeyboardInterrupt):
            next(results)

        assert list(results) == [5]


def test_another_interrupt_in_the_calling_thread_waits_for_nothing() -> None:
    with open_pool(workers=0) as pool:
        results = iter(pool.map(interrupted_twice, [5]))
        with pytest.raises(KeyboardInterrupt):
            next(results)

        assert list(results) == []


@pytest.fixture
def dask_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands for dask-cuda, whose cluster is one of Dask that needs GPUs."""

    class LocalCUDACluster(LocalCluster):
        def __init__(self, *, device_memory_limit: None, **options: Any) -> None:
            assert device_memory_limit is None
            super().__init__(**options)

    monkeypatch.setitem(
        sys.modules, "dask_cuda", SimpleNamespace(LocalCUDACluster=LocalCUDACluster)
    )


@pytest.mark.usefixtures("dask_cuda")
def test_several_gpus_have_a_process_each_that_shares_the_workers() -> None:
    assert has_dask_cuda()

    with open_pool(workers=4, gpus=2) as pool:
        processes = set(pool.map(process_of, range(20)))
        # An interrupt of the run is the driver's to act on.
        assert set(pool.map(signal.getsignal, [signal.SIGINT, signal.SIGTERM])) == {signal.SIG_IGN}

    assert (pool.workers, pool.processes) == (4, 2)
    assert len(processes) == 2
    assert os.getpid() not in processes


@pytest.mark.usefixtures("dask_cuda")
def test_long_runs_on_gpus_remember_and_tick_no_more_than_in_threads() -> None:
    names = [
        "distributed.admin.tick.interval",
        "distributed.worker.profile.enabled",
        "distributed.admin.system-monitor.log-length",
        "distributed.diagnostics.computations.max-history",
    ]
    with open_pool(workers=1) as pool:
        in_threads = [*pool.map(dask_setting, names)]
    assert in_threads == ["1 s", False, 10, 1]

    # Other pools of this process, whose settings are open, would else set them for this one too.
    with dask.config.set(dict.fromkeys(names, 100)), open_pool(workers=2, gpus=2) as pool:
        assert [dask.config.get(name) for name in names] == in_threads  # of the scheduler
        for name, expected in zip(names, in_threads, strict=True):
            assert [*pool.map(dask_setting, [name] * 4)] == [expected] * 4
        assert [*pool.map(extensions, range(4))] == [[]] * 4
        assert not pool._client.cluster.scheduler.extensions


def test_dask_cuda_that_cannot_be_imported_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dask_cuda", None)
    assert not has_dask_cuda()


def test_a_negative_number_of_workers_is_refused() -> None:
    with pytest.raises(ConfigError, match="--workers -1"), open_pool(workers=-1):
        pass


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.dask_clusters.CONNECT_SECONDS", 0.5)

    with (
        pytest.raises(InputError, match=r"--scheduler tcp://127\.0\.0\.1:9"),
        open_pool(scheduler="tcp://127.0.0.1:9"),
    ):
        pass


def test_cores_are_those_that_this_process_may_use() -> None:
    assert 1 <= available_cores() <= (os.cpu_count() or 1)


def test_cores_are_no_more_than_the_quota_of_a_container(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.parallel.CPU_COUNT", 1)

    with open_pool() as pool:
        assert pool.workers == 1


def test_memory_is_that_of_this_machine_or_less() -> None:
    assert 10**8 < available_memory() <= psutil.virtual_memory().total


def memory_as_one_of(processes: int) -> int:
    return available_memory(processes=processes)


def test_memory_of_a_worker_is_no_more_than_its_limit() -> None:
    with (
        LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            processes=True,
            memory_limit="300MB",
            dashboard_address=None,
        ) as cluster,
        open_pool(scheduler=cluster.scheduler_address) as pool,
    ):
        most = available_memory()
        assert sorted(pool.map(memory_as_one_of, [1, most // 10**8])) == [
            most // (most // 10**8),
            300 * 10**6,
        ]


@pytest.mark.parametrize(
    ("lack", "message"),
    [
        ("sys.modules['pipelines'] = None", "cannot run banet .*install the same version"),
        ("import pipelines; pipelines.__version__ = '0.0.1'", r"has banet 0\.0\.1, this is"),
    ],
)
@pytest.mark.timeout(60)
def test_a_cluster_without_this_banet_is_told_from_a_bug(lack: str, message: str) -> None:
    with (
        LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
            preload=f"import sys\n{lack}",
        ) as cluster,
        pytest.raises(BanetError, match=message),
        open_pool(scheduler=cluster.scheduler_address),
    ):
        pass


def test_tasks_are_lost_neither_by_an_interrupt_nor_by_tasks_that_cannot_be_drawn(
    two_threads: Pool,
) -> None:
    def tasks() -> Iterator[int]:
        yield from range(6)
        raise KeyboardInterrupt

    results = two_threads.map(square, tasks())
    taken = []
    interrupted = False
    while True:
        try:
            taken.extend(results)
        except KeyboardInterrupt:
            interrupted = True
        else:
            break

    assert interrupted
    assert sorted(taken) == [0, 1, 4, 9, 16, 25]


def test_nothing_is_written_to_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with open_pool(workers=1) as pool:
        list(pool.map(square, [1]))

    assert list(tmp_path.iterdir()) == []
