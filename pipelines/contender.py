"""A network as it is measured: in its form for inference, with a batch of input on its device."""

from contextlib import AbstractContextManager

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from models import ModelSpec, count_parameters
from models.pfcn import PRIOR_CHANNELS
from pipelines.allocator import keep_freed_memory
from pipelines.devices import autocast, memory_limit_explained
from pipelines.inference import inference_form


class Contender:
    """A network with random weights and a batch of random photos; neither changes its speed.

    Every network gets the form that `banet segment` runs, see `inference_form`.

    Args:
        name: Of the network.
        spec: How it is built; not looked up by its name, because a process that measures memory
            may know fewer networks than the one that started it.
        device: Where it is to run; the input already lies there.
        dtype: For autocast.
        size: Side of the square photos, in pixels.
        batch_size: Photos per forward pass.

    Attributes:
        parameters: Learnable ones of the network as it is trained.

    Raises:
        BanetError: The memory does not suffice.
    """

    def __init__(
        self,
        name: str,
        spec: ModelSpec,
        *,
        device: torch.device,
        dtype: torch.dtype,
        size: int,
        batch_size: int,
    ) -> None:
        keep_freed_memory()
        self.name = name
        self.device = device
        self.dtype = dtype
        with self._memory_limit_explained(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = spec.build()
            self.parameters = count_parameters(network)
            self._network = inference_form(network, device=device, dtype=dtype)
            channels = (3, PRIOR_CHANNELS) if spec.face_prior else (3,)
            self._inputs = tuple(
                torch.rand(batch_size, count, size, size)
                .to(memory_format=torch.channels_last)
                .to(device)
                for count in channels
            )

    def __call__(self) -> None:
        """Run one forward pass; a GPU may still be at it when this returns.

        Raises:
            BanetError: The memory does not suffice.
        """
        with self._memory_limit_explained():
            self._forward(self._inputs)

    def count_flops(self) -> int:
        """Return the floating point operations of convolutions and matrix products for one photo.

        A multiply-add counts as two.
        """
        with self._memory_limit_explained(), FlopCounterMode(display=False) as counter:
            self._forward(tuple(batch[:1] for batch in self._inputs))
        return counter.get_total_flops()

    def _forward(self, inputs: tuple[Tensor, ...]) -> None:
        with torch.inference_mode(), autocast(self.device, self.dtype):
            self._network(*inputs)

    def _memory_limit_explained(self) -> AbstractContextManager[None]:
        return memory_limit_explained(
            f"{self.name}: not enough memory on {self.device}; use a smaller --size or "
            "--batch-size, or leave it out with --models"
        )
