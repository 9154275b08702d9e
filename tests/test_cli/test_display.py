"""What people see of `banet segment` while it runs and when it ends."""

import io
import json
import logging
import os
import re
import signal
from pathlib import Path

import pytest
from rich.console import Console as RichConsole

from banet_cli.durations import duration
from banet_cli.logs import configure_logging, release_logging
from banet_cli.pace import Pace
from banet_cli.progress import LiveProgress
from banet_cli.segment_report import FAILURES_SHOWN
from pipelines.progress import RunFigures

if os.name != "nt":
    from terminal import Terminal

needs_terminals = pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo-terminals")

GOOD, BROKEN = 20, 12


@pytest.fixture
def folder(tmp_path, write_photo) -> Path:
    """Photos, of which some are broken."""
    for index in range(GOOD):
        write_photo(tmp_path / f"photos/good-{index:02}.png", width=300, height=200, seed=index)
    for index in range(BROKEN):
        (tmp_path / f"photos/bad-{index:02}.jpg").write_bytes(b"broken")
    return tmp_path / "photos"


def bars(screen: list[str]) -> list[str]:
    return [line for line in screen if line.startswith(("Segmenting", "Watching"))]


def check_report(lines: list[str], run_file: Path) -> None:
    """Compare what people read with what machines read."""
    content = json.loads(run_file.read_text())
    words = [line.split() for line in lines]
    header = words.index(["stage", "CPU", "s", "share", "ms/photo", "waited", "s"])
    end = next(index for index, row in enumerate(words) if row[:1] == ["all"])
    table = {row[0]: row[1:] for row in words[header + 2 : end + 1] if len(row) > 1}
    assert list(content["stages"]) == [name for name in table if name not in ("other", "all")]
    done = GOOD + BROKEN
    for stage, seconds in content["stages"].items():
        assert table[stage][0] == f"{seconds:,.2f}"
        assert table[stage][2] == f"{seconds / done * 1000:,.1f}"
    whole = float(table["all"][0])
    assert whole == pytest.approx(
        sum(content["stages"].values()) + float(table["other"][0]), abs=0.02
    )
    assert table["all"][1] == "100%"
    parts = [f"{content['discovered']} found"]
    parts += [f"{content['ok']} segmented"] if content["ok"] else []
    parts += [f"{content['empty']} without a person"] if content["empty"] else []
    parts += [f"{content['failed']} failed"]
    text = "\n".join(lines)
    assert ", ".join(parts) in " ".join(text.split())
    assert text.count("bad-") == FAILURES_SHOWN
    assert f"and {BROKEN - FAILURES_SHOWN} more, which the ledger lists" in text


@needs_terminals
def test_a_narrow_terminal_shows_a_live_display_and_then_where_the_time_went(folder, weights_file):
    arguments = ("segment", str(folder), "--out", "cut", "--weights", weights_file)
    terminal = Terminal(*arguments, columns=60)
    assert terminal.wait() == 3

    assert all(len(bars(screen)) <= 1 for screen in terminal.screens)  # nothing is left behind
    live = "\n".join(line for screen in terminal.screens for line in screen[:4])
    assert f"0 of {GOOD + BROKEN}, 0%" in live
    assert re.search(r"0 failed, 0 empty", live)
    assert re.search(r"memory \d+\.\d of \d+\.\d GB", live)
    (bar,) = bars(terminal.screens[-1])
    assert f"{GOOD + BROKEN} of {GOOD + BROKEN}, 100%" in bar
    check_report(terminal.screens[-1], Path("cut/run.json"))
    rest = " ".join(" ".join(terminal.screens[-1]).split())
    assert re.search(r"efficiency \d+% of \d+ cores? in the stages, \d+% idle", rest)


@needs_terminals
def test_a_watch_shows_what_was_done_and_what_is_waiting(folder, weights_file, write_photo):
    arguments = ("--watch", "--stable-seconds", "0.5", "--weights", weights_file)
    terminal = Terminal("segment", str(folder), "--out", "cut", *arguments)
    terminal.wait_until(lambda screen: f"{GOOD + BROKEN} waiting" in "\n".join(screen))
    terminal.wait_until(
        lambda screen: re.search(
            rf"{GOOD + BROKEN} done.*\b0 waiting", "\n".join(screen), re.DOTALL
        )
    )
    terminal.resize(60)
    write_photo(folder / "late.png")
    terminal.wait_until(lambda screen: f"{GOOD + BROKEN + 1} done" in "\n".join(screen))
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.wait() == 130
    text = "\n".join(terminal.screens[-1])
    assert " left" not in text
    assert f"{BROKEN} failed" in text
    assert "interrupted" in text


def test_off_a_terminal_there_are_plain_lines_and_the_same_table(banet, folder, weights_file):
    outcome = banet("segment", folder, "--out", "cut", "--weights", weights_file)
    assert outcome.exit_code == 3
    assert "\x1b" not in outcome.stderr
    (line,) = [line for line in outcome.stderr.splitlines() if line.startswith("Segmenting")]
    assert line.startswith(f"Segmenting: {GOOD + BROKEN} of {GOOD + BROKEN}, 100%, ")
    assert f"{BROKEN} failed" in line
    check_report(outcome.stderr.splitlines(), Path("cut/run.json"))
    assert f"ledger     {Path.cwd()}/cut/results.jsonl" in outcome.stderr


def test_a_run_with_nothing_to_do_has_no_table(banet, folder, weights_file):
    arguments = ("segment", folder / "good-00.png", "--out", "cut", "--weights", weights_file)
    banet(*arguments)
    outcome = banet(*arguments)
    assert outcome.exit_code == 0
    assert "1 found, 1 unchanged since an earlier run" in outcome.stderr
    assert "CPU s" not in outcome.stderr


def test_a_shard_names_its_own_ledger(banet, folder, weights_file):
    arguments = ("--out", "cut", "--weights", weights_file, "--shard", "1/2")
    outcome = banet("segment", folder, *arguments)
    assert "cut/results.1-of-2.jsonl" in outcome.stderr


def test_a_dry_run_says_what_there_is_to_do(banet, folder, weights_file):
    outcome = banet("segment", folder, "--weights", weights_file, "--dry-run")
    assert f"{GOOD + BROKEN} found, {GOOD + BROKEN} still to be done" in outcome.stderr
    assert "ledger" not in outcome.stderr


def test_quiet_says_nothing(banet, folder, weights_file):
    outcome = banet("segment", folder, "--weights", weights_file, "--quiet")
    assert (outcome.exit_code, outcome.stdout, outcome.stderr) == (3, "", "")


def test_json_has_what_the_run_file_has(banet, folder, weights_file):
    outcome = banet("segment", folder, "--out", "cut", "--weights", weights_file, "--json")
    assert outcome.summary.keys() == json.loads(Path("cut/run.json").read_text()).keys()
    assert "CPU s" not in outcome.stderr


def test_logs_as_json_have_the_figures_as_fields(banet, folder, weights_file):
    outcome = banet("segment", folder, "--weights", weights_file, "--log-format", "json")
    records = [json.loads(line) for line in outcome.stderr.splitlines()]
    (progress,) = [record["progress"] for record in records if "progress" in record]
    (summary,) = [record["summary"] for record in records if "summary" in record]
    assert progress["done"] == progress["total"] == summary["discovered"] == GOOD + BROKEN
    assert progress["failed"] == summary["failed"] == BROKEN
    assert progress["empty"] == summary["empty"]
    assert 0 < progress["memory_bytes"] < progress["memory_limit_bytes"]


@needs_terminals
def test_messages_do_not_tear_the_display():
    import pyte

    output = io.StringIO()
    console = RichConsole(file=output, force_terminal=True, width=60)
    configure_logging(console)
    progress = LiveProgress(console)
    try:
        progress.start("Segmenting", 3, lambda: figures(failed=1))
        for index in range(3):
            logging.getLogger("pipelines").warning("photo %d: %s", index, "long " * 20)
            progress.advance()
        progress.finish()
    finally:
        progress.close()
        release_logging()
    screen = pyte.Screen(60, 30)
    pyte.Stream(screen).feed(output.getvalue().replace("\n", "\r\n"))
    lines = [line.rstrip() for line in screen.display]
    assert len(bars(lines)) == 1
    assert "".join(lines).count("long") == 60
    assert [line[:16] for line in lines if line.startswith("warning")] == [
        f"warning: photo {index}" for index in range(3)
    ]


def figures(**changes) -> RunFigures:
    known = {"failed": 0, "empty": 0, "waiting": None, "busy_seconds": 1.0, "cores": 2}
    return RunFigures(**{**known, "memory": None, "memory_limit": None, "gpu": None, **changes})


def test_failures_stand_out_on_a_terminal():
    console = RichConsole(file=io.StringIO(), force_terminal=True, width=80)
    progress = LiveProgress(console)
    progress.start("Segmenting", 3, lambda: figures(failed=2, gpu=0.5))
    progress.close()
    written = console.file.getvalue()
    assert "\x1b[1;31m2 failed\x1b[0m" in written
    assert "GPU 50%" in written


def test_the_pace_forgets_the_start_up_and_notices_a_stall():
    pace = Pace(10, now=0)
    pace.add(2, now=8)  # 7 seconds of it to load libraries
    assert pace.rate(now=8) == pytest.approx(0.25)
    for second in range(9, 60):
        pace.add(2, now=second)
    assert pace.rate(now=60) == pytest.approx(2)
    assert pace.rate(now=65) == pytest.approx(2)  # two big photos may take so long
    assert pace.rate(now=600) < 0.1


def test_the_pace_does_not_jump_with_lumps():
    pace = Pace(10, now=0)
    rates = []
    for second in range(1, 200):
        if second % 3 == 0:
            pace.add(6, now=second)
        if second > 30:
            rates.append(pace.rate(now=second))
    assert min(rates) == pytest.approx(2)
    assert max(rates) == pytest.approx(2)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (4.2, "4 s"),
        (59.6, "1 min 00 s"),
        (310, "5 min 10 s"),
        (7500, "2 h 05 min"),
        (90000, "1 d 1 h"),
    ],
)
def test_times_are_said_in_two_units(seconds, said):
    assert duration(seconds) == said


def test_short_times_may_have_tenths():
    assert duration(4.23, exact=True) == "4.2 s"
