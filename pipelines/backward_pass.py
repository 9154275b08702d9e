"""The gradients of a batch, in as many parts as the memory of the device asks for."""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn

from models import normalize
from models.losses import BANetLoss, LossTerms
from pipelines.augmentation.render import Batch
from pipelines.devices import autocast, is_out_of_memory
from pipelines.errors import BanetError
from pipelines.micro_batches import MicroBatch, largest_part, micro_batches
from pipelines.ranks import Ranks, without_exchange
from pipelines.recipes import MINIMUM_BATCH, Stage
from pipelines.trainstate import TrainState

logger = logging.getLogger(__name__)


class BackwardPass:
    """Computes gradients, and learns from `state.micro_batch` how many views fit at a time.

    Args:
        state: Whose network gets gradients. Its `micro_batch` is halved where memory is short.
        ranks: Who trains together.
        face_prior: Whether the network takes a face prior.
    """

    def __init__(self, state: TrainState, *, ranks: Ranks, face_prior: bool) -> None:
        self._state = state
        self._ranks = ranks
        self._face_prior = face_prior
        self._parallel = ranks.parallel(state.network)

    def fit(self, stage: Stage, criterion: BANetLoss) -> None:
        """Find out, without leaving a trace, how many views of a stage fit into memory at a time.

        Raises:
            BanetError: Not even the fewest that batch normalisation can do with.
        """
        while self._ranks.greatest(not self._fits(stage, criterion)):
            self._halve(self._views(stage))

    def __call__(self, batch: Batch, criterion: BANetLoss, *, seed: int) -> LossTerms:
        """Add the gradients of a batch to those of the network.

        Where memory is short the batch is tried again in smaller parts; where several processes
        train together it is not, since the others would wait for this one.

        Args:
            batch: This process's share, on the device.
            criterion: The loss.
            seed: Of dropout.

        Returns:
            The loss of the batch, detached.

        Raises:
            BanetError: Not even the fewest views fit into memory.
        """
        while True:
            statistics = _Buffers(self._state.network)
            torch.manual_seed(seed)
            terms = self._terms_if_they_fit(batch, criterion)
            if terms is not None:
                return terms
            statistics.restore()
            self._state.network.zero_grad(set_to_none=True)
            self._halve(len(batch.image))

    def _terms_if_they_fit(self, batch: Batch, criterion: BANetLoss) -> LossTerms | None:
        # What failed is let go on return: its traceback holds the features that fill the memory.
        try:
            return self._accumulate(batch, criterion)
        except Exception as error:
            if not is_out_of_memory(error) or self._ranks.count > 1:
                raise
        return None

    def _accumulate(self, batch: Batch, criterion: BANetLoss) -> LossTerms:
        least = self._state.micro_batch or len(batch.image)
        parts = list(micro_batches(batch, least=least, mean=self._ranks.mean))
        sums = torch.zeros(len(LossTerms._fields), device=self._state.device)
        for number, part in enumerate(parts, start=1):
            is_last = number == len(parts)
            with nullcontext() if is_last else without_exchange(self._parallel):
                sums += self._backward(self._parallel, part, criterion)
        return LossTerms(*self._ranks.mean(sums))

    def _backward(self, network: nn.Module, part: MicroBatch, criterion: BANetLoss) -> Tensor:
        """Run forward and backward; return the terms of the loss, (4,)."""
        state, batch = self._state, part.batch
        planes = [normalize(batch.image), *([] if batch.prior is None else [batch.prior])]
        inputs = [plane.contiguous(memory_format=state.layout) for plane in planes]
        with autocast(state.device, state.dtype):
            prediction = network(*inputs)
        terms = criterion(prediction, batch.image, batch.mask, batch.boundary, batch.valid)
        terms = part.weigh(terms, criterion)
        state.scaler.scale(terms.total).backward()
        return torch.stack(terms).detach()

    def _fits(self, stage: Stage, criterion: BANetLoss) -> bool:
        network = self._state.network
        try:
            with _traceless(network, self._state.device):
                batch = self._largest_batch(stage)
                least = self._state.micro_batch or len(batch.image)
                # The first micro-batch is the largest.
                self._backward(network, next(micro_batches(batch, least=least)), criterion)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return False
        return True

    def _views(self, stage: Stage) -> int:
        return stage.batch_size // self._ranks.count

    def _largest_batch(self, stage: Stage) -> Batch:
        """Return black views of the shape that takes the most memory."""
        size = max(stage.view_sizes, key=math.prod)
        colours, plane = (
            torch.zeros(self._views(stage), channels, *size, device=self._state.device)
            for channels in (3, 1)
        )
        prior = colours if self._face_prior else None
        return Batch(image=colours, mask=plane, boundary=plane, valid=plane, prior=prior)

    def _halve(self, views: int) -> None:
        state = self._state
        least = state.micro_batch or views
        if least <= MINIMUM_BATCH:
            raise BanetError(memory_advice(state.device))
        state.micro_batch = max(MINIMUM_BATCH, least // 2)
        if state.device.type == "cuda":
            torch.cuda.empty_cache()
        logger.warning(
            "%s: not enough memory for %d views at a time; going on with at most %d at a time, "
            "whose gradients are added up to those of the whole batch",
            state.device,
            largest_part(views, least=least),
            largest_part(views, least=state.micro_batch),
        )


def memory_advice(device: torch.device) -> str:
    """Return what to do where not even the smallest micro-batch fits."""
    return f"{device}: not enough memory for this batch; use a smaller --batch-size or --size"


class _Buffers:
    """The buffers of a network, such as batch statistics, as they are now."""

    def __init__(self, network: nn.Module) -> None:
        self._groups: dict[torch.dtype, list[Tensor]] = {}
        for buffer in network.buffers():
            self._groups.setdefault(buffer.dtype, []).append(buffer)
        # One copy for each dtype, not for each of hundreds of buffers: this happens in every step.
        self._values = {
            dtype: torch.cat([buffer.flatten() for buffer in buffers])
            for dtype, buffers in self._groups.items()
        }

    def restore(self) -> None:
        """Let the buffers be what they were."""
        for dtype, buffers in self._groups.items():
            values = self._values[dtype].split([buffer.numel() for buffer in buffers])
            for buffer, value in zip(buffers, values, strict=True):
                buffer.copy_(value.view_as(buffer))


@contextmanager
def _traceless(network: nn.Module, device: torch.device) -> Iterator[None]:
    """Undo what forward and backward passes in a `with` block do to network and randomness."""
    statistics = _Buffers(network)
    network.train()
    for module in network.modules():
        # It would wait for the other processes, which may have too little memory to come so far.
        if isinstance(module, nn.SyncBatchNorm):
            module.eval()
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        network.train()
        network.zero_grad(set_to_none=True)
        statistics.restore()
