"""Reads what a server holds ahead of who needs it: an answer takes longer than the work on it."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

READ_AHEAD = 16
"""Items at once, each of which may wait for an answer."""


def map_ahead(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield the results of a function in order, as `map` does, from threads that run ahead.

    Raises:
        Exception: What the function raised, where its result was due.
    """
    ahead: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(READ_AHEAD, "read-ahead")
    try:
        for item in items:
            ahead.append(pool.submit(function, item))
            if len(ahead) == READ_AHEAD:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
