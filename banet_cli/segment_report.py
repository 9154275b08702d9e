"""What `banet segment` tells people at the end: where the time went, what failed, what is where."""

from collections.abc import Iterator

from rich import box
from rich.console import JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from banet_cli.durations import duration
from pipelines.output_folder import OutputFolder
from pipelines.photo_shards import Shard
from pipelines.segment_options import SegmentSummary

FAILURES_SHOWN = 10

LABEL_WIDTH = len("efficiency")
INDENT = " " * (LABEL_WIDTH + 1)

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
        yield from ("", _time_table(summary), "")
    yield _in_words(summary)
    yield from _failures(summary)
    if summary.discovered > summary.pending:
        yield from _places(summary)


def _time_table(summary: SegmentSummary) -> Table:
    """Return where the CPU seconds went, stage by stage."""
    busy = sum(summary.stages.values())
    whole = busy if summary.usage.cpu_seconds is None else max(busy, summary.usage.cpu_seconds)
    done = _done(summary)

    def cells(stage: str, seconds: float, waited: float | None = None) -> tuple[str, ...]:
        share = f"{seconds / whole:.0%}" if whole else ""
        per_photo = f"{seconds / done * 1000:,.1f}" if done else ""
        wait = "" if waited is None else f"{waited:,.2f}"
        return stage, f"{seconds:,.2f}", share, per_photo, wait

    table = Table(box=box.SIMPLE, pad_edge=False, show_edge=False, show_footer=True)
    total = cells("all", whole, sum(summary.usage.waits.values()))
    headers = ("stage", "CPU s", "share", "ms/photo", "waited s")
    for header, footer in zip(headers, total, strict=True):
        justify: JustifyMethod = "left" if header == "stage" else "right"
        table.add_column(header, footer, justify=justify, no_wrap=True)
    for stage, seconds in summary.stages.items():
        table.add_row(*cells(stage, seconds, summary.usage.waits.get(stage, 0.0)))
    if summary.usage.cpu_seconds is not None:
        # Start-up, the handing out, the ledger, and threads that libraries started.
        table.add_row(*cells("other", whole - busy), style="dim")
    return table


def _in_words(summary: SegmentSummary) -> Table:
    """Return how long it took, what the cores did meanwhile, and what became of the photos."""
    table = Table.grid(padding=(0, 1))
    table.add_column(width=LABEL_WIDTH)
    if _done(summary):
        before = duration(summary.usage.start_seconds, exact=True)
        table.add_row(
            "time",
            f"{duration(summary.wall_seconds, exact=True)}, {before} of it before the first photo; "
            f"[bold]{summary.images_per_second:,.1f} photos per second[/bold]",
        )
        table.add_row("efficiency", _efficiency(summary))
        where = f"{summary.weights['name']} on {summary.device} in {summary.precision}"
        table.add_row("network", Text(where))
    table.add_row("photos", _outcomes(summary))
    return table


def _efficiency(summary: SegmentSummary) -> str:
    """Return what the cores did meanwhile."""
    usage = summary.usage
    capacity = usage.cores * summary.wall_seconds
    cores = "1 core" if usage.cores == 1 else f"{usage.cores} cores"
    share = sum(summary.stages.values()) / capacity
    words = f"{share:.0%} of {cores} in the stages"
    if usage.cpu_seconds is None:
        return words
    left = max(0.0, 1 - usage.cpu_seconds / capacity)
    return f"{words}, {left:.0%} idle or with other programs"


def _outcomes(summary: SegmentSummary) -> Text:
    """Return what became of the photos."""
    text = Text(f"{summary.discovered:,} found")
    for name, (words, style) in OUTCOMES.items():
        if count := getattr(summary, name):
            text.append(", ")
            text.append(f"{count:,} {words}", style=style)
    return text


def _failures(summary: SegmentSummary) -> Iterator[Text]:
    """Yield the first failed photos with their reasons."""
    for failure in summary.failures[:FAILURES_SHOWN]:
        yield _unbroken(Text.assemble(INDENT, (failure.source, "red"), f": {failure.error}"))
    more = len(summary.failures) - FAILURES_SHOWN
    if more > 0:
        yield Text(f"{INDENT}and {more:,} more, which the ledger lists")


def _places(summary: SegmentSummary) -> Iterator[Text]:
    """Yield where the results are."""
    shard = None if summary.shard is None else Shard.parse(summary.shard)
    ledger = OutputFolder(path=summary.out, shard=shard).ledger
    yield _unbroken(Text(f"{'results':{LABEL_WIDTH}} {summary.out}"))
    yield _unbroken(Text(f"{'ledger':{LABEL_WIDTH}} {ledger}"))


def _done(summary: SegmentSummary) -> int:
    return summary.ok + summary.empty + summary.failed


def _unbroken(line: Text) -> Text:
    """Leave it to the terminal to break a line, so that paths can be copied."""
    line.no_wrap, line.overflow = True, "ignore"
    return line
