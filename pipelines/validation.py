"""Judging a network in training, and keeping the best weights."""

import logging
from dataclasses import asdict, replace

import numpy as np
from numpy.typing import NDArray

from pipelines.checkpoints import WeightsInfo, save_weights
from pipelines.errors import PhotoError
from pipelines.images import PERSON_FROM, Pixels
from pipelines.inference import Segmenter
from pipelines.runlog import PREVIEW_PHOTOS, RunLog
from pipelines.scoring import score_mask, summarise
from pipelines.trainingdata import LabelledPhoto, LabelledPhotos
from pipelines.trainstate import TrainState

logger = logging.getLogger(__name__)


class Validation:
    """Scores networks on the validation photos.

    The best weights are those of the greatest portrait IoU, averaged over the datasets that show
    people at all.

    Args:
        photos: By the name of the dataset.
        log: Where scores, pictures and the best weights go.
        info: What the metadata of the weights is to say, but for the scores; its `size` is the
            working size.
    """

    def __init__(
        self, photos: dict[str, LabelledPhotos], *, log: RunLog, info: WeightsInfo
    ) -> None:
        self._photos = photos
        self._log = log
        self._info = info
        self._decisive = [name for name, each in photos.items() if _show_somebody(each)] or list(
            photos
        )

    def __call__(self, state: TrainState) -> None:
        """Score the network that the state would give, and keep its weights if none were better.

        Args:
            state: Its `best` is changed.
        """
        segmenter = Segmenter(
            state.evaluated.eval(), device=state.device, dtype=state.dtype, size=self._info.size
        )
        answer = _Answer(segmenter)
        results = {
            name: summarise([score_mask(answer(each), each.mask) for each in photos])
            for name, photos in self._photos.items()
        }
        if answer.missing:
            logger.warning(
                "iteration %d: the network's answer to %d validation photos is not a number; it "
                "counts as wrong everywhere",
                state.iteration,
                answer.missing,
            )
        # Where nobody is to be seen, a photo scores 1 or, for a single wrong pixel, 0: such a
        # dataset says what goes wrong, but its mean is too coarse to choose weights by.
        chosen_by = [results[name].portrait_iou for name in self._decisive]
        mean_iou = sum(chosen_by) / len(chosen_by)
        values = {
            f"val/{name}/{key}": value
            for name, scores in results.items()
            for key, value in asdict(scores).items()
        }
        self._log.scalars(state.iteration, {"val/portrait_iou": mean_iou, **values})
        self._log.preview(state.iteration, self._previews(answer))
        logger.info(
            "iteration %d: portrait IoU %s",
            state.iteration,
            ", ".join(f"{name} {scores.portrait_iou:.4f}" for name, scores in results.items()),
        )
        if mean_iou >= state.best_iou:
            state.best = {
                "iteration": state.iteration,
                "portrait_iou": mean_iou,
                "validation": {name: scores.as_json() for name, scores in results.items()},
            }
            training = {**self._info.training, "best": state.best}
            save_weights(self._log.weights, state.evaluated, replace(self._info, training=training))

    def _previews(self, answer: "_Answer") -> list[tuple[Pixels, Pixels]]:
        """Segment the first few photos of every validation set."""
        return [
            (each.photo, (answer(each) * 255).round().astype(np.uint8))
            for samples in self._photos.values()
            for each in samples[:PREVIEW_PHOTOS]
        ]


class _Answer:
    """What a network makes of a photo; where that is not a number, the opposite of the truth.

    So that such a network never looks good, whether or not somebody is on the photo.
    """

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter
        self.missing = 0

    def __call__(self, labelled: LabelledPhoto) -> NDArray[np.float32]:
        try:
            return self._segmenter(labelled.photo, labelled.face)
        except PhotoError:
            self.missing += 1
            return (labelled.mask < PERSON_FROM).astype(np.float32)


def _show_somebody(photos: LabelledPhotos) -> bool:
    return any(mask.max() >= PERSON_FROM for _, mask, _ in photos)
