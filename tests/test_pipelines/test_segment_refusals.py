"""What `banet segment` refuses to begin with: nothing is read or written before it says so."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.errors import BanetError, ConfigError, DeviceError, InputError, WeightsError
from pipelines.segment import SegmentOptions, SegmentSummary

Run = Callable[..., SegmentSummary]


@pytest.mark.parametrize("out", [".", "out", ".."])
def test_an_output_that_overlaps_the_input_is_refused_and_nothing_written(
    run: Run, photos: Path, out: str
) -> None:
    with pytest.raises(InputError, match="--out"):
        run(photos, out=photos / out)

    assert len([path for path in photos.parent.rglob("*") if path.is_file()]) == 5


def test_an_output_that_is_a_file_is_refused(run: Run, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("precious")

    with pytest.raises(BanetError, match=r"--out .* cannot be written"):
        run(photos, out=tmp_path / "out")

    assert (tmp_path / "out").read_text() == "precious"


def test_an_unreadable_background_is_refused_before_anything_is_written(
    run: Run, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "beach.jpg").write_text("no image")

    for name in ("beach.jpg", "missing.jpg"):
        with pytest.raises(InputError, match=f"--background .*{name}"):
            run(photos, composite="image", background=str(tmp_path / name))

    assert not photos.with_name("photos-segmented").exists()


def test_inputs_are_looked_at_before_weights_and_devices(run: Run, photos: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        run(photos / "nowhere", weights="missing.safetensors", device="cuda:99")
    with pytest.raises(InputError, match="--out"):
        run(photos, out=photos / "out", weights="missing.safetensors", device="cuda:99")


def test_missing_weights_and_devices_are_refused_before_anything_is_written(
    run: Run, photos: Path
) -> None:
    with pytest.raises(WeightsError, match=r"missing\.safetensors"):
        run(photos, weights="missing.safetensors")
    with pytest.raises(DeviceError, match="--device cuda:99"):
        run(photos, device="cuda:99")

    assert not photos.with_name("photos-segmented").exists()


def test_all_mistakes_in_the_options_are_reported_together() -> None:
    with pytest.raises(ConfigError) as caught:
        SegmentOptions(
            inputs=(),
            composite="transparent",
            composite_format="jpg",
            background="white",
            mask="hard",  # type: ignore[arg-type]
            threshold=1.5,
            size=3,
            batch_size=0,
            device="gpu",
            workers=-1,
            max_failures=-1,
        )

    for option in (
        "INPUT",
        "--composite-format",
        "--background",
        "--mask",
        "--threshold",
        "--size",
        "--batch-size",
        "--device",
        "--workers",
        "--max-failures",
    ):
        assert option in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"composite": "image"},
        {"composite": "color", "background": "beach.jpg"},
        {"composite": "color", "background": "rgb(300,0,0)"},
    ],
)
def test_a_background_must_fit_the_composite(options: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="--background"):
        SegmentOptions(inputs=(Path("photos"),), **options)  # type: ignore[arg-type]
