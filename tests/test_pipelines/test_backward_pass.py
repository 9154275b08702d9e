import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import short_of_memory
import torch
from safetensors import safe_open

from models import build_model
from models.losses import BANetLoss, LossTerms
from pipelines.backward_pass import BackwardPass
from pipelines.batches import Batch
from pipelines.micro_batches import largest_part, micro_batches
from pipelines.ranks import Ranks
from pipelines.recipes import Recipe, recipe_from_table
from pipelines.trainstate import TrainState

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def recipe() -> Recipe:
    return recipe_from_table({"iterations": 2, "size": 32, "batch_size": 5}, where="test")


@pytest.fixture
def state(recipe: Recipe) -> TrainState:
    torch.manual_seed(0)
    return TrainState(build_model("enet"), recipe, device=CPU, dtype=torch.float32)


@pytest.fixture
def batch() -> Batch:
    """Five views, each with less frame and more boundary than the one before."""
    generator = torch.Generator().manual_seed(0)
    image, mask = (torch.rand(5, count, 32, 32, generator=generator) for count in (3, 1))
    columns = torch.arange(32).expand(5, 1, 32, 32)
    views = torch.arange(5).view(5, 1, 1, 1)
    return Batch(
        image=image,
        mask=mask.round(),
        boundary=(columns < 3 * views).float(),
        valid=(columns >= 20 - 4 * views).float(),
    )


def loss_and_gradients(state: TrainState, batch: Batch) -> tuple[LossTerms, list[torch.Tensor]]:
    state.network.eval()  # batch statistics would differ between batches and their parts
    state.network.zero_grad()
    backward = BackwardPass(state, ranks=Ranks(device=CPU), face_prior=False)
    terms = backward(batch, BANetLoss(), seed=0)
    return terms, [each.grad.clone() for each in state.network.parameters()]


def test_micro_batches_add_up_to_the_gradient_of_the_batch(state: TrainState, batch: Batch) -> None:
    whole = loss_and_gradients(state, batch)
    state.micro_batch = 2
    torch.testing.assert_close(loss_and_gradients(state, batch), whole, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("views", "least", "largest"), [(7, 3, 4), (7, 2, 3), (8, 4, 4), (5, 9, 5)]
)
def test_largest_part_is_known(views: int, least: int, largest: int) -> None:
    plane = torch.zeros(views, 1, 1, 1)
    parts = micro_batches(Batch(plane, plane, plane, plane), least=least)
    assert next(parts).batch.image.shape[0] == largest_part(views, least=least) == largest


def test_the_same_features_are_dropped_for_the_same_seed(state: TrainState, batch: Batch) -> None:
    backward = BackwardPass(state, ranks=Ranks(device=CPU), face_prior=False)
    state.network.train()
    first, second, other = (backward(batch, BANetLoss(), seed=seed).total for seed in (1, 1, 2))
    assert first == second != other


def test_probe_leaves_no_trace(state: TrainState, recipe: Recipe) -> None:
    backward = BackwardPass(state, ranks=Ranks(device=CPU), face_prior=False)
    before = {key: value.clone() for key, value in state.network.state_dict().items()}
    random_state = torch.get_rng_state()
    backward.fit(recipe.stages[0], BANetLoss())
    torch.testing.assert_close(dict(state.network.state_dict()), before, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(each.grad is None for each in state.network.parameters())


MEGABYTES = "500"
"""More than a process has when it begins to train."""


@pytest.fixture
def train_short_of_memory(
    prepared: Path, tmp_path: Path
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Train in a process that from a step on may take no more than some memory."""
    recipe = tmp_path / "recipe.toml"

    def run(*, views: int, size: int, step: int) -> subprocess.CompletedProcess[str]:
        recipe.write_text(
            f"iterations = 2\nsize = {size}\nbatch_size = {views}\n"
            "learning_rate = 0.01\nshapes = [[1.0, 1.0]]\n"
        )
        command = [sys.executable, short_of_memory.__file__, prepared, tmp_path / "run", recipe]
        return subprocess.run(
            [*map(str, command), MEGABYTES, str(step)],
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                # Freed memory goes back to the system, so that its limit means something.
                "MALLOC_ARENA_MAX": "1",
                "MALLOC_MMAP_THRESHOLD_": "65536",
            },
            capture_output=True,
            text=True,
            check=False,
        )

    return run


needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")


@needs_linux
@pytest.mark.slow
@pytest.mark.parametrize("step", [0, 1])
def test_training_goes_on_in_micro_batches_where_memory_is_short(
    train_short_of_memory: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
    step: int,
) -> None:
    done = train_short_of_memory(views=64, size=96, step=step)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["iterations"] == 2
    assert (
        "not enough memory for 64 views at a time; going on with at most 32 at a time"
        in done.stderr
    )
    with safe_open(tmp_path / "run" / "last" / "state.safetensors", framework="pt") as file:
        facts = json.loads(file.metadata()["facts"])
        batches = file.get_tensor("network.fusion.fuse.1.num_batches_tracked").item()
    parts = 64 // facts["micro_batch"]
    assert batches == step + (2 - step) * parts  # what failed has left no statistics behind


@needs_linux
@pytest.mark.slow
def test_too_little_memory_for_the_fewest_views_is_explained(
    train_short_of_memory: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    # Two views ask for far too much at once, so that enough is left for libraries that crash else.
    done = train_short_of_memory(views=4, size=1536, step=0)
    assert "cpu: not enough memory for this batch; use a smaller --batch-size" in done.stderr
