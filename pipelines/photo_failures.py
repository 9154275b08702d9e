"""Why a photo could not be segmented, in a sentence for its row of the ledger."""

import errno
import logging

import torch

from pipelines.devices import is_out_of_memory
from pipelines.errors import BanetError, MissingFileError, PhotoError
from pipelines.photo_tasks import TaskSettings
from pipelines.storage import Location

_NO_MORE_WRITING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})

logger = logging.getLogger(__name__)


def reason_of(error: Exception, source: str, settings: TaskSettings, *, device: str) -> str:
    """Return why a photo failed.

    Args:
        error: What was raised while it was segmented, or its results written.
        source: Of the photo.
        settings: Of the run.
        device: Of the network.

    Raises:
        MissingFileError: It is gone, and photos are being watched.
        BanetError: No photo can be segmented, or nothing written, any more.
    """
    match error:
        case MissingFileError() if settings.watching:
            raise error
        case PhotoError():
            return str(error)
        case BanetError():
            raise error
        case torch.OutOfMemoryError():  # of a GPU, where all photos take as much
            return (
                f"not enough memory on {device}, even for one photo at a time; "
                "end what else uses it, or take a smaller --size"
            )
        case OSError():
            _stop_if_nothing_can_be_written(error, settings.out)
            return f"cannot be written: {error.strerror or error}"
    if is_out_of_memory(error):
        return "not enough memory for a photo of this size"
    logger.error("%s: unexpected error", source, exc_info=error)
    return f"unexpected {type(error).__name__}: {error}"


def _stop_if_nothing_can_be_written(error: OSError, out: Location) -> None:
    if error.errno in _NO_MORE_WRITING:
        raise BanetError(
            f"{out}: {error.strerror}; make room or choose another --out, then run the same "
            "command again, which goes on from there"
        ) from error
