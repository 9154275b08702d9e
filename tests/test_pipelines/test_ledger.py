import json
import logging
import tracemalloc
from collections.abc import Iterator
from dataclasses import fields
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from pipelines import line_order
from pipelines.ledger import Ledger, LedgerRow, ledger_rows, read_ledger


def row(source: str, **changes: object) -> LedgerRow:
    values = {"status": "ok", "seconds": 0.1, "fingerprint": "f", **changes}
    return LedgerRow(source=source, **values)  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results.jsonl"


def test_rows_survive_a_round_trip(path: Path) -> None:
    written = row("ü/\udcff.jpg", size=3, mtime_ns=10**18, sha256="ab", coverage=0.25)

    with Ledger(path, {}) as ledger:
        ledger.append([written])

    assert read_ledger(path) == {"ü/\udcff.jpg": written}


def test_a_row_has_the_documented_keys(path: Path) -> None:
    with Ledger(path, {}) as ledger:
        ledger.append([row("a.jpg")])

    documented = (
        "source size mtime_ns etag sha256 status mask composite width height coverage confidence "
        "error note seconds fingerprint"
    )
    assert list(json.loads(path.read_text())) == documented.split()
    assert len(fields(LedgerRow)) == len(documented.split())


def test_a_row_is_on_disk_as_soon_as_it_is_appended(path: Path) -> None:
    with Ledger(path, {}) as ledger:
        ledger.append([row("a.jpg")])

        assert set(read_ledger(path)) == {"a.jpg"}


def test_the_last_row_of_a_photo_counts_and_the_closed_ledger_has_one_each(path: Path) -> None:
    with Ledger(path, {"b.jpg": row("b.jpg"), "a.jpg": row("a.jpg", status="failed")}) as ledger:
        ledger.append([row("a.jpg")])

        assert read_ledger(path)["a.jpg"].status == "ok"

    sources = [json.loads(line)["source"] for line in path.read_text().splitlines()]
    assert sources == ["a.jpg", "b.jpg"]


def test_rows_in_any_order_are_closed_in_that_of_their_photos(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_order, "LINES_AT_ONCE", 7)  # many parts
    names = [f"{number:03}.jpg" for number in range(100)]
    earlier = {name: row(name, seconds=1.0) for name in names[::3]}
    shuffled = np.random.default_rng(0).permutation(names[:90]).tolist()

    with Ledger(path, earlier) as ledger:
        ledger.append(row(name, seconds=2.0) for name in shuffled)
        ledger.append(row(name, seconds=3.0) for name in shuffled[:50])

    closed = list(ledger_rows(path))
    assert [each.source for each in closed] == sorted(names[:90] + names[90::3])
    assert {each.source for each in closed if each.seconds == 3} == set(shuffled[:50])
    assert {each.source for each in closed if each.seconds == 1} == set(names[90::3])


def test_closing_a_longer_ledger_takes_hardly_more_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_order, "LINES_AT_ONCE", 500)

    def peak(rows: int) -> int:
        ledger = Ledger(tmp_path / f"{rows}.jsonl", {})
        with ledger:
            ledger.append(row(f"folder/photo-{number:06}.jpg") for number in range(rows))
            tracemalloc.start()
        try:
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1000)  # what only the first one needs
    assert (peak(5000) - peak(1000)) / 4000 < 60  # bytes per row, which has 260 in the file


def test_remembered_rows_are_the_newest_and_take_little_memory(path: Path) -> None:
    def rows(*, seconds: float) -> Iterator[LedgerRow]:
        names = (f"folder/photo-{number:04}.jpg" for number in range(2000))
        return (row(name, seconds=seconds, sha256="0" * 64, mask="m" * 40) for name in names)

    earlier = {each.source: each for each in rows(seconds=1.0)}
    tracemalloc.start()
    try:
        with Ledger(path, earlier, remember=True) as ledger:
            ledger.append(islice(rows(seconds=2.0), 1000, None))
            held = tracemalloc.get_traced_memory()[0]
            seconds = [each.seconds for each in ledger.rows.values()]
    finally:
        tracemalloc.stop()

    assert seconds == 1000 * [1.0] + 1000 * [2.0]
    assert held / 2000 < 250  # a row alone takes 500


def test_the_ledger_is_whole_after_an_exception(path: Path) -> None:
    def interrupted_run() -> None:
        with Ledger(path, {}) as ledger:
            ledger.append([row("a.jpg")])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted_run()

    assert set(read_ledger(path)) == {"a.jpg"}


@pytest.mark.parametrize("tail", ['{"source": "b.j', "\x00\x00", "[1, 2]", '{"source": "b"}', "7"])
def test_damaged_lines_cost_only_their_own_photo(
    path: Path, tail: str, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_bytes(row("a.jpg").to_line() + tail.encode())

    with caplog.at_level(logging.WARNING):
        rows = read_ledger(path)
    with Ledger(path, rows) as ledger:
        ledger.append([row("c.jpg")])

    assert set(read_ledger(path)) == {"a.jpg", "c.jpg"}
    assert "1 unreadable lines" in caplog.text


@pytest.mark.parametrize(
    "wrong", [{"mask": 5}, {"status": "fine"}, {"status": []}, {"size": "3"}, {"source": None}]
)
def test_a_line_with_values_of_the_wrong_type_is_damaged(
    path: Path, wrong: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    path.write_text(json.dumps(json.loads(row("a.jpg").to_line()) | wrong) + "\n")

    with caplog.at_level(logging.WARNING):
        assert read_ledger(path) == {}

    assert "1 unreadable lines" in caplog.text


def test_a_photo_that_was_begun_again_does_not_count_as_done_when_the_run_dies(path: Path) -> None:
    earlier = {"a.jpg": row("a.jpg", mask="masks/a.png"), "b.jpg": row("b.jpg")}
    with Ledger(path, earlier) as ledger:
        ledger.append(earlier.values())
        ledger.begin(["a.jpg", "new.jpg"])

        rows = read_ledger(path)

    assert (rows["a.jpg"].status, rows["a.jpg"].mask) == ("failed", "masks/a.png")
    assert rows["b.jpg"].status == "ok"
    assert "new.jpg" not in rows


def test_opening_does_not_rewrite_the_file(path: Path) -> None:
    path.write_bytes(row("a.jpg").to_line())
    before = path.stat().st_ino

    with Ledger(path, read_ledger(path)):
        assert path.stat().st_ino == before


def test_unknown_keys_of_a_newer_version_are_passed_over(path: Path) -> None:
    content = json.loads(row("a.jpg").to_line()) | {"mood": "sunny"}
    path.write_text(json.dumps(content) + "\n")

    assert read_ledger(path) == {"a.jpg": row("a.jpg")}


def test_an_absent_ledger_is_empty(path: Path) -> None:
    assert read_ledger(path) == {}
