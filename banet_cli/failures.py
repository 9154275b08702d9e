"""The one map from what went wrong to the exit code and the sentence that a user reads."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from typer.exceptions import TyperException

logger = logging.getLogger(__name__)


class TerminationError(KeyboardInterrupt):
    """SIGTERM arrived. A pipeline treats it as it treats SIGINT: commit what is done, leave."""


@contextmanager
def completed_with(option: str) -> Iterator[None]:
    """Let an interrupt of a `with` block say which option completes what it cut short."""
    try:
        yield
    except KeyboardInterrupt as error:
        error.add_note(f"interrupted; run the command again with {option} to complete it")
        raise


def report_failure(error: BaseException) -> int:
    """Log an error as one sentence, its traceback only under `--verbose`; return the exit code."""
    logger.error("%s", _sentence(error), exc_info=error)
    return _exit_code(error)


def _exit_code(error: BaseException) -> int:
    from pipelines.errors import ConfigError, DeviceError, LockedError

    match error:
        case TyperException() | ConfigError():
            return 2
        case DeviceError():
            return 4
        case LockedError():
            return 5
        case TerminationError():
            return 143
        case KeyboardInterrupt():
            return 130
    return 1


def _sentence(error: BaseException) -> str:
    from pipelines.errors import BanetError

    match error:
        case BanetError():
            return str(error)
        case TyperException():
            return _usage_message(error)
        case KeyboardInterrupt(__notes__=[*_, advice]):
            return str(advice)
        case KeyboardInterrupt():
            return "interrupted; run the command again to complete it"
        case OSError(strerror=str(reason)):
            return f"{error.filename}: {reason}" if error.filename else reason
    return (
        f"this is a bug in banet ({type(error).__name__}: {error}); please report it together "
        "with the output of `banet info` and of this command with --verbose"
    )


def _usage_message(error: Any) -> str:
    """Return what a wrong command line is told: the mistake, where it stands, where help is."""
    context = getattr(error, "ctx", None)
    parameter = getattr(error, "param", None)
    message = error.format_message()
    if context is None:
        return str(message)
    if parameter is not None:
        source = context.get_parameter_source(parameter.name)
        if source is not None and source.name == "DEFAULT_MAP":
            message = f"{message} (set in {context.params['config']}, [{context.info_name}])"
    return f"{message.rstrip()} See `{context.command_path} --help`."
