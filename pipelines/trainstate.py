"""Everything that changes while a network is trained, and keeping it for a resume."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from pipelines.averaging import AveragedNetwork
from pipelines.devices import training_layout
from pipelines.errors import WeightsError
from pipelines.optimizers import (
    Optimizer,
    build_optimizer,
    load_optimizer_tensors,
    optimizer_tensors,
)
from pipelines.recipes import Recipe, Stage
from pipelines.whole_files import write_atomically

STATE_FILE = "state.safetensors"

CHECKPOINT_FILE = "checkpoint.safetensors"
"""What `STATE_FILE` was before an interrupt: what a run goes back to must not depend on those."""


class TrainState:
    """Network, optimizer and position in the recipe.

    Data order, augmentation, dropout and schedule are functions of the iteration's number and need
    no state of their own.

    Attributes:
        layout: Memory format of the network, and of the images that it is to get.
        averaged: Follows the network where the stage has `ema` on; None elsewhere.
        iteration: Steps taken.
        best: Iteration and validation scores of the best weights so far, empty before the first
            validation.
        divergences: How often training went back to a checkpoint.
        interrupted: Whether the saved state is one that an interrupt asked for.
        micro_batch: Fewest views that go through the network at a time; None for whole batches.
    """

    def __init__(
        self, network: nn.Module, recipe: Recipe, *, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.layout = training_layout(network, device=device, dtype=dtype)
        self.network = network.to(device)
        self.network.to(memory_format=self.layout)  # type: ignore[call-overload] # of its stubs
        self.averaged: AveragedNetwork | None = None
        self.device = device
        self.dtype = dtype
        self.iteration = 0
        self.best: dict[str, object] = {}
        self.divergences = 0
        self.interrupted = False
        self.micro_batch: int | None = None
        # Half precision overflows unless the loss is scaled; bfloat16 has the range of float32.
        self.scaler = torch.amp.GradScaler(device.type, enabled=dtype is torch.float16)
        self._recipe = recipe
        self._optimizer: Optimizer | None = None

    @property
    def best_iou(self) -> float:
        """Mean portrait IoU of the best weights so far, 0 before the first validation."""
        return float(str(self.best.get("portrait_iou", 0.0)))

    @property
    def evaluated(self) -> nn.Module:
        """The network that is validated and kept: the average where there is one."""
        return self.network if self.averaged is None else self.averaged.network

    @property
    def rate_factor(self) -> float:
        """What the learning rates of the recipe are multiplied by: half for every divergence."""
        return 0.5**self.divergences

    def rate_at(self, stage: Stage, position: int) -> float:
        """Return the learning rate of an iteration of a stage, counted from 0."""
        return stage.rate_at(position) * self.rate_factor

    def optimizer_for(self, stage: Stage, position: int) -> Optimizer:
        """Return the optimizer for a step, its rate set; every stage begins with a fresh one."""
        if position == 0 or self._optimizer is None:
            self._optimizer = build_optimizer(stage, self.network)
        for group in self._optimizer.param_groups:
            group["lr"] = self.rate_at(stage, position)
        return self._optimizer

    def follow(self, stage: Stage) -> None:
        """Let the average follow a step; it lasts over stages until one has it off."""
        if not stage.ema:
            self.averaged = None
            return
        if self.averaged is None:
            self.averaged = AveragedNetwork(self.network)
        self.averaged.update(self.network, decay=stage.ema)

    def save(self, folder: Path) -> None:
        """Write all that a resume needs, atomically."""
        # Copies, because safetensors refuses channels-last strides.
        plain = {key: each.detach().cpu().contiguous() for key, each in self._tensors().items()}
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / STATE_FILE, save(plain, {"facts": json.dumps(self._facts())}))
        if not self.interrupted:
            (folder / CHECKPOINT_FILE).unlink(missing_ok=True)

    def keep_checkpoint(self, folder: Path) -> None:
        """Before the state is saved for an interrupt, keep what `go_back` is to find."""
        if not self.interrupted:
            write_atomically(folder / CHECKPOINT_FILE, (folder / STATE_FILE).read_bytes())

    def load(self, folder: Path) -> None:
        """Take up what `save` wrote; do nothing if it never did.

        Raises:
            WeightsError: The file is damaged or of another network.
        """
        if (folder / STATE_FILE).is_file():
            self._load(folder / STATE_FILE)

    def go_back(self, folder: Path) -> None:
        """Take up the last checkpoint, whatever interrupts there were since.

        Raises:
            WeightsError: The file is damaged.
        """
        self._load(folder / (CHECKPOINT_FILE if self.interrupted else STATE_FILE))

    def _load(self, path: Path) -> None:
        try:
            with safe_open(path, framework="pt") as file:
                facts = json.loads((file.metadata() or {})["facts"])
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            self._take_facts(facts)
            self._take_tensors(tensors, updates=facts["averaged_updates"])
        except (SafetensorError, KeyError, RuntimeError) as error:
            raise WeightsError(
                f"{path}: damaged, or of another network; remove the folder and start again"
            ) from error

    def _facts(self) -> dict[str, Any]:
        return {
            "iteration": self.iteration,
            "best": self.best,
            "divergences": self.divergences,
            "interrupted": self.interrupted,
            "micro_batch": self.micro_batch,
            "device": self.device.type,
            "averaged_updates": 0 if self.averaged is None else self.averaged.updates,
            "scaler": self.scaler.state_dict(),
        }

    def _take_facts(self, facts: dict[str, Any]) -> None:
        self.iteration, self.best = facts["iteration"], facts["best"]
        self.divergences, self.micro_batch = facts["divergences"], facts["micro_batch"]
        self.interrupted = facts["interrupted"]
        if facts.get("device", self.device.type) != self.device.type:
            self.micro_batch = None  # what fits is found out anew
        self.scaler.load_state_dict(facts["scaler"])

    def _tensors(self) -> dict[str, torch.Tensor]:
        averaged = {} if self.averaged is None else self.averaged.network.state_dict()
        remembered = (
            {} if self._optimizer is None else optimizer_tensors(self._optimizer, self.network)
        )
        return {
            **_under("network.", self.network.state_dict()),
            **_under("averaged.", averaged),
            **_under("optimizer.", remembered),
        }

    def _take_tensors(self, tensors: dict[str, torch.Tensor], *, updates: int) -> None:
        """Take up tensors, which lie on the CPU."""
        self.network.load_state_dict(_below("network.", tensors))
        averaged = _below("averaged.", tensors)
        self.averaged = AveragedNetwork(self.network) if averaged else None
        if self.averaged is not None:
            self.averaged.network.load_state_dict(averaged)
            self.averaged.updates = updates
        stage, _ = self._recipe.stage_at(max(0, self.iteration - 1))
        self._optimizer = build_optimizer(stage, self.network)
        load_optimizer_tensors(self._optimizer, self.network, _below("optimizer.", tensors))


def _under(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {prefix + key: value for key, value in tensors.items()}


def _below(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {
        key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)
    }
