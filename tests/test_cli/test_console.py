"""Progress and tables."""

import io
import json

import pytest
from rich.console import Console as RichConsole

from banet_cli.console import Console
from banet_cli.progress import LiveProgress, PlainProgress
from banet_cli.tables import ROWS_SHOWN, summary_tables


def render(summary) -> str:
    console = RichConsole(file=io.StringIO(), width=200)
    for table in summary_tables(summary):
        console.print(table)
    return console.file.getvalue()


def set_clock(monkeypatch) -> list[float]:
    """Let progress read this clock."""
    seconds = [0.0]
    for module in ("progress", "snapshot"):
        monkeypatch.setattr(f"banet_cli.{module}.monotonic", lambda: seconds[0])
    return seconds


def test_plain_progress_says_how_it_ended(caplog):
    caplog.set_level("INFO")
    progress = PlainProgress()
    progress.start("segmenting", 4)
    for _ in range(3):
        progress.advance(status="1 failed")
    progress.finish()
    (message,) = caplog.messages
    assert message == "segmenting: 3 of 4, 75%, 1 failed"


def test_plain_progress_says_how_long_it_will_take(caplog, monkeypatch):
    caplog.set_level("INFO")
    seconds = set_clock(monkeypatch)
    progress = PlainProgress()
    progress.start("training", 100)
    seconds[0] = 30.0
    progress.advance(20)
    assert caplog.messages == ["training: 20 of 100, 20%, 0.67 per second, 2 min 00 s left"]


def test_plain_progress_grows_more_seldom_the_longer_it_takes(caplog, monkeypatch):
    caplog.set_level("INFO")
    seconds = set_clock(monkeypatch)
    progress = PlainProgress()
    progress.start("training", 8 * 3600)
    for seconds[0] in range(8 * 3600):
        progress.advance()
    assert 50 < len(caplog.messages) < 200


def test_plain_progress_says_something_now_and_then(caplog):
    caplog.set_level("INFO")
    progress = PlainProgress(interval=0)
    progress.start("listing", None)
    progress.advance()
    progress.advance(2)
    assert [message.split(",")[0] for message in caplog.messages] == [
        "listing: 1 done",
        "listing: 3 done",
    ]


def test_live_progress_draws_on_a_terminal():
    terminal = RichConsole(file=io.StringIO(), force_terminal=True, width=100)
    progress = LiveProgress(terminal)
    progress.start("segmenting [all]", 2)
    progress.advance(2, status="done")
    progress.finish()
    progress.close()
    assert "segmenting [all]" in terminal.file.getvalue()
    assert "2 of 2" in terminal.file.getvalue()


def test_no_live_bar_without_a_terminal():
    console = Console(json=False, log_format="text", quiet=False, verbose=False)
    with console.progress() as progress:
        assert isinstance(progress, PlainProgress)


def test_json_is_one_object_on_standard_output_and_nothing_else(capsys):
    console = Console(json=True, log_format="text", quiet=False, verbose=False)
    console.show({"source": "caf\udce9.jpg", "failed": 0})
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"source": "caf\udce9.jpg", "failed": 0}
    assert captured.err == ""


def test_quiet_shows_no_table(capsys):
    console = Console(json=False, log_format="text", quiet=True, verbose=False)
    console.show({"failed": 0})
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("value", "shown"), [(1234567, "1,234,567"), (0.25, "0.25"), (None, "-"), (True, "True")]
)
def test_values_are_shown_for_people(value, shown):
    assert shown in render({"key": value})


def test_scores_are_shown_per_cent():
    table = render({"results": [{"name": "banet-64", "portrait_iou": 0.93456}]})
    assert "portrait iou %" in table
    assert "93.46" in table


def test_names_are_not_taken_for_markup():
    assert "[bold]x.jpg" in render({"failures": [{"source": "[bold]x.jpg"}]})


def test_figures_of_networks_are_shown_with_their_spread():
    figures = {
        "name": "banet-64",
        "parameters": 612450,
        "gflops": 5.184160768,
        "precision": "bf16",
        "latency_ms": 48.1234,
        "latency_ms_p10": 47.0,
        "latency_ms_p90": 51.0,
        "fps": 20.78,
        "fps_ratio": None,
        "peak_memory_mb": 110.25,
    }
    (row,) = [line for line in render({"models": [figures]}).splitlines() if "banet-64" in line]
    assert row.split() == [
        "banet-64",
        "0.6125",
        "5.184",
        "bf16",
        "48.12",
        "±",
        "2",
        "20.78",
        "-",
        "110.2",
    ]


def test_long_lists_are_cut():
    table = render({"failures": [{"source": f"{index}.jpg"} for index in range(ROWS_SHOWN + 5)]})
    assert "and 5 more" in table
