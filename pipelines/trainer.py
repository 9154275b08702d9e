"""The training loop."""

import logging
import math
from dataclasses import asdict, replace

import numpy as np

from models import MODELS, normalize
from models.losses import BANetLoss, LossTerms
from pipelines.augmentation.render import Batch
from pipelines.batches import BatchSource
from pipelines.checkpoints import WeightsInfo, save_weights
from pipelines.devices import autocast, memory_limit_explained
from pipelines.errors import BanetError
from pipelines.images import PERSON_FROM, Pixels
from pipelines.inference import Segmenter
from pipelines.interrupts import interrupts_deferred
from pipelines.progress import Progress
from pipelines.recipes import Recipe
from pipelines.runlog import PREVIEW_PHOTOS, RunLog
from pipelines.scoring import score_mask, summarise
from pipelines.trainingdata import Photos, TrainingData
from pipelines.trainstate import TrainState

LOG_EVERY = 20

logger = logging.getLogger(__name__)


class Trainer:
    """Trains a network by a recipe, from wherever its state stands.

    Args:
        recipe: What to do in which iteration.
        data: What to learn from and what to be judged by; the best weights are those of the
            greatest portrait IoU, averaged over the datasets that show people at all.
        state: Network, optimizer and position; it is changed.
        log: Where results and checkpoints go.
        seed: Of the order of samples and the augmentation.
        info: What the metadata of the weights is to say, but for the scores.
        progress: Is told of every step.
    """

    def __init__(
        self,
        *,
        recipe: Recipe,
        data: TrainingData,
        state: TrainState,
        log: RunLog,
        seed: int,
        info: WeightsInfo,
        progress: Progress,
    ) -> None:
        self.recipe = recipe
        self.data = data
        self.state = state
        self.log = log
        self.info = info
        self.progress = progress
        self.source = BatchSource(data.training, recipe, seed=seed, device=state.device)
        self.decisive = [
            name for name, photos in data.validation.items() if _show_somebody(photos)
        ] or list(data.validation)
        refines = MODELS[info.model].refine_loss
        self.criteria = {
            stage: BANetLoss(refine_weight=stage.refine_weight * refines).to(state.device)
            for stage in recipe.stages
        }

    def run(self) -> None:
        """Train to the end of the recipe, validating and saving on the way.

        Raises:
            BanetError: The loss is no longer finite, or the device has too little memory.
        """
        state = self.state
        self.progress.start("training", self.recipe.iterations - state.iteration)
        advice = (
            f"{state.device}: not enough memory for this batch; use a smaller --batch-size or "
            "--size"
        )
        try:
            with memory_limit_explained(advice):
                for batch in self.source.batches(state.iteration):
                    # A step is taken wholly or not at all, so that the state can be saved.
                    with interrupts_deferred():
                        self.advance(batch)
        except KeyboardInterrupt:
            state.save(self.log.last)
            logger.warning(
                "saved at iteration %d; add --resume to go on from there", state.iteration
            )
            raise
        self.progress.finish()

    def advance(self, batch: Batch) -> None:
        """Train on one batch; log, validate and save when it is time."""
        state, recipe = self.state, self.recipe
        terms = self.step(batch)
        if state.iteration % LOG_EVERY == 0:
            self.record(terms)
        self.progress.advance(1, f"loss {terms.total.item():.3f}")
        at_end = state.iteration == recipe.iterations
        if state.iteration % recipe.validate_every == 0 or at_end:
            self.validate()
            state.save(self.log.last)

    def step(self, batch: Batch) -> LossTerms:
        """Take one step of the optimizer."""
        state = self.state
        stage, position = self.recipe.stage_at(state.iteration)
        optimizer = state.optimizer_for(stage, position)
        state.network.train()
        planes = [normalize(batch.image), *([] if batch.prior is None else [batch.prior])]
        inputs = [plane.contiguous(memory_format=state.layout) for plane in planes]
        with autocast(state.device, state.dtype):
            prediction = state.network(*inputs)
        terms: LossTerms = self.criteria[stage](
            prediction, batch.image, batch.mask, batch.boundary, batch.valid
        )
        if not math.isfinite(terms.total.item()):
            raise BanetError(
                f"{self.log.folder}: the loss is {terms.total.item()} at iteration "
                f"{state.iteration}; train anew into another folder with a lower --learning-rate, "
                f"for instance with --init {self.log.weights}"
            )
        optimizer.zero_grad(set_to_none=True)
        state.scaler.scale(terms.total).backward()
        state.scaler.step(optimizer)
        state.scaler.update()
        state.iteration += 1
        return terms

    def record(self, terms: LossTerms) -> None:
        """Write the terms of the loss to the logs."""
        stage, position = self.recipe.stage_at(self.state.iteration - 1)
        values = {f"loss/{name}": term.item() for name, term in terms._asdict().items()}
        values["learning_rate"] = stage.rate_at(position)
        self.log.scalars(self.state.iteration, values)

    def validate(self) -> None:
        """Score the validation photos at the working size; keep the best weights."""
        state = self.state
        segmenter = Segmenter(
            state.network.eval(),
            device=state.device,
            dtype=state.dtype,
            size=self.recipe.stages[-1].size,
        )
        results = {
            name: summarise(
                [score_mask(segmenter(photo, face), mask) for photo, mask, face in photos]
            )
            for name, photos in self.data.validation.items()
        }
        # Where nobody is to be seen, a photo scores 1 or, for a single wrong pixel, 0: such a
        # dataset says what goes wrong, but its mean is too coarse to choose weights by.
        chosen_by = [results[name].portrait_iou for name in self.decisive]
        mean_iou = sum(chosen_by) / len(chosen_by)
        values = {
            f"val/{name}/{key}": value
            for name, scores in results.items()
            for key, value in asdict(scores).items()
        }
        self.log.scalars(state.iteration, {"val/portrait_iou": mean_iou, **values})
        self.log.preview(state.iteration, self.preview_masks(segmenter))
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
            training = {**self.info.training, "best": state.best}
            save_weights(self.log.weights, state.network, replace(self.info, training=training))

    def preview_masks(self, segmenter: Segmenter) -> list[tuple[Pixels, Pixels]]:
        """Segment the first few photos of every validation set."""
        return [
            (photo, (segmenter(photo, face) * 255).round().astype(np.uint8))
            for samples in self.data.validation.values()
            for photo, _, face in samples[:PREVIEW_PHOTOS]
        ]


def _show_somebody(photos: Photos) -> bool:
    return any(mask.max() >= PERSON_FROM for _, mask, _ in photos)
