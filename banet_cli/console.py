"""What a command says: progress and messages on standard error, `--json` on standard output."""

import json as json_module
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

import typer
from rich.console import RenderableType

from banet_cli.logs import configure_logging, open_stderr
from banet_cli.options import LogFormat
from banet_cli.progress import LiveProgress, PlainProgress
from banet_cli.tables import summary_tables

logger = logging.getLogger(__name__)


class Summary(Protocol):
    """What every pipeline returns."""

    @property
    def exit_code(self) -> int:
        """The exit code that the run deserves: 0 or 3."""

    def as_json(self) -> dict[str, object]:
        """The summary as `--json` prints it."""


class Console:
    """The terminal of one command.

    Args:
        json: Print the summary on standard output, as JSON.
        log_format: Form of the messages on standard error.
        quiet: Show neither progress nor summaries for people.
        verbose: Log details and tracebacks.
    """

    def __init__(self, *, json: bool, log_format: LogFormat, quiet: bool, verbose: bool) -> None:
        self._json = json
        self._log_format = log_format
        self._quiet = quiet
        self._stderr = open_stderr()
        configure_logging(self._stderr, log_format=log_format, quiet=quiet, verbose=verbose)

    @contextmanager
    def progress(self) -> Iterator[LiveProgress | PlainProgress]:
        """Open the display of progress, and close it whatever happens."""
        is_live = (
            self._stderr.is_terminal
            and not self._stderr.is_dumb_terminal
            and self._log_format == "text"
            and not self._quiet
        )
        display = LiveProgress(self._stderr) if is_live else PlainProgress()
        try:
            yield display
        finally:
            display.close()

    def finish(self, summary: Summary, *, report: Iterable[RenderableType] | None = None) -> None:
        """Show a summary and end the command with its exit code.

        Args:
            summary: Of the run.
            report: What people read of it; by default tables of all but the versions.

        Raises:
            typer.Exit: Always.
        """
        self._show(summary.as_json, _tables(summary) if report is None else report)
        raise typer.Exit(summary.exit_code)

    def show(self, summary: dict[str, object]) -> None:
        """Show a summary in the form that was asked for; people read tables."""
        self._show(lambda: summary, summary_tables(summary))

    def _show(
        self, content: Callable[[], dict[str, object]], report: Iterable[RenderableType]
    ) -> None:
        if self._json:
            sys.stdout.write(json_module.dumps(content()) + "\n")
        elif self._log_format == "json":
            logger.info("finished", extra={"summary": content()})
        elif not self._quiet:
            for part in report:
                self._stderr.print(part)


def _tables(summary: Summary) -> Iterator[RenderableType]:
    yield from summary_tables(summary.as_json(), hidden=frozenset({"versions"}))
