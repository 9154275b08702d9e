"""Networks that others made, through the real `segment`: each finds nobody unless used rightly."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from distributed import LocalCluster
from foreign_networks import IMAGENET, NORMAL, OPEN, OPEN_SIDES, PERSON, Network, draw, without
from PIL import Image
from segment_results import counts, ledger, outputs, pixels

from pipelines.engines import engine_once, make_engine
from pipelines.errors import ConfigError
from pipelines.evaluate import EvaluateOptions, evaluate
from pipelines.onnx_weights import load_onnx
from pipelines.segment import SegmentSummary

Run = Callable[..., SegmentSummary]

SHAPES = {"tall": (160, 120), "wide": (90, 200), "square": (100, 100)}

BYTES = {"value_range": [0, 255]}
CAFFE = {"mean": [104.0, 117.0, 123.0], "deviation": [58.0, 57.0, 57.5]}


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """A folder of photos of several shapes."""
    folder = tmp_path / "people"
    folder.mkdir()
    for name, (height, width) in SHAPES.items():
        photo, _ = draw(height=height, width=width)
        Image.fromarray(photo).save(folder / f"{name}.png")
    return folder


def refuse_other_mask(out: Path, name: str) -> None:
    """Make sure that a mask that was written is the right one, and lies where it should."""
    height, width = SHAPES[name]
    found, (_, expected) = (
        pixels(out / f"masks/{name}.png") >= 128,
        draw(height=height, width=width),
    )
    assert found.shape == expected.shape
    assert (found & expected).sum() / (found | expected).sum() > 0.9
    offset = np.argwhere(found).mean(axis=0) - np.argwhere(expected).mean(axis=0)
    assert np.abs(offset).max() < 0.75


@pytest.mark.parametrize(
    ("network", "toml"),
    [
        pytest.param({}, {}, id="fixed"),
        pytest.param({}, {"fit": "letterbox"}, id="letterbox"),
        pytest.param(
            {"shape": (1, 128, 96, 3), "layout": "NHWC"}, {"layout": "NHWC"}, id="channels-last"
        ),
        pytest.param({"shape": OPEN_SIDES}, OPEN, id="open"),
        pytest.param({"shape": (None, None, None, 3), "layout": "NHWC"},
                     {**OPEN, "layout": "NHWC"}, id="open-channels-last"),
        pytest.param({"shape": OPEN_SIDES}, {"fit": "letterbox"}, id="open-used-as-fixed"),
        pytest.param({"shape": (4, 3, 128, 96)}, {}, id="batch-of-four",
                     marks=pytest.mark.filterwarnings("default")),
        pytest.param({"activation": "sigmoid"}, {"output_activation": "sigmoid"}, id="sigmoid"),
        pytest.param({"activation": "softmax"},
                     {"output_activation": "softmax", "output_channel": 1}, id="softmax"),
        pytest.param({"activation": "softmax", "shape": (1, 128, 96, 3), "layout": "NHWC"},
                     {"output_activation": "softmax", "output_channel": 1, "layout": "NHWC"},
                     id="softmax-channels-last"),
        pytest.param({"activation": "min-max"}, {"output_activation": "min-max"}, id="min-max"),
        pytest.param({"activation": "min-max"},
                     {"output_activation": "min-max", "fit": "letterbox"}, id="min-max-letterbox"),
        pytest.param({"decoys": 6}, {"output": "mask"}, id="seven-outputs"),
        pytest.param(IMAGENET, IMAGENET, id="imagenet"),
        pytest.param({**CAFFE, "top": 255, "colour_order": "BGR"},
                     {**CAFFE, **BYTES, "colour_order": "BGR"}, id="caffe"),
        pytest.param({"dtype": "float16", **IMAGENET}, IMAGENET, id="half-precision"),
        pytest.param({"dtype": "uint8", "top": 255}, BYTES, id="bytes"),
        pytest.param({"scale": 2}, {"fit": "letterbox"}, id="larger-output"),
        pytest.param({"scale": 0.5}, {"fit": "letterbox"}, id="smaller-output"),
        pytest.param({"opset": 9}, {}, id="opset-9"),
        pytest.param({"opset": 22}, {}, id="opset-22"),
    ],
)  # fmt: skip
def test_the_right_mask_comes_out(
    run: Run, people: Path, tmp_path: Path, network: dict[str, Any], toml: dict[str, Any]
) -> None:
    weights = Network(**network).write(tmp_path / "foreign.onnx", **{**NORMAL, **toml})

    summary = run(people, out=tmp_path / "out", weights=weights)

    assert counts(summary) == (3, 0, 0, 0)
    assert (summary.runtime, summary.exit_code) == ("onnx", 0)
    for name in SHAPES:
        refuse_other_mask(tmp_path / "out", name)


@pytest.mark.parametrize(
    "wrong",
    [
        {"colour_order": "RGB"},
        {"value_range": [0, 1]},
        {"mean": [0, 0, 0]},
        {"deviation": [1, 1, 1]},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_network_that_is_used_wrongly_finds_nobody(
    run: Run, people: Path, tmp_path: Path, wrong: dict[str, Any]
) -> None:
    """So that the masks above prove something."""
    network = Network(**CAFFE, top=255, colour_order="BGR")
    right = {**NORMAL, **CAFFE, **BYTES, "colour_order": "BGR"}

    summary = run(people, out=tmp_path / "out", weights=network.write(tmp_path / "a.onnx", **right))
    assert summary.ok == 3
    weights = network.write(tmp_path / "a.onnx", **{**right, **wrong})

    assert run(people, out=tmp_path / "out", weights=weights).empty == 3


def test_the_metadata_of_a_file_does_instead_of_a_toml_file(
    run: Run, people: Path, tmp_path: Path
) -> None:
    stated = {**without("mean"), "mean": IMAGENET["mean"], "deviation": IMAGENET["deviation"]}
    metadata = tuple(
        (f"banet.{key}", value if isinstance(value, str) else json.dumps(value))
        for key, value in stated.items()
    )
    network = Network(**IMAGENET, metadata=(*metadata, ("author", "somebody")))
    weights = network.write(tmp_path / "foreign.onnx")

    assert run(people, out=tmp_path / "out", weights=weights).ok == 3

    network.write(tmp_path / "foreign.onnx", mean=[0, 0, 0])  # the TOML file wins
    assert run(people, out=tmp_path / "out", weights=weights).empty == 3


def test_nothing_is_written_before_it_is_known_how_to_use_the_network(
    run: Run, people: Path, tmp_path: Path
) -> None:
    weights = Network().write(tmp_path / "foreign.onnx")

    with pytest.raises(ConfigError, match=r"foreign\.toml"):
        run(people, out=tmp_path / "out", weights=weights)

    assert not (tmp_path / "out").exists()


def test_a_size_is_taken_where_it_is_free_and_refused_where_it_is_not(
    run: Run, people: Path, tmp_path: Path
) -> None:
    free = Network(shape=OPEN_SIDES).write(tmp_path / "free.onnx", **{**NORMAL, **OPEN})
    fixed = Network().write(tmp_path / "fixed.onnx", **NORMAL)

    assert run(people, out=tmp_path / "out", weights=free, size=160).ok == 3
    with pytest.raises(ConfigError, match=r"--size 64: .*fixed\.onnx takes pictures of 96 x 128"):
        run(people, out=tmp_path / "out", weights=fixed, size=64)


def test_photos_are_done_again_when_the_use_of_the_network_changes(
    run: Run, people: Path, tmp_path: Path
) -> None:
    network, path, out = Network(), tmp_path / "foreign.onnx", tmp_path / "out"
    run(people, out=out, weights=network.write(path, **NORMAL))

    relabelled = network.write(path, **NORMAL, name="Other", licence="CC0-1.0")
    assert counts(run(people, out=out, weights=relabelled)) == (0, 0, 0, 3)
    letterboxed = network.write(path, **{**NORMAL, "fit": "letterbox"})
    assert counts(run(people, out=out, weights=letterboxed)) == (3, 0, 0, 0)
    assert counts(run(people, out=out, weights=letterboxed)) == (0, 0, 0, 3)


def test_a_photo_that_the_network_cannot_compute_is_recorded_and_the_run_goes_on(
    run: Run, people: Path, tmp_path: Path
) -> None:
    # 4:3 it computes, and squares; wide ones are not multiples of what it needs.
    weights = Network(shape=OPEN_SIDES, needs=32).write(
        tmp_path / "foreign.onnx", **{**NORMAL, **OPEN, "multiple": 16}
    )
    out = tmp_path / "out"

    summary = run(people, out=out, weights=weights)

    assert counts(summary) == (2, 0, 1, 0)
    assert summary.exit_code == 3
    error = ledger(out)["wide.png"]["error"]
    assert error.startswith("the network cannot compute a picture of 96 x 48 pixels (")


def test_an_exported_network_that_lost_its_metadata_does_the_same_with_a_toml_file(
    run: Run, photos: Path, onnx_file: str, tmp_path: Path
) -> None:
    model = onnx.load(onnx_file)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "theirs.onnx")
    toml = {**without("layout", "fit"), "size": 64, "multiple": 16, "output": "portrait"}
    (tmp_path / "theirs.toml").write_text(
        "\n".join(f"{key} = {json.dumps(value)}" for key, value in toml.items())
    )

    run(photos, out=tmp_path / "ours", weights=onnx_file)
    run(photos, out=tmp_path / "theirs", weights=str(tmp_path / "theirs.onnx"))

    assert outputs(tmp_path / "theirs") == outputs(tmp_path / "ours")


def test_workers_use_the_network_as_the_run_does(run: Run, people: Path, tmp_path: Path) -> None:
    weights = Network(**IMAGENET).write(tmp_path / "foreign.onnx", **{**NORMAL, **IMAGENET})
    run(people, out=tmp_path / "local", weights=weights)

    with LocalCluster(
        n_workers=1, threads_per_worker=2, processes=True, dashboard_address=None
    ) as cluster:
        remote = run(
            people, out=tmp_path / "remote", weights=weights, scheduler=cluster.scheduler_address
        )

    assert counts(remote) == (3, 0, 0, 0)
    assert outputs(tmp_path / "remote") == outputs(tmp_path / "local")


def test_an_engine_needs_no_toml_file_once_it_is_known_how_to_use_the_network(
    tmp_path: Path,
) -> None:
    name = Network().write(tmp_path / "foreign.onnx", **NORMAL)
    weights = load_onnx(name)
    (tmp_path / "foreign.toml").unlink()
    photo, mask = draw(height=128, width=96)

    engine = engine_once(
        name,
        weights.sha256,
        device="auto",
        precision="auto",
        size=128,
        threads=1,
        description=weights.description,
    )

    assert np.array_equal(engine(photo) > 0.5, mask)


@pytest.mark.parametrize("fit", ["letterbox", "stretch"])
def test_the_photo_as_a_network_saw_it_lies_where_its_mask_does(tmp_path: Path, fit: str) -> None:
    weights = load_onnx(Network().write(tmp_path / "foreign.onnx", **{**NORMAL, "fit": fit}))
    engine = make_engine(weights, device=torch.device("cpu"), dtype=torch.float32, size=128)
    photo, _ = draw(height=90, width=200)

    seen = engine.prepare(photo)

    found = seen.probability() > 0.5
    shows_the_person = np.abs(seen.small.astype(int) - PERSON).sum(axis=2) < 90
    assert (found == shows_the_person).mean() > 0.97


def test_networks_of_others_are_scored_beside_ours(
    prepared: Path, weights_file: str, tmp_path: Path
) -> None:
    weights = Network().write(tmp_path / "foreign.onnx", **NORMAL)
    options = EvaluateOptions(datasets=(prepared,), weights=(weights_file, weights))

    ours, theirs = evaluate(options).results

    assert (theirs.name, theirs.size) == (weights, 128)
    assert theirs.scores.samples == ours.scores.samples
    # Nobody in these drawings has the colour that it looks for.
    assert theirs.scores.portrait_iou == 0
    assert np.isfinite(theirs.scores.mae)
