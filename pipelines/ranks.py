"""The processes that train one network together: the only module that knows torch.distributed.

`torchrun --nproc-per-node N -m banet_cli train ...` starts N of them. Each works on its share of
every batch; the mean of their gradients is what all of them step along.
"""

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from pipelines.devices import resolve_device
from pipelines.errors import BanetError, ConfigError
from pipelines.interrupts import SIGNALS
from pipelines.recipes import MINIMUM_BATCH, Recipe

PATIENCE = timedelta(minutes=60)
"""How long a process waits for another, such as the first while it validates."""

SAME_INTERRUPT = 3.0
"""Seconds within which signals are one: torchrun passes on what its processes may have got too."""

TIME_TO_LEAVE = 2.0
"""Seconds that a process has after a second one, which may be its own, raised anew after saving."""


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """This process among those that train together; by default it is alone.

    Attributes:
        device: Of this process.
        rank: Its number, from 0. The first one logs, validates and saves.
        count: How many there are.
        local_count: How many of them are on this machine, whose memory they share.
    """

    device: torch.device
    rank: int = 0
    count: int = 1
    local_count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that logs, validates and saves."""
        return self.rank == 0

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Be connected to the others for the time of a `with` block; only the first one reports.

        Raises:
            BanetError: Another process ended, or cannot be reached.
        """
        if self.count == 1:
            yield
            return
        backend = "gloo"
        if self.device.type == "cuda":
            backend = "nccl"
            torch.cuda.set_device(self.device)
        with _lost_processes_explained(), _reports_of(self), second_signal_heeded():
            distributed.init_process_group(backend, timeout=PATIENCE)
            try:
                yield
            finally:
                distributed.destroy_process_group()

    def refuse_uneven(self, recipe: Recipe) -> None:
        """Make sure that every process gets equally many views of every batch.

        Raises:
            ConfigError: It would not, or too few for batch normalisation.
        """
        for stage in recipe.stages:
            if stage.batch_size % self.count or stage.batch_size < self.count * MINIMUM_BATCH:
                raise ConfigError(
                    f"--batch-size {stage.batch_size}: {self.count} processes share a batch; use "
                    f"a multiple of {self.count}, at least {self.count * MINIMUM_BATCH}"
                )

    def prepared(self, network: nn.Module) -> nn.Module:
        """Let batch normalisation on GPUs see the shares of all processes as one batch."""
        if self.count == 1 or self.device.type != "cuda":
            return network
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)

    def parallel(self, network: nn.Module) -> nn.Module:
        """Wrap a network so that the last `backward` of a step averages the gradients."""
        return network if self.count == 1 else DistributedDataParallel(network)

    def mean(self, values: Tensor) -> Tensor:
        """Average a tensor over the processes."""
        if self.count > 1:
            distributed.all_reduce(values)
            values /= self.count
        return values

    def greatest(self, number: int) -> int:
        """Return the greatest of the numbers that the processes give."""
        if self.count == 1:
            return number
        value = torch.tensor(number, device=self.device)
        distributed.all_reduce(value, distributed.ReduceOp.MAX)
        return int(value)

    def agree(self, number: int) -> bool:
        """Tell whether all processes give the same number."""
        return self.greatest(number) == -self.greatest(-number)

    def wait(self) -> None:
        """Wait until every process has come here."""
        self.greatest(0)


def launched_ranks(device: str) -> Ranks:
    """Return what torchrun says of this process in the environment, and choose its device.

    Args:
        device: As `--device`; several processes take the GPU of their local rank each.

    Raises:
        ConfigError: The device has no such name, or is a single one for several processes; or the
            environment says that something else than torchrun started several.
        DeviceError: The device is not there.
    """
    count = _launched("WORLD_SIZE", default=1)
    if count == 1 or "RANK" not in os.environ:
        return Ranks(device=resolve_device(device))
    rank, local_rank = _launched("RANK"), _launched("LOCAL_RANK")
    chosen = resolve_device(device)
    if chosen.type not in {"cpu", "cuda"} or ":" in device:
        raise ConfigError(
            f"--device {device}: {count} processes cannot share it; use --device cuda, which gives "
            "each its own, or --device cpu"
        )
    if chosen.type == "cuda":
        chosen = resolve_device(f"cuda:{local_rank}")
    local_count = _launched("LOCAL_WORLD_SIZE", default=count)
    return Ranks(device=chosen, rank=rank, count=count, local_count=local_count)


def _launched(name: str, *, default: int | None = None) -> int:
    """Return a number that torchrun puts into the environment."""
    value = os.environ.get(name, default)
    try:
        return int(value)  # type: ignore[arg-type] # None is refused as other nonsense is
    except (TypeError, ValueError) as error:
        state = "is not set" if value is None else f"is {value!r}, which is no number,"
        raise ConfigError(
            f"{name} {state} in the environment: start the processes that are to train together "
            "with torchrun, or unset RANK and WORLD_SIZE to train in one"
        ) from error


def without_exchange(network: nn.Module) -> AbstractContextManager[None]:
    """Let the `backward` passes of a `with` block keep their gradients to this process.

    Args:
        network: What `Ranks.parallel` returned.
    """
    if isinstance(network, DistributedDataParallel):
        return network.no_sync()
    return nullcontext()


@contextmanager
def second_signal_heeded() -> Iterator[None]:
    """End this process soon after a second interrupt, even while it waits for the others.

    That happens in foreign code, during which no handler of Python's is run: a thread listens. It
    ends without a word, since nothing that the process holds can be let go from there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    listener, speaker = socket.socketpair()
    speaker.setblocking(False)
    earlier = signal.set_wakeup_fd(speaker.fileno(), warn_on_full_buffer=False)
    left = threading.Event()
    thread = threading.Thread(target=_end_at_second_signal, args=(listener, left), daemon=True)
    thread.start()
    try:
        yield
    finally:
        left.set()
        signal.set_wakeup_fd(earlier)
        speaker.close()  # so that the thread ends
        thread.join()
        listener.close()


def _end_at_second_signal(listener: socket.socket, left: threading.Event) -> None:
    first: float | None = None
    while received := listener.recv(1):
        number = received[0]
        if number not in SIGNALS:
            continue
        first = monotonic() if first is None else first
        if monotonic() - first > SAME_INTERRUPT and not left.wait(TIME_TO_LEAVE):
            os._exit(128 + number)


@contextmanager
def _reports_of(ranks: Ranks) -> Iterator[None]:
    """Keep all but errors of the processes after the first out of the log."""
    logger = logging.getLogger("pipelines")
    level = logger.level
    if not ranks.first:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def _lost_processes_explained() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, distributed.DistError) and "gloo" not in str(error):
            raise
        raise BanetError(
            f"the other processes of this training cannot be reached ({str(error).splitlines()[0]})"
            "; see what they said, then run the same command again with --resume"
        ) from error
