import json
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from segment_results import counts, ledger, outputs, pixels

from pipelines.checkpoints import load_weights
from pipelines.engines import Engine, engine_once, make_engine
from pipelines.errors import ConfigError, WeightsError
from pipelines.evaluate import EvaluateOptions, evaluate
from pipelines.images import Pixels, decode_photo
from pipelines.inference import Segmenter
from pipelines.onnx_weights import OnnxWeights, load_onnx
from pipelines.segment import SegmentOptions, SegmentSummary

Run = Callable[..., SegmentSummary]

EXAMPLES = Path(__file__).parents[2] / "examples" / "photos"


@pytest.fixture
def photo() -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (70, 50, 3), np.uint8)


def engine_of(name: str, *, size: int) -> Engine:
    """Return the engine of an ONNX file, which computes in one thread."""
    cpu = torch.device("cpu")
    return make_engine(load_onnx(name), device=cpu, dtype=torch.float32, size=size, threads=1)


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.*")), ids=lambda path: path.name)
def test_both_engines_see_the_same_people(shipped_onnx: str, path: Path) -> None:
    content = decode_photo(path.read_bytes()).pixels
    weights = load_weights("banet-64")
    torch_engine = Segmenter(
        weights.network, device=torch.device("cpu"), dtype=torch.float32, size=weights.info.size
    )
    onnx_engine = engine_of(shipped_onnx, size=weights.info.size)

    expected, found = torch_engine(content), onnx_engine(content)

    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(70, 50), (33, 200), (200, 33), (1, 300), (64, 64)])
def test_photos_of_any_shape_are_taken(onnx_file: str, height: int, width: int) -> None:
    engine = engine_of(onnx_file, size=64)

    probability = engine(np.zeros((height, width, 3), np.uint8))

    assert max(probability.shape) == 64
    assert probability.dtype == np.float32
    assert ((probability >= 0) & (probability <= 1)).all()


def test_threads_may_share_an_engine(onnx_file: str, photo: Pixels) -> None:
    engine = engine_of(onnx_file, size=64)
    photos = [np.roll(photo, shift, axis=0) for shift in range(16)]
    expected = [engine(item) for item in photos]
    found: dict[int, Any] = {}

    def work(first: int) -> None:
        for index in range(first, len(photos), 4):
            found[index] = engine(photos[index])

    threads = [threading.Thread(target=work, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for index, probability in enumerate(expected):
        assert np.array_equal(found[index], probability)


def test_masks_of_both_engines_agree(run: Run, photos: Path, onnx_file: str) -> None:
    with_torch, with_onnx = photos.with_name("torch"), photos.with_name("onnx")

    run(photos, out=with_torch)
    run(photos, out=with_onnx, weights=onnx_file, workers=2)

    assert set(outputs(with_onnx)) == set(outputs(with_torch))
    for name in [name for name in outputs(with_torch) if name.startswith("masks/")]:
        expected, found = pixels(with_torch / name), pixels(with_onnx / name)
        assert abs(expected.astype(int) - found.astype(int)).max() <= 1


def test_the_run_says_what_computed(
    run: Run, photos: Path, weights_file: str, onnx_file: str
) -> None:
    out = photos.with_name("photos-segmented")

    summary = run(photos, weights=onnx_file)

    content = json.loads((out / "run.json").read_text())
    assert content["runtime"] == summary.runtime == "onnx"
    assert (content["device"], content["precision"]) == ("cpu", "fp32")
    assert content["weights"] == {"name": onnx_file, "sha256": load_onnx(onnx_file).sha256}
    assert run(photos, weights=weights_file).runtime == "torch"


def test_a_run_does_not_keep_the_file(
    run: Run, photos: Path, onnx_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[weakref.ref[OnnxWeights]] = []

    def load(name: str) -> OnnxWeights:
        weights = load_onnx(name)
        read.append(weakref.ref(weights))
        return weights

    monkeypatch.setattr("pipelines.segment.load_network", load)
    monkeypatch.setattr("pipelines.segment.SegmentRun.do", lambda *_: alive.append(read[0]()))
    alive: list[OnnxWeights | None] = []

    run(photos, weights=onnx_file)

    assert alive == [None]


def test_each_engine_skips_only_what_it_did_itself(run: Run, photos: Path, onnx_file: str) -> None:
    run(photos)

    assert counts(run(photos, weights=onnx_file))[3] == 0
    assert counts(run(photos, weights=onnx_file))[3] == 5
    assert counts(run(photos, weights=onnx_file, runtime="onnx"))[3] == 5
    assert counts(run(photos, weights=onnx_file, precision="auto"))[3] == 5
    assert counts(run(photos))[3] == 0
    assert len(ledger(photos.with_name("photos-segmented"))) == 5


def test_auto_needs_no_device_but_the_cpu(
    run: Run, photos: Path, onnx_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)

    summary = run(photos, weights=onnx_file, precision="auto", dry_run=True)

    assert (summary.runtime, summary.device, summary.precision) == ("onnx", "cpu", "fp32")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"weights": "a.onnx", "batch_size": 4},
            "--batch-size 4: a.onnx is computed photo by photo",
        ),
        ({"weights": "banet-64", "runtime": "onnx"}, "banet export banet-64"),
        ({"weights": "a.safetensors", "runtime": "onnx"}, "banet export a.safetensors"),
        ({"weights": "a.onnx", "runtime": "torch"}, "--runtime torch: a.onnx .*banet export"),
        ({"weights": "a.onnx", "device": "cuda"}, "--device cuda: a.onnx .*CPU"),
        ({"weights": "a.onnx", "precision": "bf16"}, "--precision bf16: a.onnx .*fp32"),
        ({"weights": "a.onnx", "runtime": "tensorrt"}, "--runtime tensorrt: use one of auto, tor"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        SegmentOptions(inputs=(Path("photos"),), **options)


def test_a_damaged_file_is_named(run: Run, photos: Path, onnx_file: str, tmp_path: Path) -> None:
    content = Path(onnx_file).read_bytes()
    for name, part in (("cut", content[: len(content) // 2]), ("text", b"x"), ("empty", b"")):
        damaged = tmp_path / f"{name}.onnx"
        damaged.write_bytes(part)
        with pytest.raises(WeightsError, match=rf"{name}\.onnx: not an ONNX file"):
            run(photos, weights=str(damaged))
    with pytest.raises(WeightsError, match=r"nowhere\.onnx.*name an \.onnx file"):
        run(photos, weights="nowhere.onnx")
    assert not photos.with_name("photos-segmented").exists()


def test_a_file_of_a_later_generation_is_refused(onnx_file: str, tmp_path: Path) -> None:
    model = onnx.load(onnx_file)
    next(item for item in model.metadata_props if item.key == "format").value = "banet-onnx-2"
    onnx.save(model, tmp_path / "later.onnx")

    with pytest.raises(
        WeightsError, match=r"later\.onnx: not written by `banet export` of this gen"
    ):
        load_onnx(str(tmp_path / "later.onnx"))


def test_a_worker_with_another_file_of_that_name_refuses(onnx_file: str) -> None:
    with pytest.raises(WeightsError, match="copy the same file to every worker"):
        engine_once(
            onnx_file,
            "0" * 64,
            device="cpu",
            precision="fp32",
            size=64,
            threads=1,
            description=load_onnx(onnx_file).description,
        )


def test_both_engines_get_the_same_scores(
    prepared: Path, weights_file: str, onnx_file: str
) -> None:
    summary = evaluate(EvaluateOptions(datasets=(prepared,), weights=(weights_file, onnx_file)))

    with_torch, with_onnx = (result.scores for result in summary.results)
    assert (summary.device, summary.precision) == ("cpu", "fp32")
    assert with_onnx.mae == pytest.approx(with_torch.mae, abs=1e-4)
    assert with_onnx.portrait_iou == pytest.approx(with_torch.portrait_iou, abs=1e-3)


def test_evaluate_refuses_a_gpu_for_an_exported_network() -> None:
    with pytest.raises(ConfigError, match=r"--device cuda: a\.onnx"):
        EvaluateOptions(datasets=(Path("a.zarr"),), weights=("banet-64", "a.onnx"), device="cuda")
