"""`banet prepare` of a dataset with landmarks."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr
from faces import symmetric_face, write_landmarks, write_reference
from permissions import closed
from PIL import Image
from scipy.io import savemat

from pipelines.affine import AffineMap, apply, fit, invert
from pipelines.errors import InputError, StoreError
from pipelines.face_prior import face_prior
from pipelines.landmarks import MIRRORED
from pipelines.prepare import PrepareOptions, prepare, report_path
from pipelines.store import Store, open_store

REFERENCE = symmetric_face(30, 25, size=30)
MEAN_MASK = np.random.default_rng(0).integers(0, 256, (70, 60), dtype=np.uint8)

OF_FIRST = apply(np.array([[0.9, 0.2, 10.0], [-0.1, 1.1, 20.0]]), symmetric_face(40, 30))
"""Landmarks of photo 00001, of 120 x 90 pixels."""

SHOWN_AT = {
    "letterbox": lambda points: (points + 0.5) * 64 / 120 - 0.5 + (8, 0),
    "stretch": lambda points: (points + 0.5) * (64 / 90, 64 / 120) - 0.5,
    "crop": lambda points: (points - (0, 15) + 0.5) * 64 / 90 - 0.5,
}
"""Where points of a photo of 120 x 90 lie in its frame of 64, by how it is fitted."""

Place = Callable[[np.ndarray], np.ndarray]


@pytest.fixture
def faces_folder(pfcn_folder: Path) -> Path:
    """The dataset with a reference and landmarks of 1; in 2 no face was found."""
    write_reference(pfcn_folder, REFERENCE, MEAN_MASK)
    write_landmarks(pfcn_folder, 1, OF_FIRST)
    write_landmarks(pfcn_folder, 2, np.zeros((0, 0)))
    return pfcn_folder


def options(source: Path, dataset: Path, **changes: object) -> PrepareOptions:
    defaults: dict[str, object] = {"size": 64, "workers": 0}
    return PrepareOptions(source=source, dataset=dataset, **{**defaults, **changes})


def prepared_store(source: Path, dataset: Path, **changes: object) -> Store:
    prepare(options(source, dataset, **changes))
    return open_store(dataset)


def position(store: Store, sample: str) -> int:
    return [name for name, _, _ in store.photos(store.indices("all"))].index(sample)


def report(dataset: Path) -> dict[str, dict[str, object]]:
    lines = report_path(dataset).read_text().splitlines()
    return {row["name"]: row for row in map(json.loads, lines)}


@pytest.mark.parametrize(("fitted", "place"), SHOWN_AT.items())
def test_stored_alignment_maps_the_frame_to_the_reference(
    faces_folder: Path, tmp_path: Path, fitted: str, place: Place
) -> None:
    store = prepared_store(faces_folder, tmp_path / "out.zarr", fit=fitted)
    found = zarr.open_group(store.path, mode="r")["face_alignment"][position(store, "00001")]
    assert found.dtype == np.float32
    assert found == pytest.approx(fit(place(OF_FIRST), REFERENCE), abs=1e-4)


def test_reference_is_stored_beside_the_samples(faces_folder: Path, tmp_path: Path) -> None:
    store = prepared_store(faces_folder, tmp_path / "out.zarr")
    assert store.reference is not None
    assert np.array_equal(store.reference.mean_mask, MEAN_MASK)
    assert store.reference.centre == pytest.approx((30, 25))
    assert store.reference.size == pytest.approx(np.ptp(REFERENCE, axis=0).max())
    assert store.attributes["schema_version"] == 1


def test_faces_of_a_store_belong_to_the_photos_without_padding(
    faces_folder: Path, tmp_path: Path
) -> None:
    store = prepared_store(faces_folder, tmp_path / "out.zarr")
    first, second = (store.faces([position(store, name)])[0] for name in ("00001", "00002"))
    assert second is None
    assert first is not None
    in_photo = SHOWN_AT["letterbox"](OF_FIRST) - (8, 0)
    assert first.alignment == pytest.approx(fit(in_photo, REFERENCE), abs=1e-4)


def test_crop_takes_its_landmarks_along(faces_folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "index.csv"
    table.write_text('stem,a_crop\n00001,"5,10,85,90"\n')
    store = prepared_store(faces_folder, tmp_path / "out.zarr", crops=table, size=80)
    (face,) = store.faces([position(store, "00001#a_crop")])
    assert face is not None
    assert face.alignment == pytest.approx(fit(OF_FIRST - (5, 10), REFERENCE), abs=1e-4)


@pytest.mark.parametrize(
    ("turn", "to_first", "order"),
    [
        (np.fliplr, np.array([[-1.0, 0.0, 89.0], [0.0, 1.0, 0.0]]), MIRRORED),
        # The first row of the turned photo is the last column of the photo.
        (np.rot90, np.array([[0.0, -1.0, 89.0], [1.0, 0.0, 0.0]]), np.arange(49)),
    ],
)
def test_view_of_a_photo_sees_what_the_photo_prepared_that_way_does(
    faces_folder: Path,
    tmp_path: Path,
    turn: Callable[[np.ndarray], np.ndarray],
    to_first: AffineMap,
    order: np.ndarray,
) -> None:
    photo = np.asarray(Image.open(faces_folder / "images_data_crop" / "00001.jpg"))
    turned = turn(photo)
    Image.fromarray(turned).save(faces_folder / "images_data_crop" / "00002.jpg")
    mask = np.zeros(turned.shape[:2], np.uint8)
    savemat(faces_folder / "images_mask" / "00002_mask.mat", {"mask": mask})
    write_landmarks(faces_folder, 2, apply(invert(to_first), OF_FIRST)[order])
    # At their own size, so that the pixels of stored photos are those of the files.
    store = prepared_store(faces_folder, tmp_path / "out.zarr", size=120)
    first, second = (store.faces([position(store, name)])[0] for name in ("00001", "00002"))
    assert first is not None
    height, width = turned.shape[:2]
    expected = face_prior(second, height=height, width=width)
    prior = face_prior(first.in_view(to_first), height=height, width=width)
    assert prior == pytest.approx(expected, abs=0.005)  # the mean mask has 255 steps
    assert expected[..., 2].any()


def test_damaged_landmarks_are_reported_and_the_sample_is_stored(
    faces_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (faces_folder / "images_tracker" / "00001.mat").write_bytes(b"broken")
    store = prepared_store(faces_folder, tmp_path / "out.zarr")
    assert store.faces(store.indices("all")) == [None, None]
    row = report(store.path)["00001"]
    assert row["status"] == "stored"
    assert "stored without landmarks: " in str(row["reason"])
    assert "00001.mat: damaged MATLAB file" in str(row["reason"])
    assert "1 of 2 are stored without landmarks" in caplog.text


def test_report_says_how_many_faces_a_photo_has(faces_folder: Path, tmp_path: Path) -> None:
    prepare(options(faces_folder, tmp_path / "out.zarr"))
    rows = report(tmp_path / "out.zarr")
    assert [rows[name]["faces"] for name in ("00001", "00002", "00004")] == [1, 0, None]
    assert {rows[name]["reason"] for name in ("00001", "00002")} == {""}


def test_without_the_reference_no_sample_has_a_face(
    faces_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (faces_folder / "images_tracker" / "00047.mat").unlink()
    store = prepared_store(faces_folder, tmp_path / "out.zarr")
    assert store.reference is None
    assert store.faces(store.indices("all")) == [None, None]
    assert "face_alignment" not in zarr.open_group(store.path, mode="r")
    assert "00047.mat is not there" in caplog.text


def test_without_the_mean_mask_the_shape_channel_is_zero(
    faces_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (faces_folder / "meanmask.png").unlink()
    store = prepared_store(faces_folder, tmp_path / "out.zarr")
    (face,) = store.faces([position(store, "00001")])
    prior = face_prior(face, height=64, width=48)
    assert prior[..., :2].any()
    assert not prior[..., 2].any()
    assert "meanmask.png is not there" in caplog.text


def test_useless_references_are_named(faces_folder: Path, tmp_path: Path) -> None:
    mean_mask = faces_folder / "meanmask.png"
    Image.fromarray(MEAN_MASK.astype(np.uint16)).save(mean_mask)
    with pytest.raises(InputError, match=r"meanmask\.png: 16-bit grey"):
        prepare(options(faces_folder, tmp_path / "out.zarr"))
    mean_mask.write_bytes(b"broken")
    with pytest.raises(InputError, match=r"meanmask\.png: not an image"):
        prepare(options(faces_folder, tmp_path / "out.zarr"))
    reference = write_landmarks(faces_folder, 47, np.zeros((0, 0)))
    with pytest.raises(InputError, match=r"00047\.mat: holds no landmarks"):
        prepare(options(faces_folder, tmp_path / "out.zarr"))
    reference.write_bytes(b"broken")
    with pytest.raises(InputError, match=r"00047\.mat: damaged MATLAB file"):
        prepare(options(faces_folder, tmp_path / "out.zarr"))


def test_reference_that_may_not_be_read_ends_the_run_with_a_remedy(
    faces_folder: Path, tmp_path: Path
) -> None:
    with (
        closed(faces_folder / "images_tracker" / "00047.mat"),
        pytest.raises(InputError, match=r"00047\.mat: cannot be read: .*make it readable"),
    ):
        prepare(options(faces_folder, tmp_path / "out.zarr"))


def test_summary_and_dataset_count_the_samples_with_landmarks(
    faces_folder: Path, tmp_path: Path
) -> None:
    summary = prepare(options(faces_folder, tmp_path / "out.zarr"))
    assert summary.as_json()["faces"] == 1
    assert open_store(tmp_path / "out.zarr").attributes["counts"]["faces"] == 1


def test_dataset_without_any_landmarks_is_warned_of(
    faces_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (faces_folder / "images_tracker" / "00001.mat").unlink()
    assert prepare(options(faces_folder, tmp_path / "out.zarr")).faces == 0
    warnings = [each.message for each in caplog.records if each.levelname == "WARNING"]
    assert "0 of 2 have landmarks" in warnings


def test_store_made_before_there_were_faces_is_current(
    faces_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chosen = options(faces_folder, tmp_path / "out.zarr")
    reference = faces_folder / "images_tracker" / "00047.mat"
    trackers = reference.read_bytes()
    reference.unlink()
    prepare(chosen)
    reference.write_bytes(trackers)
    caplog.set_level("INFO")
    assert prepare(chosen).faces == 0
    assert "out.zarr: has no faces; --force adds them" in caplog.text
    assert open_store(chosen.dataset).reference is None
    with pytest.raises(StoreError, match="with other options"):
        prepare(replace(chosen, size=80))
    assert prepare(replace(chosen, force=True)).faces == 1
    assert open_store(chosen.dataset).reference is not None


@pytest.mark.parametrize(
    "damage", [{"centre": [1.0]}, {"size": 0}, {"size": "a"}, {"mirror": None}]
)
def test_damaged_description_of_the_reference_is_named(
    faces_folder: Path, tmp_path: Path, damage: dict[str, object]
) -> None:
    dataset = tmp_path / "out.zarr"
    prepare(options(faces_folder, dataset))
    attributes = zarr.open_group(dataset, mode="r+").attrs
    attributes["reference_face"] = attributes["reference_face"] | damage
    with pytest.raises(StoreError, match="'reference_face' is damaged"):
        open_store(dataset)


@pytest.mark.parametrize("changed", ["00001", "00047", "mean mask"])
def test_changed_landmarks_or_mean_mask_make_another_dataset(
    faces_folder: Path, tmp_path: Path, changed: str
) -> None:
    dataset = tmp_path / "out.zarr"
    prepare(options(faces_folder, dataset))
    prepare(options(faces_folder, dataset))
    if changed == "mean mask":
        Image.fromarray(255 - MEAN_MASK).save(faces_folder / "meanmask.png")
    else:
        write_landmarks(faces_folder, int(changed), OF_FIRST + 1)
    with pytest.raises(StoreError, match="made from other files"):
        prepare(options(faces_folder, dataset))


def test_store_with_faces_is_the_same_bytes_whoever_writes_it(
    faces_folder: Path, tmp_path: Path
) -> None:
    files = []
    for workers in (0, 2):
        store = tmp_path / f"{workers}.zarr"
        prepare(options(faces_folder, store, workers=workers))
        found = [path for path in store.rglob("*") if path.is_file()]
        files.append({path.relative_to(store): path.read_bytes() for path in found})
    assert files[0] == files[1]


@pytest.mark.parametrize("array", ["face_alignment", "mean_mask"])
def test_lost_arrays_of_faces_are_noticed(faces_folder: Path, tmp_path: Path, array: str) -> None:
    dataset = tmp_path / "out.zarr"
    prepare(options(faces_folder, dataset))
    shutil.rmtree(dataset / array)
    with pytest.raises(StoreError, match=f"damaged, {array} is not complete"):
        open_store(dataset)


def test_store_of_a_source_without_landmarks_has_no_faces(prepared: Path) -> None:
    store = open_store(prepared)
    assert store.reference is None
    assert store.faces([0, 5]) == [None, None]
