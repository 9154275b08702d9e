"""Networks without Python between their layers, so that threads do not wait for each other.

Only one thread of a process runs Python at a time, and a network has some two hundred layers. Of
two threads that each compute a photo, both lost a fifth of their time waiting for the other one.
"""

import threading
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn
from torch.jit._trace import TracerWarning


class TracedNetwork:
    """A network whose operations are recorded in its first pass, and run by TorchScript then.

    Nothing is fused or reordered, so that it computes what the module does, bit for bit. What the
    module decides in Python is decided for good in that pass: it must not depend on the sizes of
    the pictures. For several threads at once.

    Args:
        module: On the CPU and in eval mode, from tensors to a tensor, its parameters without
            gradients.
        context: What it is to run within: returns autocast, for instance.
    """

    def __init__(
        self, module: nn.Module, *, context: Callable[[], AbstractContextManager[object]]
    ) -> None:
        self._module = module
        self._context = context
        # By the number of inputs and that of photos, which is among what is decided.
        self._traces: dict[tuple[int, int], Callable[..., Tensor]] = {}
        self._lock = threading.Lock()

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Return what the module makes of its inputs, of which some may be optional."""
        with torch.inference_mode(), torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
            output: Tensor = self._trace(inputs)(*inputs)
        return output

    def _trace(self, inputs: tuple[Tensor, ...]) -> Callable[..., Tensor]:
        with self._lock:
            key = len(inputs), len(inputs[0])
            trace = self._traces.get(key)
            if trace is None:
                trace = self._traces[key] = self._record(inputs)
            return trace

    def _record(self, inputs: tuple[Tensor, ...]) -> Callable[..., Tensor]:
        # A function, in which the weights are constants: for a module, torch first describes its
        # hundreds of parts to TorchScript, which takes three times as long.
        def network(*each: Tensor) -> Tensor:
            output: Tensor = self._module(*each)
            return output

        with self._context(), warnings.catch_warnings():
            # What torch names in its place compiles for half a minute, and for one size at a time.
            warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)
            warnings.filterwarnings("ignore", category=TracerWarning)
            return torch.jit.trace(network, inputs, check_trace=False)
