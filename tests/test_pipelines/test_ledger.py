import json
import logging
from dataclasses import fields
from pathlib import Path

import pytest

from pipelines.ledger import Ledger, LedgerRow, read_ledger


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
        "source size mtime_ns sha256 status mask composite width height coverage confidence "
        "error seconds fingerprint"
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


def test_unknown_keys_of_a_newer_version_are_passed_over(path: Path) -> None:
    content = json.loads(row("a.jpg").to_line()) | {"mood": "sunny"}
    path.write_text(json.dumps(content) + "\n")

    assert read_ledger(path) == {"a.jpg": row("a.jpg")}


def test_an_absent_ledger_is_empty(path: Path) -> None:
    assert read_ledger(path) == {}
