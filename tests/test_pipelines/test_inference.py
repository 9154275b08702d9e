import threading

import torch

from pipelines.inference import limit_threads


def test_threads_are_limited_in_each_thread_that_asks() -> None:
    found: dict[str, int] = {}

    def ask(name: str, count: int) -> None:
        limit_threads(count)
        found[name] = torch.get_num_threads()

    here = torch.get_num_threads()
    for name, count in (("first", 1), ("second", 2), ("third", 1)):
        thread = threading.Thread(target=ask, args=(name, count))
        thread.start()
        thread.join()

    assert found == {"first": 1, "second": 2, "third": 1}
    assert torch.get_num_threads() == here
