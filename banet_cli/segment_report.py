"""What `banet segment` tells people at the end: where the time went, what failed, what is where."""

from collections.abc import Iterator

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from banet_cli.durations import duration
from pipelines.output_folder import OutputFolder
from pipelines.photo_shards import Shard
from pipelines.segment_options import SegmentSummary

FAILURES_SHOWN = 10

OUTCOMES = {
    "ok": ("segmented", ""),
    "empty": ("without a person", "yellow"),
    "failed": ("failed", "bold red"),
    "skipped": ("unchanged since an earlier run", ""),
    "pending": ("still to be done", ""),
}
"""What may become of photos, in words and with a style."""


def segment_report(summary: SegmentSummary) -> Iterator[RenderableType]:
    """Yield the parts of the report, which begin on lines of their own."""
    if summary.stages:
        yield _time_table(summary)
        yield from _time_in_words(summary)
        yield ""
    yield _outcomes(summary)
    yield from _failures(summary)
    if summary.discovered > summary.pending:
        yield from _places(summary)


def _time_table(summary: SegmentSummary) -> Table:
    """Return where the CPU seconds went, stage by stage."""
    busy = sum(summary.stages.values())
    whole = busy if summary.usage.cpu_seconds is None else max(busy, summary.usage.cpu_seconds)
    done = _done(summary)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("stage")
    for header in ("CPU s", "share", "ms/photo", "waited s"):
        table.add_column(header, justify="right", no_wrap=True)

    def add(stage: str, seconds: float, waited: float | None = None, style: str = "") -> None:
        table.add_row(
            stage,
            f"{seconds:,.2f}",
            f"{seconds / whole:.0%}" if whole else "",
            f"{seconds / done * 1000:,.1f}" if done else "",
            "" if waited is None else f"{waited:,.2f}",
            style=style,
        )

    for stage, seconds in summary.stages.items():
        add(stage, seconds, summary.usage.waits.get(stage, 0.0))
    if summary.usage.cpu_seconds is not None:
        # Start-up, the handing out, the ledger, and threads that libraries started.
        add("other", whole - busy, style="dim")
    table.add_section()
    add("all", whole, sum(summary.usage.waits.values()), style="bold")
    return table


def _time_in_words(summary: SegmentSummary) -> Iterator[Text]:
    """Yield how long it took, and what the cores did meanwhile."""
    usage, wall = summary.usage, summary.wall_seconds
    yield Text.assemble(
        (f"{summary.images_per_second:,.1f} photos per second", "bold"),
        f": {_done(summary):,} in {duration(wall)}, of which {duration(usage.start_seconds)} "
        "went before the first",
    )
    if capacity := usage.cores * wall:
        cores = "1 core" if usage.cores == 1 else f"{usage.cores} cores"
        efficiency = sum(summary.stages.values()) / capacity
        text = f"efficiency {efficiency:.0%}: so much of the time of {cores} went into the stages"
        if usage.cpu_seconds is not None:
            left = max(0.0, 1 - usage.cpu_seconds / capacity)
            text += f"; {left:.0%} was idle or went to other programs"
        yield Text(text)


def _outcomes(summary: SegmentSummary) -> Text:
    """Return what became of the photos, and what did it."""
    text = Text(f"{summary.discovered:,} photo{'' if summary.discovered == 1 else 's'}")
    separator = ": "
    for name, (words, style) in OUTCOMES.items():
        if count := getattr(summary, name):
            text.append(separator)
            text.append(f"{count:,} {words}", style=style)
            separator = ", "
    if _done(summary):
        text.append(
            f"; by {summary.weights['name']} on {summary.device} in {summary.precision}",
        )
    return text


def _failures(summary: SegmentSummary) -> Iterator[Text]:
    """Yield the first failed photos with their reasons."""
    for failure in summary.failures[:FAILURES_SHOWN]:
        yield _unbroken(Text.assemble("  ", (failure.source, "red"), f": {failure.error}"))
    more = len(summary.failures) - FAILURES_SHOWN
    if more > 0:
        yield Text(f"  and {more:,} more, which the ledger lists")


def _places(summary: SegmentSummary) -> Iterator[Text]:
    """Yield where the results are."""
    shard = None if summary.shard is None else Shard.parse(summary.shard)
    ledger = OutputFolder(path=summary.out, shard=shard).ledger
    yield _unbroken(Text(f"results: {summary.out}"))
    yield _unbroken(Text(f"ledger:  {ledger}"))


def _done(summary: SegmentSummary) -> int:
    return summary.ok + summary.empty + summary.failed


def _unbroken(line: Text) -> Text:
    """Leave it to the terminal to break a line, so that paths can be copied."""
    line.no_wrap, line.overflow = True, "ignore"
    return line
