import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from pool_tasks import (
    die_at_three,
    die_once,
    fail_at_three,
    leave,
    process_of,
    raise_unreadable,
    raise_unsendable,
    same,
    sleep,
    square,
    stop_iteration,
    survive_interrupts,
    unsendable,
    warn,
)
from worker_processes import workers_of

from pipelines.errors import BanetError
from pipelines.parallel import Pool, open_pool

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows knows no SIGKILL")


@pytest.fixture
def two() -> Iterator[Pool]:
    with open_pool(workers=2, apart=True) as pool:
        yield pool


def test_workers_are_other_processes(two: Pool) -> None:
    found = set(two.map(process_of, range(8)))
    assert len(found) == two.processes == 2
    assert os.getpid() not in found


@pytest.mark.parametrize(
    ("function", "match"),
    [
        (fail_at_three, "^three"),
        (die_at_three, "died 4 times over the same work, the last of SIGKILL"),
    ],
)
def test_where_a_task_fails_the_others_go_on(
    two: Pool, function: Callable[[int], int], match: str
) -> None:
    results = iter(two.map(function, range(6)))
    found = []
    with pytest.raises(BanetError, match=match):
        found.extend(iter(lambda: next(results), None))
    found.extend(results)
    assert set(found) <= {0, 1, 2, 4, 5}
    assert {4, 5} <= set(found)


def test_after_an_interrupt_tasks_in_flight_come_to_their_end(two: Pool) -> None:
    results = iter(two.map(sleep, [0.5, 0.5]))
    threading.Timer(0.2, signal.raise_signal, [signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):
        next(results)
    assert list(results) == [0.5, 0.5]


def test_workers_leave_interrupts_to_the_driver(two: Pool) -> None:
    assert set(two.map(survive_interrupts, range(4))) <= set(two.map(process_of, range(8)))


def test_warnings_of_packages_do_not_come_on_standard_error(
    two: Pool, capfd: pytest.CaptureFixture[str]
) -> None:
    list(two.map(warn, range(4)))
    assert capfd.readouterr().err == ""


def test_what_a_worker_that_is_killed_had_in_work_is_done_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_pool(workers=2, apart=True) as pool:
        markers = [tmp_path / str(number) for number in range(6)]
        markers[0].touch()
        assert sorted(pool.map(die_once, markers[:2])) == ["0", "1"]
        assert "a worker process died of SIGKILL" in caplog.text
        assert sorted(pool.map(square, range(4))) == [0, 1, 4, 9]


def test_idle_workers_that_are_killed_are_replaced(caplog: pytest.LogCaptureFixture) -> None:
    with open_pool(workers=6, apart=True) as pool:
        first = set(pool.map(process_of, range(18)))
        assert len(first) == 6
        left = workers_of(os.getpid())
        for worker in left:
            worker.kill()
        psutil.wait_procs(left, 0.5)  # they are dead, but nobody has waited for them
        second = set(pool.map(process_of, [0]))
        assert len(second) == 1
        assert not first & second
    assert "died" not in caplog.text


def test_messages_larger_than_pipes_come_through(two: Pool) -> None:
    texts = [str(number) * 3_000_000 for number in range(6)]
    assert sorted(two.map(same, texts)) == texts


def test_errors_say_where_in_the_worker_they_were_raised(two: Pool) -> None:
    with pytest.raises(BanetError) as caught:
        list(two.map(fail_at_three, [3]))
    assert "in fail_at_three" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("task", "match"),
    [
        (raise_unsendable, "UnsendableError: disk full"),
        (raise_unreadable, "UnreadableError: disk full"),
        (leave, "SystemExit: 3"),
        (stop_iteration, "StopIteration"),
    ],
)
def test_what_errors_that_cannot_be_sent_say_is_told(
    two: Pool, task: Callable[[int], None], match: str
) -> None:
    with pytest.raises(RuntimeError, match=match):
        list(two.map(task, [0]))


def test_results_that_cannot_be_sent_are_an_error(two: Pool) -> None:
    with pytest.raises((TypeError, AttributeError), match="pickle"):
        list(two.map(unsendable, [0]))


def test_an_error_that_leaves_the_block_ends_workers_amid_their_work() -> None:
    started = time.monotonic()
    with suppress(KeyboardInterrupt), open_pool(workers=2, apart=True) as pool:
        next(iter(pool.map(sleep, [0.1, 60.0, 60.0])))
        raise KeyboardInterrupt
    assert time.monotonic() - started < 30
    assert not psutil.wait_procs(workers_of(os.getpid()), 5)[1]
