"""How benchmarks begin and end."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import typer

from pipelines.errors import BanetError

INTERRUPTED = 130

logger = logging.getLogger(__name__)


def run_app(app: typer.Typer, arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; a mistake becomes a sentence.

    Args:
        app: Of commands that go on where they were stopped.
        arguments: None for those of this process.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        return app(args=arguments, standalone_mode=False) or 0
    except BanetError as error:
        logger.error("%s", error)  # noqa: TRY400 - the sentence is the message
        return 1
    except typer.Abort:
        logger.warning("stopped; the same command goes on from there")
        return INTERRUPTED
    except typer.Exit as error:
        return error.exit_code


@contextmanager
def told_in_a_sentence() -> Iterator[None]:
    """End a benchmark of one command where a mistake is found, with a sentence and exit code 1."""
    try:
        yield
    except BanetError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
