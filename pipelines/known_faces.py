"""The faces of a store's photos, for networks that take a face prior."""

import logging

from pipelines.face_prior import Face
from pipelines.store import Store

logger = logging.getLogger(__name__)


def known_faces(store: Store, indices: list[int], *, split: str) -> list[Face | None]:
    """Return the face of each photo, None where it is not known; warn of channels that are zero.

    Args:
        store: Holds the photos.
        indices: Of the photos.
        split: Whose they are, for the warning.
    """
    faces = store.faces(indices)
    if not any(faces):
        logger.warning(
            "%s: no landmarks for the split %r, so that its position and shape channels are zero",
            store.path,
            split,
        )
    elif store.reference is not None and not store.reference.mean_mask.any():
        logger.warning(
            "%s: the mean mask is empty, so that the shape channel of the split %r is zero",
            store.path,
            split,
        )
    return faces
