"""A photo as a network sees it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.images import Pixels


@dataclass(frozen=True, kw_only=True)
class SeenPhoto:
    """A photo at the size in which a network sees it, ready to be computed.

    Attributes:
        small: RGB (h, w, 3): all of the photo, and nothing that was put around it.
        probability: Computes what an `Engine` returns. It needs the photo no more.
    """

    small: Pixels
    probability: Callable[[], NDArray[np.float32]]
