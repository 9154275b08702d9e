"""`banet train`: a store in, weights out.

The run's folder holds `weights.safetensors` (best on validation), `last/` (all that a resume
needs), `config.toml` (resolved), `metrics.jsonl`, TensorBoard events, preview pictures, `run.json`.
"""

import json
import logging
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import nn

from models import MODELS, boundary_temperature, build_model
from pipelines.checkpoints import WeightsInfo, load_weights
from pipelines.devices import Precision, precision_name, resolve_precision
from pipelines.errors import ConfigError, WeightsError
from pipelines.free_memory import free_memory
from pipelines.inference import MINIMUM_SIZE
from pipelines.locks import exclusive
from pipelines.peak_memory import forget_process_peak, process_peak
from pipelines.progress import Progress, SilentProgress
from pipelines.ranks import Ranks, launched_ranks
from pipelines.recipes import MINIMUM_BATCH, Recipe, load_recipe
from pipelines.runlog import RunLog
from pipelines.storage import locate
from pipelines.trainer import Trainer
from pipelines.trainingdata import TrainingData, load_training_data
from pipelines.trainstate import TrainState

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """What to train and how; the options of the command of the same name.

    Attributes:
        datasets: Paths or URLs of stores made by `banet prepare`; their training splits are mixed.
            One that is named twice is drawn from twice as often.
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

    datasets: tuple[Path | str, ...]
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
        peak_memory_mb: The most memory in use at once, in 10^6 bytes: on an NVIDIA GPU what torch
            hands out there, on a Linux CPU that of the process; None where nobody counts.
        first: Whether this process is to report, of several that trained together.
    """

    iterations: int
    best: dict[str, object]
    seconds: float
    peak_memory_mb: float | None
    weights: Path
    device: str
    precision: str
    first: bool = True
    exit_code: int = field(default=0, init=False)

    def as_json(self) -> dict[str, object]:
        """Return the JSON summary of the command."""
        return {
            "iterations": self.iterations,
            "best": self.best,
            "seconds": self.seconds,
            "peak_memory_mb": self.peak_memory_mb,
            "weights": str(self.weights),
            "device": self.device,
            "precision": self.precision,
        }


def train(options: TrainOptions, *, progress: Progress | None = None) -> TrainSummary:
    """Train a network as a recipe says.

    Processes that torchrun started train it together; the first one writes and reports.

    Raises:
        ConfigError: An option or the recipe makes no sense.
        StoreError: A dataset cannot be read.
        InputError: A dataset has no training or no validation samples, or the folder of the run
            holds another run.
        WeightsError: `init` cannot be read or is of another network.
        DeviceError: The device is not there.
        LockedError: Another run is writing to the folder.
        BanetError: The run diverges again and again, the memory does not suffice, or a process
            that trains with this one is gone.
    """
    recipe = load_recipe(options.recipe).with_overrides(
        iterations=options.iterations,
        size=options.size,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
    )
    ranks = launched_ranks(options.device)
    ranks.refuse_uneven(recipe)
    _refuse_unknown_datasets(recipe, len(options.datasets))
    with ranks.joined():
        return _train(options, recipe, ranks, progress or SilentProgress())


def _train(options: TrainOptions, recipe: Recipe, ranks: Ranks, progress: Progress) -> TrainSummary:
    started = perf_counter()
    forget_process_peak(ranks.device)
    smallest = min(stage.size for stage in recipe.stages)
    dtype = resolve_precision(options.precision, ranks.device, size=smallest)
    network, init_sha256 = _initial_network(options)
    places = [locate(dataset) for dataset in options.datasets]
    data = load_training_data(
        places,
        faces=MODELS[options.model].face_prior,
        validates=ranks.first,
        free=_free_memory(ranks),
    )
    state = TrainState(ranks.prepared(network), recipe, device=ranks.device, dtype=dtype)
    config = {
        # Places as they are called, since a URL may hold a password.
        **_plain({**asdict(options), "datasets": places}),
        "resolved_recipe": recipe.as_dict(),
        "resolved_precision": precision_name(dtype),
        "resolved_datasets": data.facts,
        "processes": ranks.count,
        "init_sha256": init_sha256,
    }
    log = RunLog(options.out, config)
    with exclusive(options.out / ".lock", place=options.out) if ranks.first else nullcontext():
        _open(log, state, ranks, resume=options.resume)
        logger.info("training %s on %s in %s", options.model, ranks.device, precision_name(dtype))
        logger.info("iteration %d of %d", state.iteration, recipe.iterations)
        Trainer(
            recipe=recipe,
            data=data,
            state=state,
            log=log,
            ranks=ranks,
            seed=options.seed,
            info=_info(options, recipe, data, network, init_sha256),
            progress=progress if ranks.first else SilentProgress(),
        ).run()
        summary = TrainSummary(
            iterations=state.iteration,
            best=state.best,
            seconds=round(perf_counter() - started, 3),
            peak_memory_mb=_megabytes(process_peak(ranks.device)),
            weights=log.weights,
            device=str(ranks.device),
            precision=precision_name(dtype),
            first=ranks.first,
        )
        if ranks.first:
            log.finish(summary.as_json())
    return summary


def _open(log: RunLog, state: TrainState, ranks: Ranks, *, resume: bool) -> None:
    """Take the folder for this run, and up what an earlier part left there.

    Raises:
        ConfigError: The folder is not the same for all processes, or as in `RunLog.open`.
    """
    if ranks.first:
        log.open(resume=resume)
    ranks.wait()
    _refuse_separate_folders(log, ranks)
    if resume:
        state.load(log.last)
        _refuse_separate_states(log, state, ranks)
    if ranks.first:
        log.begin(state.iteration, divergences=state.divergences)
    ranks.wait()  # until all have read the state, which is soon written anew


def _refuse_separate_folders(log: RunLog, ranks: Ranks) -> None:
    # All of them read the checkpoints that the first one writes.
    if ranks.greatest(not log.is_open):
        raise ConfigError(
            f"{log.folder}: not all processes find there what the first one wrote; name a folder "
            "with --out that all machines share"
        )


def _refuse_separate_states(log: RunLog, state: TrainState, ranks: Ranks) -> None:
    # Processes that began at different steps would wait for each other in vain at the end.
    if not ranks.agree(state.iteration):
        raise ConfigError(
            f"{log.last}: not all processes find the same state there, here it is that of "
            f"iteration {state.iteration}; name a folder with --out that all machines share"
        )


def _free_memory(ranks: Ranks) -> int:
    """Return this process's part of the bytes that are free on its machine."""
    free = free_memory()
    ranks.wait()  # until all have seen what is free before any of them takes of it
    return free // ranks.local_count


def _info(
    options: TrainOptions,
    recipe: Recipe,
    data: TrainingData,
    network: nn.Module,
    init_sha256: str | None,
) -> WeightsInfo:
    return WeightsInfo(
        model=options.model,
        temperature=boundary_temperature(network),
        size=recipe.stages[-1].size,
        training={
            # Names alone: paths of this machine are nobody's business where the weights go.
            "recipe": Path(options.recipe).name,
            "init": options.init and Path(options.init).name,
            "init_sha256": init_sha256,
            "seed": options.seed,
            "datasets": data.facts,
        },
        licence=options.licence or data.licence,
    )


def _megabytes(count: int | None) -> float | None:
    return None if count is None else round(count / 1e6, 1)


def _refuse_unknown_datasets(recipe: Recipe, count: int) -> None:
    for number, stage in enumerate(recipe.stages, start=1):
        wrong = [position for position in stage.datasets if not 1 <= abs(position) <= count]
        if wrong:
            raise ConfigError(
                f"--recipe: stage {number} draws from dataset {wrong[0]}, but {count} were named"
            )


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
