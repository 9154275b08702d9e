"""Everything that changes while a network is trained, and keeping it for a resume."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from pipelines.devices import training_layout
from pipelines.errors import WeightsError
from pipelines.images import write_atomically
from pipelines.recipes import Recipe, Stage

STATE_FILE = "state.safetensors"


class TrainState:
    """Network, optimizer and position in the recipe.

    Data order, augmentation and schedule are functions of the iteration's number and need no
    state of their own.

    Attributes:
        layout: Memory format of the network, and of the images that it is to get.
        iteration: Steps taken.
        best: Iteration and validation scores of the best weights so far, empty before the first
            validation.
    """

    def __init__(
        self, network: nn.Module, recipe: Recipe, *, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.layout = training_layout(network, device=device, dtype=dtype)
        self.network = network.to(device)
        self.network.to(memory_format=self.layout)  # type: ignore[call-overload] # of its stubs
        self.device = device
        self.dtype = dtype
        self.iteration = 0
        self.best: dict[str, object] = {}
        # Half precision overflows unless the loss is scaled; bfloat16 has the range of float32.
        self.scaler = torch.amp.GradScaler(device.type, enabled=dtype is torch.float16)
        self._recipe = recipe
        self._optimizer: torch.optim.SGD | None = None

    @property
    def best_iou(self) -> float:
        """Mean portrait IoU of the best weights so far, 0 before the first validation."""
        return float(str(self.best.get("portrait_iou", 0.0)))

    def optimizer_for(self, stage: Stage, position: int) -> torch.optim.SGD:
        """Return the optimizer for a step, its rate set; every stage begins with a fresh one."""
        if position == 0 or self._optimizer is None:
            self._optimizer = self._new_optimizer(stage)
        for group in self._optimizer.param_groups:
            group["lr"] = stage.rate_at(position)
        return self._optimizer

    def save(self, folder: Path) -> None:
        """Write all that a resume needs, atomically."""
        tensors = {f"network.{key}": value for key, value in self.network.state_dict().items()}
        tensors |= {f"momentum.{key}": value for key, value in self._momentum().items()}
        facts = {
            "iteration": self.iteration,
            "best": self.best,
            "scaler": self.scaler.state_dict(),
        }
        # Copies, because safetensors refuses channels-last strides.
        plain = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / STATE_FILE, save(plain, {"facts": json.dumps(facts)}))

    def load(self, folder: Path) -> None:
        """Take up what `save` wrote; do nothing if it never did.

        Raises:
            WeightsError: The file is damaged or of another network.
        """
        path = folder / STATE_FILE
        if not path.is_file():
            return
        try:
            with safe_open(path, framework="pt", device=str(self.device)) as file:
                facts = json.loads((file.metadata() or {})["facts"])
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            self.network.load_state_dict(_below("network.", tensors))
        except (SafetensorError, KeyError, RuntimeError) as error:
            raise WeightsError(
                f"{path}: damaged, or of another network; remove the folder and start again"
            ) from error
        self.iteration, self.best = facts["iteration"], facts["best"]
        self.scaler.load_state_dict(facts["scaler"])
        self._load_momentum(_below("momentum.", tensors))

    def _new_optimizer(self, stage: Stage) -> torch.optim.SGD:
        return torch.optim.SGD(
            self.network.parameters(),
            lr=stage.learning_rate,
            momentum=stage.momentum,
            weight_decay=stage.weight_decay,
        )

    def _momentum(self) -> dict[str, torch.Tensor]:
        if self._optimizer is None:
            return {}
        return {
            name: self._optimizer.state[parameter]["momentum_buffer"]
            for name, parameter in self.network.named_parameters()
            if self._optimizer.state[parameter].get("momentum_buffer") is not None
        }

    def _load_momentum(self, buffers: dict[str, torch.Tensor]) -> None:
        stage, _ = self._recipe.stage_at(self.iteration - 1)
        self._optimizer = self._new_optimizer(stage)
        for name, parameter in self.network.named_parameters():
            if name in buffers:
                # In the parameter's own memory format, as the optimizer would have made it.
                buffer = torch.empty_like(parameter).copy_(buffers[name])
                self._optimizer.state[parameter]["momentum_buffer"] = buffer


def _below(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {
        key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)
    }
