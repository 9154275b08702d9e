import json
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from deaths import begun
from safetensors import safe_open
from safetensors.torch import load_file
from training import RECIPE, metrics, options

from pipelines.errors import ConfigError, InputError
from pipelines.prepare import PrepareOptions, prepare
from pipelines.progress import SilentProgress
from pipelines.recipes import recipe_from_table
from pipelines.train import train
from pipelines.trainstate import TrainState


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ("banet-64", ""),
        ("enet", 'optimizer = "adamw"\nlearning_rate = 0.002\nclip = 0.5\nema = 0.99\n'),
    ],
    ids=["sgd", "adamw-clip-ema-dropout"],
)
def test_killed_and_resumed_run_equals_an_uninterrupted_one(
    prepared: Path, tmp_path: Path, request: pytest.FixtureRequest, model: str, settings: str
) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(settings + RECIPE.replace("learning_rate = 0.05\n", "") if settings else RECIPE)
    recipe = str(path)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums of floats depend on how the work is shared
    request.addfinalizer(lambda: torch.set_num_threads(threads))
    train(options(prepared, whole, recipe, model=model))
    process = begun(train, options(prepared, cut, recipe, model=model))
    state = cut / "last" / "state.safetensors"
    deadline = time.monotonic() + 120
    while saved_iteration(state) < 3 and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    resumed = train(options(prepared, cut, recipe, model=model, resume=True))
    assert resumed.iterations == 9
    expected, found = (load_file(run / "last" / "state.safetensors") for run in (whole, cut))
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=0)
    assert metrics(cut) == metrics(whole)


def saved_iteration(state: Path) -> int:
    """Return the iteration that a state was saved at, -1 if there is none."""
    if not state.exists():
        return -1
    with safe_open(state, framework="pt") as file:
        return json.loads(file.metadata()["facts"])["iteration"]


def test_interrupted_run_is_saved_and_goes_on_to_the_same_end(
    prepared: Path, tmp_path: Path, recipe: str, request: pytest.FixtureRequest
) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    request.addfinalizer(lambda: torch.set_num_threads(threads))
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    train(options(prepared, whole, recipe))

    class InterruptAt5(SilentProgress):
        steps = 0

        def advance(self, steps: int = 1, status: str = "") -> None:  # noqa: ARG002 - protocol
            self.steps += steps
            if self.steps == 5:
                signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(options(prepared, cut, recipe), progress=InterruptAt5())
    assert train(options(prepared, cut, recipe, resume=True)).iterations == 9
    expected, found = (load_file(run / "last" / "state.safetensors") for run in (whole, cut))
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=0)


def test_changed_data_cannot_be_resumed(pairs_folder: Path, tmp_path: Path, recipe: str) -> None:
    dataset, run = tmp_path / "a.zarr", tmp_path / "run"
    source = PrepareOptions(
        source=pairs_folder, dataset=dataset, size=64, split=(0.6, 0.4, 0.0), workers=0
    )
    prepare(source)
    train(options(dataset, run, recipe, iterations=2))
    prepare(replace(source, split=(0.4, 0.6, 0.0), force=True))
    with pytest.raises(ConfigError, match="other values of resolved_datasets"):
        train(options(dataset, run, recipe, iterations=2, resume=True))


def test_half_precision_state_survives_saving(tmp_path: Path) -> None:
    recipe = recipe_from_table({"iterations": 4, "size": 32}, where="test")
    states = [
        TrainState(torch.nn.Linear(2, 1), recipe, device=torch.device("cpu"), dtype=torch.float16)
        for _ in range(2)
    ]
    optimizer = states[0].optimizer_for(recipe.stages[0], 0)
    loss = states[0].network(torch.ones(1, 2)).sum()
    states[0].scaler.scale(loss * torch.inf).backward()
    states[0].scaler.step(optimizer)
    states[0].scaler.update()
    states[0].iteration = 1
    states[0].save(tmp_path)
    states[1].load(tmp_path)
    halved = states[0].scaler.get_scale()
    assert halved == 2**15  # from 2 to the 16, after a step that overflowed and was left out
    assert states[1].scaler.get_scale() == halved
    assert states[1].iteration == 1


@pytest.mark.parametrize(("device", "kept"), [("cpu", 3), ("cuda", None)])
def test_parts_of_batches_are_those_of_the_device(
    tmp_path: Path, device: str, kept: int | None
) -> None:
    recipe = recipe_from_table({"iterations": 4, "size": 32}, where="test")
    before, after = (
        TrainState(torch.nn.Linear(2, 1), recipe, device=torch.device("cpu"), dtype=torch.float32)
        for _ in range(2)
    )
    before.device = torch.device(device)
    before.micro_batch = 3
    before.save(tmp_path)
    after.load(tmp_path)
    assert after.micro_batch == kept


def test_folder_of_another_run_is_refused(prepared: Path, tmp_path: Path, recipe: str) -> None:
    run = tmp_path / "run"
    train(options(prepared, run, recipe, iterations=2))
    with pytest.raises(InputError, match=r"holds a training run; add --resume"):
        train(options(prepared, run, recipe, iterations=2))
    with pytest.raises(ConfigError, match="other values of learning_rate, resolved_recipe, seed"):
        train(options(prepared, run, recipe, learning_rate=0.3, iterations=2, seed=5, resume=True))


def test_finished_run_is_resumed_without_harm(prepared: Path, tmp_path: Path, recipe: str) -> None:
    run = tmp_path / "run"
    first = train(options(prepared, run, recipe))
    before = (run / "weights.safetensors").read_bytes()
    again = train(options(prepared, run, recipe, resume=True))
    assert again.best == first.best
    assert (run / "weights.safetensors").read_bytes() == before
