"""Messages on standard error, as text for people or as one JSON object per line for machines."""

import json
import logging
from datetime import UTC, datetime

from rich.console import Console as RichConsole
from rich.text import Text

from banet_cli.options import LogFormat

STRUCTURED = ("progress", "summary")
"""What records may carry besides a message, for machines."""

OWN_LOGGERS = ("banet_cli", "models", "pipelines")


PLAIN_WIDTH = 200
"""Columns where no terminal sets a width: log files should not break paths."""


def open_stderr() -> RichConsole:
    """Return standard error, with colours and live bars only on a terminal."""
    stderr = RichConsole(stderr=True)
    return stderr if stderr.is_terminal else RichConsole(stderr=True, width=PLAIN_WIDTH)


def configure_logging(
    stderr: RichConsole,
    *,
    log_format: LogFormat = "text",
    quiet: bool = False,
    verbose: bool = False,
) -> None:
    """Send log records to `stderr`, other libraries' only if they matter to a user.

    Args:
        stderr: Where to.
        log_format: Form of a message.
        quiet: Only warnings and errors.
        verbose: Details and tracebacks, and the warnings of other libraries.
    """
    release_logging()
    handler = _Handler(stderr, show_tracebacks=verbose)
    handler.setFormatter(_JsonFormatter() if log_format == "json" else _TextFormatter())
    foreign_level = logging.WARNING if verbose else logging.ERROR
    handler.addFilter(lambda record: _is_own(record) or record.levelno >= foreign_level)
    logging.getLogger().addHandler(handler)
    level = logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO
    for name in OWN_LOGGERS:
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(capture=True)


def release_logging() -> None:
    """Undo `configure_logging`."""
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _Handler)]:
        root.removeHandler(handler)
    logging.captureWarnings(capture=False)


def _is_own(record: logging.LogRecord) -> bool:
    return record.name.split(".")[0] in OWN_LOGGERS


class _Handler(logging.Handler):
    """Writes through the rich console, so that messages do not tear a live progress bar."""

    def __init__(self, stderr: RichConsole, *, show_tracebacks: bool) -> None:
        super().__init__()
        self._stderr = stderr
        self._show_tracebacks = show_tracebacks

    def emit(self, record: logging.LogRecord) -> None:
        if not self._show_tracebacks:
            record.exc_info = record.exc_text = None
        self._stderr.print(Text(self.format(record)), soft_wrap=True)


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if record.levelno == logging.INFO:
            return text
        return f"{record.levelname.lower()}: {text}"


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, tz=UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        for name in STRUCTURED:
            if content := getattr(record, name, None):
                fields[name] = content
        return json.dumps(fields)
