"""`banet train`: a store in, weights out.

The run's folder holds `weights.safetensors` (best on validation), `last/` (all that a resume
needs), `config.toml` (resolved), `metrics.jsonl`, TensorBoard events, preview pictures, `run.json`.
"""

import json
import logging
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import nn

from models import MODELS, boundary_temperature, build_model, normalize
from models.losses import BANetLoss, LossTerms
from pipelines.batches import Batch, BatchSource
from pipelines.checkpoints import WeightsInfo, load_weights, save_weights
from pipelines.devices import (
    Precision,
    autocast,
    precision_name,
    resolve_device,
    resolve_precision,
)
from pipelines.errors import BanetError, ConfigError, WeightsError
from pipelines.images import Pixels
from pipelines.inference import MINIMUM_SIZE, Segmenter
from pipelines.interrupts import interrupts_deferred
from pipelines.locks import exclusive
from pipelines.parallel import available_cores
from pipelines.progress import Progress, SilentProgress
from pipelines.recipes import MINIMUM_BATCH, Recipe, load_recipe
from pipelines.runlog import PREVIEW_PHOTOS, RunLog
from pipelines.scoring import score_mask, summarise
from pipelines.trainingdata import TrainingData, load_training_data
from pipelines.trainstate import TrainState

CPU_AUGMENT_THREADS = 2
LOG_EVERY = 20

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """What to train and how; the options of the command of the same name.

    Attributes:
        datasets: Stores made by `banet prepare`; their training splits are mixed. One that is named
            twice is drawn from twice as often.
        out: Folder of the run.
        model: Name in the registry of networks.
        recipe: Name of a recipe, or path of a TOML file.
        init: Weights to start from; None starts at random.
        iterations: Total number of steps instead of the recipe's.
        batch_size: Instead of the recipe's.
        size: Longer side of the training views, in pixels, instead of the recipe's.
        learning_rate: Instead of the recipe's.
        precision: Arithmetic of the network.
        seed: Of the initial weights, the order of samples and the augmentation.
        licence: Terms of use, written into the weights; empty takes those of the datasets.
        resume: Go on from `last/` in `out`.
        device: auto, cpu, cuda, cuda:N or mps.

    Raises:
        ConfigError: Some values make no sense; all of them are named.
    """

    datasets: tuple[Path, ...]
    out: Path
    model: str = "banet-64"
    recipe: str = "pretrain"
    init: str | None = None
    iterations: int | None = None
    batch_size: int | None = None
    size: int | None = None
    learning_rate: float | None = None
    precision: Precision = "auto"
    seed: int = 0
    licence: str = ""
    resume: bool = False
    device: str = "auto"

    def __post_init__(self) -> None:
        mistakes = []
        if not self.datasets:
            mistakes.append("DATASET: name at least one")
        if self.model not in MODELS:
            mistakes.append(f"--model {self.model}: use {', '.join(MODELS)}")
        for option, value, minimum in (
            ("--iterations", self.iterations, 1),
            ("--batch-size", self.batch_size, MINIMUM_BATCH),
            ("--size", self.size, MINIMUM_SIZE),
            ("--seed", self.seed, 0),
        ):
            if value is not None and value < minimum:
                mistakes.append(f"{option} {value}: at least {minimum}")
        if self.learning_rate is not None and self.learning_rate <= 0:
            mistakes.append(f"--learning-rate {self.learning_rate}: must be positive")
        if mistakes:
            raise ConfigError("; ".join(mistakes))


@dataclass(frozen=True, kw_only=True)
class TrainSummary:
    """The result of one run.

    Attributes:
        iterations: Steps that the weights have seen, earlier parts of a resumed run included.
        best: Iteration and validation scores, by dataset, of `weights`.
        seconds: Of this part of the run.
    """

    iterations: int
    best: dict[str, object]
    seconds: float
    weights: Path
    device: str
    precision: str
    exit_code: int = field(default=0, init=False)

    def as_json(self) -> dict[str, object]:
        """Return the JSON summary of the command."""
        return {
            "iterations": self.iterations,
            "best": self.best,
            "seconds": self.seconds,
            "weights": str(self.weights),
            "device": self.device,
            "precision": self.precision,
        }


def train(options: TrainOptions, *, progress: Progress | None = None) -> TrainSummary:
    """Train a network as a recipe says.

    Raises:
        ConfigError: An option or the recipe makes no sense.
        StoreError: A dataset cannot be read.
        InputError: A dataset has no training or no validation samples, or the folder of the run
            holds another run.
        WeightsError: `init` cannot be read or is of another network.
        DeviceError: The device is not there.
        BanetError: The loss is no longer finite.
    """
    started = perf_counter()
    recipe = load_recipe(options.recipe).with_overrides(
        iterations=options.iterations,
        size=options.size,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
    )
    device = resolve_device(options.device)
    dtype = resolve_precision(options.precision, device)
    _refuse_unknown_datasets(recipe, len(options.datasets))
    network, init_sha256 = _initial_network(options)
    data = load_training_data(options.datasets)
    network.to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # of its stubs
    state = TrainState(network, recipe, device=device, dtype=dtype)
    config = {
        **_plain(asdict(options)),
        "resolved_recipe": recipe.as_dict(),
        "resolved_precision": precision_name(dtype),
        "resolved_datasets": data.facts,
        "init_sha256": init_sha256,
    }
    with exclusive(options.out / ".lock", place=options.out):
        log = RunLog(options.out, config, resume=options.resume)
        if options.resume:
            state.load(log.last)
        logger.info("training %s on %s in %s", options.model, device, precision_name(dtype))
        logger.info("iteration %d of %d", state.iteration, recipe.iterations)
        log.begin(state.iteration)
        _Trainer(
            options=options,
            recipe=recipe,
            data=data,
            state=state,
            log=log,
            progress=progress or SilentProgress(),
        ).run()
        summary = TrainSummary(
            iterations=state.iteration,
            best=state.best,
            seconds=round(perf_counter() - started, 3),
            weights=log.weights,
            device=str(device),
            precision=precision_name(dtype),
        )
        log.finish(summary.as_json())
    return summary


@dataclass(frozen=True, kw_only=True)
class _Trainer:
    options: TrainOptions
    recipe: Recipe
    data: TrainingData
    state: TrainState
    log: RunLog
    progress: Progress

    def run(self) -> None:
        """Train to the end of the recipe, validating and saving on the way."""
        state, recipe = self.state, self.recipe
        source = BatchSource(self.data.training, recipe, seed=self.options.seed)
        self.progress.start("training", recipe.iterations - state.iteration)
        try:
            for batch in source.batches(state.iteration, threads=_augment_threads(state.device)):
                # A step is taken wholly or not at all, so that the state can be saved.
                with interrupts_deferred():
                    self.advance(batch.on(state.device))
        except KeyboardInterrupt:
            state.save(self.log.last)
            logger.warning(
                "saved at iteration %d; add --resume to go on from there", state.iteration
            )
            raise
        except torch.OutOfMemoryError as error:
            raise BanetError(
                f"{state.device}: not enough memory for this batch; use a smaller --batch-size or "
                "--size"
            ) from error
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
        criterion = BANetLoss(refine_weight=stage.refine_weight).to(state.device)
        state.network.train()
        with autocast(state.device, state.dtype):
            prediction = state.network(normalize(batch.image))
        terms: LossTerms = criterion(
            prediction, batch.image, batch.mask, batch.boundary, batch.valid
        )
        if not math.isfinite(terms.total.item()):
            raise BanetError(
                f"{self.options.out}: the loss is {terms.total.item()} at iteration "
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
            name: summarise([score_mask(segmenter(photo), mask) for photo, mask in photos])
            for name, photos in self.data.validation.items()
        }
        mean_iou = sum(scores.portrait_iou for scores in results.values()) / len(results)
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
            save_weights(self.log.weights, state.network, self.weights_info())

    def preview_masks(self, segmenter: Segmenter) -> list[tuple[Pixels, Pixels]]:
        """Segment the first few photos of every validation set."""
        return [
            (photo, (segmenter(photo) * 255).round().astype(np.uint8))
            for samples in self.data.validation.values()
            for photo, _ in samples[:PREVIEW_PHOTOS]
        ]

    def weights_info(self) -> WeightsInfo:
        """Describe the weights as they are now."""
        return WeightsInfo(
            model=self.options.model,
            temperature=boundary_temperature(self.state.network),
            size=self.recipe.stages[-1].size,
            training={
                "recipe": self.options.recipe,
                "init": self.options.init,
                "seed": self.options.seed,
                "datasets": self.data.facts,
                "best": self.state.best,
            },
            licence=self.options.licence or self.data.licence,
        )


def _refuse_unknown_datasets(recipe: Recipe, count: int) -> None:
    for number, stage in enumerate(recipe.stages, start=1):
        wrong = [position for position in stage.datasets if not 1 <= abs(position) <= count]
        if wrong:
            raise ConfigError(
                f"--recipe: stage {number} draws from dataset {wrong[0]}, but {count} were named"
            )


def _augment_threads(device: torch.device) -> int:
    """Leave the cores to the network where it runs on them; else let a GPU not wait."""
    return CPU_AUGMENT_THREADS if device.type == "cpu" else available_cores()


def _initial_network(options: TrainOptions) -> tuple[nn.Module, str | None]:
    """Return the network to start with, and the hash of the weights that it was read from."""
    torch.manual_seed(options.seed)
    if options.init is None:
        return build_model(options.model), None
    try:
        weights = load_weights(options.init)
    except WeightsError as error:
        raise WeightsError(f"--init: {error}") from error
    if weights.info.model != options.model:
        raise ConfigError(
            f"--init {options.init}: weights of {weights.info.model}, not of --model "
            f"{options.model}"
        )
    return weights.network, weights.sha256


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Turn paths and tuples into what TOML and JSON know."""
    plain: dict[str, Any] = json.loads(json.dumps(values, default=str))
    return plain
