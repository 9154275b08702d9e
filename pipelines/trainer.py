"""The training loop."""

import logging
import math
import signal

import numpy as np
import torch
from torch import nn

from models import MODELS
from models.losses import BANetLoss, LossTerms
from pipelines.augmentation.render import Batch
from pipelines.backward_pass import BackwardPass, memory_advice
from pipelines.batches import BatchSource
from pipelines.checkpoints import WeightsInfo
from pipelines.devices import memory_limit_explained
from pipelines.draws import Draws
from pipelines.errors import BanetError
from pipelines.interrupts import interrupts_deferred
from pipelines.optimizers import Optimizer
from pipelines.progress import Progress
from pipelines.ranks import Ranks
from pipelines.recipes import Recipe, Stage
from pipelines.runlog import RunLog
from pipelines.trainingdata import TrainingData
from pipelines.trainstate import TrainState
from pipelines.validation import Validation

LOG_EVERY = 20

MOST_RETURNS = 2
"""How often a run that diverges goes back to its last checkpoint before it gives up."""

logger = logging.getLogger(__name__)


class DivergenceError(Exception):
    """A step made something of a network that is not finite; the message says what."""


class Trainer:
    """Trains a network by a recipe, from wherever its state stands.

    Args:
        recipe: What to do in which iteration.
        data: What to learn from and what to be judged by.
        state: Network, optimizer and position; it is changed.
        log: Where results and checkpoints go.
        ranks: Who trains together.
        seed: Of the order of samples, the augmentation and dropout.
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
        ranks: Ranks,
        seed: int,
        info: WeightsInfo,
        progress: Progress,
    ) -> None:
        self.recipe = recipe
        self.state = state
        self.log = log
        self.ranks = ranks
        self.seed = seed
        self.progress = progress
        draws = Draws(
            data.training,
            recipe,
            seed=seed,
            device=state.device,
            share=(ranks.rank, ranks.count),
        )
        self.source = BatchSource(draws)
        self.validation = Validation(data.validation, log=log, info=info)
        model = MODELS[info.model]
        self.backward = BackwardPass(state, ranks=ranks, face_prior=model.face_prior)
        self.criteria = {
            stage: BANetLoss(refine_weight=stage.refine_weight * model.refine_loss).to(state.device)
            for stage in recipe.stages
        }
        self._fitted: Stage | None = None

    def run(self) -> None:
        """Train to the end of the recipe, validating and saving on the way.

        An interrupt takes effect between two steps, after the state was saved; where several
        processes train together, in all of them after the same step.

        Raises:
            BanetError: The run diverges again and again, or the device has too little memory.
        """
        state = self.state
        with memory_limit_explained(memory_advice(state.device)), interrupts_deferred() as received:
            if state.iteration == 0:
                self.save()  # so that there always is something to go back to
            while state.iteration < self.recipe.iterations:
                self.progress.start("training", self.recipe.iterations - state.iteration)
                try:
                    interrupt = self.advance_until_interrupted(received)
                except DivergenceError as divergence:
                    self.go_back(str(divergence))
                    continue
                if interrupt:
                    self.leave(interrupt, received)
                    break
        self.progress.finish()

    def advance_until_interrupted(self, received: list[int]) -> int:
        """Train on batch after batch.

        Args:
            received: Numbers of the signals that have come; it grows meanwhile.

        Returns:
            A signal that some process has received; 0 at the end of the recipe.

        Raises:
            DivergenceError: A step must be undone.
        """
        state = self.state
        for batch in self.source.batches(state.iteration):
            self.advance(batch)
            interrupt = self.ranks.greatest(max(received, default=0))
            if interrupt:
                return interrupt
        return 0

    def advance(self, batch: Batch) -> None:
        """Train on one batch; log, validate and save when it is time."""
        state, recipe = self.state, self.recipe
        terms = self.step(batch)
        if self.ranks.first and state.iteration % LOG_EVERY == 0:
            self.record(terms)
        self.progress.advance(1, f"loss {terms.total.item():.3f}")
        at_end = state.iteration == recipe.iterations
        if state.iteration % recipe.validate_every == 0 or at_end:
            _require_finite_weights(state.network)
            if self.ranks.first:
                self.validation(state)
            self.save()

    def step(self, batch: Batch) -> LossTerms:
        """Take one step of the optimizer.

        Args:
            batch: This process's share, on the device.

        Returns:
            The loss before the step, averaged over the processes.

        Raises:
            DivergenceError: Loss or gradient are not finite, however small the loss is scaled.
        """
        state = self.state
        stage, position = self.recipe.stage_at(state.iteration)
        criterion = self.criteria[stage]
        self.fit(stage, position, criterion)
        optimizer = state.optimizer_for(stage, position)
        state.network.train()
        optimizer.zero_grad(set_to_none=True)
        terms = self.backward(batch, criterion, seed=self.dropout_seed())
        if not math.isfinite(terms.total.item()):
            raise DivergenceError(f"the loss is {terms.total.item()}")
        self.clip_gradient(stage, optimizer)
        state.scaler.step(optimizer)
        state.scaler.update()
        _require_useful_scale(state.scaler)
        state.follow(stage)
        state.iteration += 1
        return terms

    def fit(self, stage: Stage, position: int, criterion: BANetLoss) -> None:
        """Before the first step of a stage, see how many of its views fit into memory."""
        if position == 0:
            self.state.micro_batch = None
        if position == 0 or self._fitted is not stage:
            self.backward.fit(stage, criterion)
            self._fitted = stage

    def dropout_seed(self) -> int:
        """Return a seed of this step and process, so that a resumed run drops the same."""
        entropy = (self.seed, self.state.iteration, self.ranks.rank)
        return int(np.random.SeedSequence(entropy).generate_state(1)[0])

    def clip_gradient(self, stage: Stage, optimizer: Optimizer) -> None:
        """Shorten the gradient to the greatest norm that the stage allows."""
        if not stage.clip:
            return
        scaler = self.state.scaler
        scaler.unscale_(optimizer)
        norm = nn.utils.clip_grad_norm_(self.state.network.parameters(), stage.clip).item()
        # Where the loss is scaled such norms are usual: the scaler leaves the step out.
        if not math.isfinite(norm) and not scaler.is_enabled():
            raise DivergenceError(f"the norm of the gradient is {norm}")

    def record(self, terms: LossTerms) -> None:
        """Write the terms of the loss to the logs."""
        stage, position = self.recipe.stage_at(self.state.iteration - 1)
        values = {f"loss/{name}": term.item() for name, term in terms._asdict().items()}
        values["learning_rate"] = self.state.rate_at(stage, position)
        self.log.scalars(self.state.iteration, values)

    def save(self, *, interrupted: bool = False) -> None:
        """Let the first process save the state, and the others wait for it."""
        if self.ranks.first and interrupted:
            self.state.keep_checkpoint(self.log.last)
        self.state.interrupted = interrupted
        if self.ranks.first:
            self.state.save(self.log.last)
        self.ranks.wait()

    def go_back(self, reason: str) -> None:
        """Go on from the last checkpoint at half the learning rate.

        Raises:
            BanetError: That has not helped before.
        """
        state = self.state
        diverged_at = state.iteration
        if state.divergences == MOST_RETURNS:
            raise BanetError(self._advice(reason))
        state.go_back(self.log.last)
        self.ranks.wait()  # until all have read what is now written anew
        state.divergences += 1
        if self.ranks.first:
            self.log.begin(state.iteration, divergences=state.divergences - 1)
            self.log.scalars(
                state.iteration,
                {
                    "divergences": state.divergences,
                    "diverged_at": diverged_at,
                    "learning_rate_factor": state.rate_factor,
                },
            )
        self.save()
        stage, position = self.recipe.stage_at(state.iteration)
        logger.warning(
            "%s at iteration %d; going back to iteration %d, saved in %s, at half the learning "
            "rate: %g instead of %g",
            reason,
            diverged_at,
            state.iteration,
            self.log.last,
            state.rate_at(stage, position),
            2 * state.rate_at(stage, position),
        )

    def leave(self, interrupt: int, received: list[int]) -> None:
        """Save, and see to it that the interrupt takes effect in this process too."""
        self.save(interrupted=True)
        if not received:
            signal.raise_signal(interrupt)
        logger.warning(
            "saved at iteration %d; add --resume to go on from there", self.state.iteration
        )

    def _advice(self, reason: str) -> str:
        advice = (
            f"{self.log.folder}: {reason} at iteration {self.state.iteration}, even after going "
            f"back to a checkpoint {MOST_RETURNS} times, each time at half the learning rate; "
            "train anew into another folder with a lower --learning-rate"
        )
        if self.log.weights.is_file():
            advice += f", for instance with --init {self.log.weights}"
        return advice


def _require_useful_scale(scaler: torch.amp.GradScaler) -> None:
    """Notice gradients that stay infinite, whose steps the scaler leaves out in silence.

    Each of them halves the scale. Below 1 it makes gradients smaller than they are, which is no
    longer a matter of the range of half precision.
    """
    if scaler.is_enabled() and scaler.get_scale() < 1:
        raise DivergenceError("the gradient is not finite at any scale of the loss")


def _require_finite_weights(network: nn.Module) -> None:
    """Refuse to keep what a step has spoilt whose loss was still finite."""
    if not all(bool(torch.isfinite(each).all()) for each in network.parameters()):
        raise DivergenceError("a weight is not finite")
