"""Datasets on a real server of S3, through the real commands."""

from pathlib import Path

import pytest
import torch
from s3_server import Bucket
from safetensors.torch import load_file
from training import RECIPE, metrics
from unreachable_stores import UNREACHABLE

from pipelines.batches import BatchSource
from pipelines.draws import Draws
from pipelines.errors import StoreError
from pipelines.recipes import load_recipe
from pipelines.storage import locate
from pipelines.store import open_store
from pipelines.trainingdata import load_training_data

ON_CPU = ("--device", "cpu", "--precision", "fp32")


@pytest.fixture
def dataset(bucket: Bucket, prepared: Path) -> str:
    """The URL of a copy of the dataset `prepared`."""
    return bucket.upload(prepared, "sets/pairs.zarr")


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE)
    return path


def test_training_learns_what_it_learns_from_a_copy_on_a_disk(
    banet, dataset, prepared, recipe_file, tmp_path
):
    options = ("--recipe", recipe_file, *ON_CPU)
    banet("train", prepared, "--out", "local", *options)
    (tmp_path / "banet.toml").write_text(f'[train]\ndatasets = ["{dataset}/"]\nout = "remote"\n')

    assert banet("train", *options).exit_code == 0

    runs = [tmp_path / name for name in ("local", "remote")]
    assert metrics(runs[0]) == metrics(runs[1])
    weights, others = (load_file(run / "weights.safetensors") for run in runs)
    assert all(others[name].equal(weights[name]) for name in weights)
    assert f'"{dataset}"' in (tmp_path / "remote" / "config.toml").read_text()
    # One place, however it is spelt: the run goes on.
    assert banet("train", dataset, "--out", "remote", "--resume", *options).exit_code == 0


def test_processes_that_read_photos_open_the_dataset_themselves(dataset, prepared, recipe_file):
    recipe = load_recipe(str(recipe_file))
    held = load_training_data([prepared])
    streamed = load_training_data([locate(dataset)], free=0)
    batches = [
        list(
            BatchSource(Draws(data.training, recipe, seed=0, device=torch.device("cpu"))).batches(0)
        )
        for data in (held, streamed)
    ]
    assert not streamed.training[0].resident
    assert all(
        plane.equal(other)
        for one, two in zip(*batches, strict=True)
        for plane, other in zip(one[:4], two[:4], strict=True)
    )


def test_scores_are_those_of_a_copy_on_a_disk(banet, dataset, prepared, weights_file, tmp_path):
    options = ("--weights", weights_file, *ON_CPU, "--out", "scores", "--json")
    outcome = banet("evaluate", f"{dataset}/", prepared, *options)
    remote, local = outcome.summary["results"]
    assert (remote.pop("dataset"), local.pop("dataset")) == (dataset, str(prepared))
    assert remote == local
    lines = (tmp_path / "scores" / "samples.csv").read_text().splitlines()
    assert sum(f",{dataset}," in line for line in lines) == remote["samples"]


def test_datasets_of_one_name_are_told_apart_by_their_urls(bucket, prepared):
    places = [
        prepared,
        *(locate(bucket.upload(prepared, key)) for key in ("a/pairs.zarr", "pairs.zarr")),
    ]
    assert list(load_training_data(places).facts) == [
        "/".join(prepared.parts[-2:]),
        "a/pairs.zarr",
        f"{bucket.name}/pairs.zarr",
    ]
    assert locate(f"s3://{bucket.name}").stem == bucket.name


@pytest.mark.parametrize(
    ("lost", "reason"),
    [
        (
            "zarr.json",
            "only a part of one, without its zarr.json; copy it again from where it came",
        ),
        ("mask/zarr.json", "damaged, mask is not complete; copy it again from where it came"),
        ("image/c/0/0/0/0", "damaged, image is not complete; copy it again from where it came"),
    ],
)
def test_half_a_dataset_is_named_with_the_remedy(banet, bucket, dataset, *, lost, reason):
    bucket.delete(f"sets/pairs.zarr/{lost}")
    for command in ("evaluate", "train"):
        assert f"{dataset}: " in (said := failure(banet(command, dataset, *out(command))))
        assert reason in said


def test_photos_that_go_while_they_are_read_are_no_black_ones(bucket, dataset):
    store = open_store(locate(dataset))
    bucket.delete("sets/pairs.zarr/image/c/0/0/0/0")
    with pytest.raises(StoreError, match=f"^{dataset}: 'image' is damaged"):
        list(store.photos([0]))


def test_what_is_not_there_is_named_with_the_remedy(banet, dataset):
    for url, reason in (
        (f"{dataset}-typo", f"no such dataset; make it with `banet prepare SOURCE {dataset}-typo`"),
        ("s3://no-such-bucket/a.zarr", "there is no such bucket at this endpoint; check both"),
    ):
        assert failure(banet("evaluate", url)) == f"error: {url}: {reason}"


@pytest.mark.parametrize("key", ["*", "image/zarr.json", "image/c/*"])
def test_what_may_not_be_read_is_named(banet, bucket, dataset, key):
    bucket.deny("s3:GetObject", f"sets/pairs.zarr/{key}")
    said = failure(banet("evaluate", dataset))
    assert said.startswith(f"error: {dataset}: the dataset cannot be read (access denied")


@pytest.mark.usefixtures("other_access")
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        *UNREACHABLE,
        ({"AWS_ENDPOINT_URL": "nonsense"}, "Invalid endpoint"),
        ({"AWS_PROFILE": "nobody"}, "The config profile (nobody) could not be found"),
    ],
)
def test_a_store_out_of_reach_is_an_error_that_says_why(
    banet, dataset, *, changes, reason, monkeypatch
):
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    said = failure(banet("evaluate", dataset))
    assert said.startswith(f"error: {dataset}: the dataset cannot be read ({reason}")
    assert said.endswith("mend that and run the command again")


def test_passwords_are_never_shown(banet):
    said = failure(banet("train", "ftp://ann:secret@127.0.0.1:9/a.zarr", *out("train")), 2)
    assert "ftp://ann@127.0.0.1:9/a.zarr" in said
    assert "secret" not in said


def out(command):
    return ("--out", "run") if command == "train" else ()


def failure(outcome, exit_code=1):
    """The one sentence that a failed command says."""
    assert outcome.exit_code == exit_code
    assert not outcome.stdout
    (line,) = outcome.stderr.strip().splitlines()
    return line
