from collections.abc import Callable

import pytest
import torch

from pipelines.timing import SAMPLE_SECONDS, clock_of, sample_in_turn


class Work:
    """Pretends to take a while, and notes when it was its turn."""

    def __init__(self, name: str, seconds: float, turns: list[str]) -> None:
        self.name, self.seconds, self._turns = name, seconds, turns

    def __call__(self) -> None:
        self._turns.append(self.name)


def pretended_clock(work: Work, times: int) -> float:
    for _ in range(times):
        work()
    return work.seconds * times


def turns_of(rounds: int) -> list[str]:
    turns: list[str] = []
    works = [Work(name, SAMPLE_SECONDS, turns) for name in "abcd"]
    sample_in_turn(works, clock=pretended_clock, rounds=rounds)
    return turns[2 * len(works) :]  # after warming up


def test_a_sample_is_the_time_of_doing_it_once() -> None:
    works = [Work("slow", 1.5, []), Work("fast", SAMPLE_SECONDS / 8, [])]
    samples = sample_in_turn(works, clock=pretended_clock, rounds=3)
    assert samples == [[1.5] * 3, [SAMPLE_SECONDS / 8] * 3]


def test_fast_work_is_repeated_until_a_sample_is_long_enough() -> None:
    turns: list[str] = []
    works = [Work("slow", 2 * SAMPLE_SECONDS, turns), Work("fast", SAMPLE_SECONDS / 8, turns)]
    sample_in_turn(works, clock=pretended_clock, rounds=1)
    assert turns.count("slow") == 2 + 1
    assert turns.count("fast") == 2 + 8


def test_every_round_takes_each_once() -> None:
    turns = turns_of(6)
    rounds = [turns[start : start + 4] for start in range(0, len(turns), 4)]
    assert all(sorted(order) == list("abcd") for order in rounds)


def test_the_order_changes_from_round_to_round_but_not_from_run_to_run() -> None:
    turns = turns_of(6)
    assert len({tuple(turns[start : start + 4]) for start in range(0, len(turns), 4)}) > 1
    assert turns == turns_of(6)


def test_every_sample_is_reported() -> None:
    reports: list[None] = []
    works = [Work(name, SAMPLE_SECONDS, []) for name in "abc"]
    sample_in_turn(works, clock=pretended_clock, rounds=2, advance=lambda: reports.append(None))
    assert len(reports) == 6


@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param(
            "cuda",
            marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
        ),
    ],
)
def test_clocks_do_the_work_so_many_times(device: str) -> None:
    matrix = torch.rand(64, 64, device=device)
    results: list[torch.Tensor] = []
    work: Callable[[], object] = lambda: results.append(matrix @ matrix)  # noqa: E731
    assert clock_of(torch.device(device))(work, 3) > 0
    assert len(results) == 3
