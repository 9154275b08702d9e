import threading
import time

from pipelines.budget import Budget


def test_shares_never_exceed_the_total_together() -> None:
    budget = Budget(10)
    held: list[int] = []
    highest: list[int] = []
    lock = threading.Lock()

    def hold(amount: int) -> None:
        with budget.taken(amount):
            with lock:
                held.append(amount)
                highest.append(sum(held))
            time.sleep(0.005)
            with lock:
                held.remove(amount)

    threads = [threading.Thread(target=hold, args=(amount,)) for amount in [3, 4, 10, 6] * 5]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert max(highest) == 10


def test_who_asks_for_more_than_there_is_works_alone() -> None:
    budget = Budget(10)
    entered = threading.Event()

    def hold() -> None:
        with budget.taken(1):
            entered.set()

    with budget.taken(1000):
        thread = threading.Thread(target=hold)
        thread.start()
        assert not entered.wait(0.05)
    thread.join()

    assert entered.is_set()


def test_a_share_grows_only_if_it_need_not_wait() -> None:
    budget = Budget(10)
    with budget.taken(2) as one, budget.taken(3):
        assert one.grow(7)
        assert budget.held == 10
        assert not one.grow(8)
        assert one.grow(5)  # it is that large
    assert budget.held == 0


def test_what_a_share_no_longer_needs_is_there_for_others() -> None:
    budget = Budget(10)
    with budget.taken(8) as one:
        one.shrink(3)
        assert budget.held == 3
        one.shrink(5)  # it is that small
        with budget.taken(7):
            assert budget.held == 10
    assert budget.held == 0
