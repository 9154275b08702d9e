import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from figures import draw_portrait
from PIL import Image
from safetensors.torch import load_file
from training import RECIPE, metrics, options

from models import build_model
from pipelines.checkpoints import WeightsInfo, load_weights, save_weights
from pipelines.errors import BanetError, ConfigError, InputError, StoreError, WeightsError
from pipelines.prepare import PrepareOptions, prepare
from pipelines.train import train
from pipelines.trainingdata import load_training_data


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
    prepared: Path, tmp_path: Path, recipe: str
) -> None:
    for folder in ("images", "masks"):
        (tmp_path / "nobody" / folder).mkdir(parents=True)
    for number in range(100, 106):
        photo, _ = draw_portrait(number)  # no two are alike: near duplicates would share a split
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


def test_answers_that_are_no_numbers_never_look_good(
    prepared: Path, tmp_path: Path, recipe: str, caplog: pytest.LogCaptureFixture
) -> None:
    network = build_model("banet-64")
    for name, buffer in network.named_buffers():
        if name.endswith("running_var"):
            buffer.fill_(torch.nan)  # which training does not look at
    spoilt = tmp_path / "spoilt.safetensors"
    save_weights(spoilt, network, WeightsInfo(model="banet-64", temperature=2.0, size=48))
    with caplog.at_level("WARNING"):
        summary = train(options(prepared, tmp_path / "run", recipe, init=str(spoilt), iterations=2))
    assert summary.best["portrait_iou"] < 0.01
    assert "validation photos is not a number; it counts as wrong" in caplog.text


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
