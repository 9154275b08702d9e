"""What `banet prepare` tells people at the end: the accounting, and what the doctor found."""

from collections.abc import Iterator

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from banet_cli.tables import summary_tables
from pipelines.doctor.findings import KINDS, Finding
from pipelines.prepare_options import PrepareSummary

STYLES = {"error": "bold red", "warning": "yellow", "note": ""}


def prepare_report(summary: PrepareSummary) -> Iterator[RenderableType]:
    """Yield the parts of the report."""
    yield from summary_tables(summary.accounting(), hidden=frozenset({"findings"}))
    if summary.findings:
        yield _findings_table(summary)


def _findings_table(summary: PrepareSummary) -> Table:
    """Return a row for each kind of finding: how many, the first of them, and what to do."""
    firsts: dict[str, tuple[str, Finding]] = {}
    for name, finding in summary.found():
        firsts.setdefault(finding.kind, (name, finding))
    table = Table(box=box.SIMPLE_HEAD, show_lines=False)
    for column in ("found", "count", "for example", "what to do"):
        table.add_column(
            column,
            justify="right" if column == "count" else "left",
            no_wrap=column in {"found", "count"},
            overflow="fold",
        )
    for kind, count in summary.findings.items():
        name, first = firsts[kind]
        table.add_row(
            Text(kind, style=STYLES[KINDS[kind].severity]),
            f"{count:,}",
            Text(f"{name}: {first.message}"),
            KINDS[kind].remedy,
        )
    return table
