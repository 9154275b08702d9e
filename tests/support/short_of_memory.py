"""Training with little memory: DATASET OUT RECIPE MEGABYTES STEP.

The process may take as many 10^6 bytes more than it has when the given step begins; memory that
it has mapped already stays. Prints the summary as JSON, messages go to standard error.
"""

import json
import logging
import resource
import sys
from pathlib import Path

import torch
from torch.utils.tensorboard import SummaryWriter

from pipelines.progress import SilentProgress
from pipelines.train import TrainOptions, train

assert SummaryWriter  # what is imported later would count, too


class Limit(SilentProgress):
    def __init__(self, megabytes: int, step: int) -> None:
        self.headroom = megabytes * 10**6
        self.remaining = step

    def start(self, *_stage: object) -> None:
        self.base = self.in_use()
        self.limit_when_due()

    def advance(self, steps: int = 1, status: str = "") -> None:  # noqa: ARG002 - protocol
        self.remaining -= steps
        self.limit_when_due()

    def limit_when_due(self) -> None:
        if self.remaining == 0:
            limit = self.base + self.headroom
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    def in_use(self) -> int:
        status = Path("/proc/self/status").read_text().split("VmSize:")[1]
        return int(status.split()[0]) * 1024


def main() -> None:
    dataset, out, recipe, megabytes, step = sys.argv[1:]
    logging.basicConfig(level=logging.INFO)
    torch.set_num_threads(1)
    options = TrainOptions(
        datasets=(Path(dataset),), out=Path(out), recipe=recipe, device="cpu", precision="fp32"
    )
    summary = train(options, progress=Limit(int(megabytes), int(step)))
    sys.stdout.write(json.dumps(summary.as_json()))


if __name__ == "__main__":
    main()
