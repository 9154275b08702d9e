"""What torchrun starts in the tests of ranks: DATASET FOLDER, which gets each rank's tensors."""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from models import MODELS, build_model
from models.losses import BANetLoss
from pipelines.augmentation.render import Batch
from pipelines.backward_pass import BackwardPass
from pipelines.checkpoints import WeightsInfo
from pipelines.errors import ConfigError
from pipelines.micro_batches import cut
from pipelines.progress import SilentProgress
from pipelines.ranks import Ranks, launched_ranks
from pipelines.recipes import recipe_from_table
from pipelines.runlog import RunLog
from pipelines.train import _open
from pipelines.trainer import Trainer
from pipelines.trainingdata import load_training_data
from pipelines.trainstate import TrainState

MODEL = "banet-64"
RECIPE = recipe_from_table(
    {
        "iterations": 4,
        "validate_every": 2,
        "size": 32,
        "batch_size": 4,
        "optimizer": "adamw",
        "learning_rate": 0.001,
        "ema": 0.9,
    },
    where="test",
)


def new_state() -> TrainState:
    torch.manual_seed(0)
    network = build_model(MODEL)
    return TrainState(network, RECIPE, device=torch.device("cpu"), dtype=torch.float32)


def random_batch() -> Batch:
    rng = np.random.default_rng(0)

    def plane(channels: int) -> torch.Tensor:
        return torch.from_numpy(rng.random((4, channels, 32, 32), np.float32))

    boundary, valid = (plane(1).round() for _ in range(2))
    valid[:2, ..., 8:] = 0.0  # so that the shares of two processes count differently
    return Batch(image=plane(3), mask=plane(1).round(), boundary=boundary, valid=valid)


def gradients(batch: Batch, ranks: Ranks) -> dict[str, torch.Tensor]:
    """Return the gradients of one step by the name of the parameter."""
    state = new_state()
    backward = BackwardPass(state, ranks=ranks, face_prior=False)
    state.network.eval()  # batch statistics would differ between batches and their shares
    backward(batch, BANetLoss(), seed=0)
    named = state.network.named_parameters()
    return {name: each.grad.contiguous() for name, each in named if each.grad is not None}


def trained(dataset: Path, folder: Path, ranks: Ranks) -> dict[str, torch.Tensor]:
    """Train by the recipe and return the parameters."""
    state = new_state()
    log = RunLog(folder / "run", {})
    if ranks.first:
        log.open(resume=False)
        log.begin(0, divergences=0)
    Trainer(
        recipe=RECIPE,
        data=load_training_data([dataset], faces=MODELS[MODEL].face_prior, validates=ranks.first),
        state=state,
        log=log,
        ranks=ranks,
        seed=0,
        info=WeightsInfo(model=MODEL, temperature=2.0, size=32),
        progress=SilentProgress(),
    ).run()
    return {name: each.detach().contiguous() for name, each in state.network.named_parameters()}


def refusal(folder: Path, ranks: Ranks) -> str:
    """Return what a process is told whose folder is not that of the other."""
    try:
        _open(RunLog(folder / f"apart-{ranks.rank}", {}), new_state(), ranks, resume=False)
    except ConfigError as error:
        return str(error)
    return ""


def main() -> None:
    dataset, folder = map(Path, sys.argv[1:])
    torch.set_num_threads(1)
    ranks = launched_ranks("cpu")
    with ranks.joined():
        agreed = [ranks.agree(7), ranks.agree(ranks.rank), ranks.agree(-ranks.rank)]
        (folder / f"agreed-{ranks.rank}.json").write_text(json.dumps(agreed))
        (folder / f"refused-{ranks.rank}.txt").write_text(refusal(folder, ranks))
        share = cut(random_batch(), ranks.count)[ranks.rank]
        found = gradients(share, ranks)
        save_file(found, folder / f"gradients-{ranks.rank}.safetensors")
        save_file(trained(dataset, folder, ranks), folder / f"trained-{ranks.rank}.safetensors")


if __name__ == "__main__":
    main()
