import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

from pipelines.checkpoints import WeightsInfo, load_weights, save_weights
from pipelines.errors import BanetError, ConfigError, InputError, StoreError, WeightsError
from pipelines.prepare import PrepareOptions, prepare
from pipelines.progress import SilentProgress
from pipelines.recipes import recipe_from_table
from pipelines.train import TrainOptions, train
from pipelines.trainingdata import load_training_data
from pipelines.trainstate import TrainState

RECIPE = """
validate_every = 3
size = 48
batch_size = 4
learning_rate = 0.05
shapes = [[1.0, 0.75], [0.75, 1.0]]

[augmentation]
view = 0.5

[[stages]]
iterations = 4
refine_weight = 0.0

[[stages]]
iterations = 5
warmup = 2
"""


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE)
    return str(path)


def options(dataset: Path, out: Path, recipe: str, **changes: object) -> TrainOptions:
    defaults: dict[str, object] = {"precision": "fp32", "device": "cpu"}
    values = {**defaults, "datasets": (dataset,), "out": out, "recipe": recipe, **changes}
    return TrainOptions(**values)


def metrics(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_run_leaves_what_the_design_promises(prepared: Path, tmp_path: Path, recipe: str) -> None:
    run = tmp_path / "run"
    summary = train(options(prepared, run, recipe))
    assert summary.iterations == 9
    assert summary.as_json()["best"] == summary.best
    assert summary.best["iteration"] in {3, 6, 9}
    names = {path.name for path in run.iterdir()}
    assert names - {".lock"} == {
        "weights.safetensors",
        "last",
        "config.toml",
        "metrics.jsonl",
        "events",
        "previews",
        "run.json",
    }
    assert [row["iteration"] for row in metrics(run)] == [3, 6, 9]
    assert all(0 <= row["val/pairs/boundary_iou"] <= 1 for row in metrics(run))
    assert len(list((run / "previews").glob("*.jpg"))) == 3
    assert json.loads((run / "run.json").read_text())["iterations"] == 9
    info = load_weights(str(run / "weights.safetensors")).info
    assert (info.model, info.size, info.temperature) == ("banet-64", 48, 2.0)
    assert info.training["best"] == summary.best


def test_network_learns_the_figures(prepared: Path, tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(
        "validate_every = 60\niterations = 60\nsize = 64\nbatch_size = 8\nlearning_rate = 0.1\n"
        "[augmentation]\nrotation = 10.0\n"
    )
    summary = train(options(prepared, tmp_path / "run", str(path)))
    assert float(str(summary.best["portrait_iou"])) > 0.8


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
    arguments = ["train", str(prepared), "--out", str(cut), "--recipe", recipe, "--model", model]
    command = [sys.executable, "-m", "banet_cli", *arguments]
    command += ["--precision", "fp32", "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment)
    state = cut / "last" / "state.safetensors"
    deadline = time.monotonic() + 120
    while saved_iteration(state) < 3 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    assert process.wait() == -signal.SIGKILL
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


def test_photo_trained_on_here_and_validated_with_there_is_refused(
    pairs_folder: Path, prepared: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.zarr"
    prepare(
        PrepareOptions(
            source=pairs_folder, dataset=other, size=32, split=(0.3, 0.7, 0.0), workers=0
        )
    )
    with pytest.raises(InputError, match=r"photos that .* validates with .* the same --split"):
        load_training_data([prepared, other])


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


def test_training_starts_from_given_weights(prepared: Path, tmp_path: Path, recipe: str) -> None:
    first = train(options(prepared, tmp_path / "first", recipe))
    summary = train(
        options(
            prepared,
            tmp_path / "second",
            recipe,
            init=str(first.weights),
            iterations=2,
            learning_rate=1e-9,
        )
    )
    start, end = (load_weights(str(run.weights)).network.state_dict() for run in (first, summary))
    name = "classify.weight"
    torch.testing.assert_close(start[name], end[name], rtol=0, atol=1e-6)


def test_weights_of_another_network_are_refused(
    prepared: Path, tmp_path: Path, recipe: str
) -> None:
    first = train(options(prepared, tmp_path / "first", recipe, iterations=2))
    with pytest.raises(ConfigError, match=r"weights of banet-64, not of --model banet-512"):
        train(options(prepared, tmp_path / "b", recipe, init=str(first.weights), model="banet-512"))
    assert not (tmp_path / "b").exists()


def test_photos_of_nobody_do_not_choose_the_weights(
    prepared: Path,
    person: Callable[..., tuple[np.ndarray, np.ndarray]],
    tmp_path: Path,
    recipe: str,
) -> None:
    for folder in ("images", "masks"):
        (tmp_path / "nobody" / folder).mkdir(parents=True)
    for number in range(100, 106):
        photo, _ = person(number)
        Image.fromarray(photo).save(tmp_path / "nobody" / "images" / f"{number}.png")
        Image.new("L", (90, 120)).save(tmp_path / "nobody" / "masks" / f"{number}.png")
    nobody = tmp_path / "nobody.zarr"
    prepare(
        PrepareOptions(
            source=tmp_path / "nobody", dataset=nobody, size=32, split=(0.5, 0.5, 0.0), workers=0
        )
    )
    summary = train(options(prepared, tmp_path / "run", recipe, datasets=(prepared, nobody)))
    scores = summary.best["validation"]
    assert isinstance(scores, dict)
    assert scores.keys() == {"pairs", "nobody"}
    assert summary.best["portrait_iou"] == scores["pairs"]["portrait_iou"]


def test_dataset_named_twice_counts_twice_and_is_judged_once(prepared: Path) -> None:
    once, twice = load_training_data([prepared]), load_training_data([prepared, prepared])
    assert [len(each.photos) for each in twice.training] == [len(once.training[0].photos)] * 2
    assert twice.validation.keys() == {"pairs"}
    assert twice.facts["pairs"]["weight"] == 2


def test_datasets_of_one_name_are_told_apart(prepared: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(prepared, tmp_path / prepared.name))
    data = load_training_data([prepared, other])
    ends = {f"{path.parent.name}/{path.name}" for path in (prepared, other)}
    assert data.validation.keys() == data.facts.keys() == ends


def test_recipe_for_more_datasets_than_named_is_refused(prepared: Path, tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text("iterations = 5\ndatasets = [2]\n")
    with pytest.raises(ConfigError, match="stage 1 draws from dataset 2, but 1 were named"):
        train(options(prepared, tmp_path / "run", str(path)))


def test_licence_travels_with_the_weights(prepared: Path, tmp_path: Path, recipe: str) -> None:
    licensed = options(prepared, tmp_path / "run", recipe, iterations=2, licence="CC0")
    assert load_weights(str(train(licensed).weights)).info.licence == "CC0"


def test_bfloat16_trains_too(prepared: Path, tmp_path: Path, recipe: str) -> None:
    summary = train(options(prepared, tmp_path / "run", recipe, precision="bf16"))
    assert summary.precision == "bf16"
    assert all(np.isfinite(row["val/portrait_iou"]) for row in metrics(tmp_path / "run"))


def test_averaged_network_is_what_is_kept(prepared: Path, tmp_path: Path, recipe: str) -> None:
    Path(recipe).write_text("ema = 0.5\n" + RECIPE)
    summary = train(options(prepared, tmp_path / "run", recipe, iterations=2))
    state = load_file(tmp_path / "run" / "last" / "state.safetensors")
    kept = load_weights(str(summary.weights)).network.state_dict()
    for name, tensor in kept.items():
        torch.testing.assert_close(state[f"averaged.{name}"], tensor, rtol=0, atol=0)
    assert not torch.equal(state["network.classify.weight"], kept["classify.weight"])


def test_peak_of_memory_is_reported(prepared: Path, tmp_path: Path, recipe: str) -> None:
    summary = train(options(prepared, tmp_path / "run", recipe, iterations=2))
    reported = json.loads((tmp_path / "run" / "run.json").read_text())["peak_memory_mb"]
    assert reported == summary.as_json()["peak_memory_mb"]
    assert reported is None or reported > 10  # None but on Linux


def test_diverging_run_stops_with_advice(prepared: Path, tmp_path: Path, recipe: str) -> None:
    with pytest.raises(
        BanetError, match=r"the loss is (nan|inf) at iteration .*lower --learning-rate"
    ):
        train(options(prepared, tmp_path / "run", recipe, learning_rate=1e30))


def test_dataset_without_validation_is_refused_before_anything_is_written(
    pairs_folder: Path, tmp_path: Path, recipe: str
) -> None:
    dataset = tmp_path / "a.zarr"
    prepare(
        PrepareOptions(
            source=pairs_folder, dataset=dataset, size=32, split=(1.0, 0.0, 0.0), workers=0
        )
    )
    with pytest.raises(InputError, match=r"no samples in the split 'val'.*--split"):
        train(options(dataset, tmp_path / "run", recipe))
    assert not (tmp_path / "run").exists()


def test_missing_dataset_and_bad_options_are_named(tmp_path: Path, recipe: str) -> None:
    with pytest.raises(StoreError, match="no such dataset"):
        train(options(tmp_path / "nowhere.zarr", tmp_path / "run", recipe))
    with pytest.raises(ConfigError) as error:
        options(tmp_path, tmp_path, recipe, model="vgg", iterations=0, learning_rate=-1.0)
    assert all(part in str(error.value) for part in ("--model vgg", "--iterations 0", "-1.0"))


def test_damaged_weights_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"nonsense")
    with pytest.raises(WeightsError, match="not a safetensors file, or a damaged one"):
        load_weights(str(path))
    with pytest.raises(
        WeightsError, match=r"there is no file .*nowhere; name a \.safetensors file"
    ):
        load_weights(str(tmp_path / "nowhere"))
    other = torch.nn.Linear(2, 2)
    save_weights(path, other, WeightsInfo(model="banet-64", temperature=2.0, size=64))
    with pytest.raises(WeightsError, match="do not fit the network 'banet-64'"):
        load_weights(str(path))
    save_weights(path, other, WeightsInfo(model="hal-9000", temperature=2.0, size=64))
    with pytest.raises(WeightsError, match="'hal-9000', which this version of banet does"):
        load_weights(str(path))


def test_training_runs_where_there_is_no_dask() -> None:
    """GPU machines often have torch and little else."""
    code = "import sys; sys.modules['dask'] = None; import pipelines.train"
    subprocess.run([sys.executable, "-c", code], check=True)
