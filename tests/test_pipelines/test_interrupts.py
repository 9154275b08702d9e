import signal
import time

import pytest

from pipelines.interrupts import SIGNALS, interrupts_deferred

reached: list[str] = []


@pytest.fixture(autouse=True)
def nothing_reached() -> None:
    reached.clear()


def interrupted_once() -> None:
    with interrupts_deferred() as received:
        signal.raise_signal(signal.SIGINT)
        assert received == [signal.SIGINT]
        reached.append("end")


def interrupted_and_failed() -> None:
    with interrupts_deferred():
        signal.raise_signal(signal.SIGINT)
        raise ValueError


def interrupted_twice(patience: float) -> None:
    with interrupts_deferred(patience=patience, at_first=lambda: reached.append("first")):
        signal.raise_signal(signal.SIGINT)
        time.sleep(0.1)
        signal.raise_signal(signal.SIGINT)
        reached.append("end")


def test_an_interrupt_comes_at_the_end_of_the_block() -> None:
    handlers = [signal.getsignal(number) for number in SIGNALS]
    with pytest.raises(KeyboardInterrupt):
        interrupted_once()
    assert reached == ["end"]
    assert [signal.getsignal(number) for number in SIGNALS] == handlers


def test_an_interrupt_is_not_lost_where_the_block_fails() -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupted_and_failed()


@pytest.mark.parametrize(("patience", "expected"), [(10, ["first", "end"]), (0.05, ["first"])])
def test_the_first_is_told_of_and_patience_ends(patience: float, expected: list[str]) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupted_twice(patience)
    assert reached == expected
