import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coco_files import BAG, PERSON, annotation, content, packed_runs, polygons, runs, write_coco
from exact_stores import SIDE, box, noise, prepared, save, write_json
from PIL import Image, ImageDraw

from pipelines.errors import InputError
from pipelines.sources import discover_samples

NAME = "train2017/1"
RING = box(5, 6, 30, 35) - box(10, 12, 20, 18)


@pytest.mark.parametrize("write", [runs, packed_runs], ids=["numbers", "text"])
@pytest.mark.parametrize(
    "mask", [RING, RING.T, box(0, 0, 9, SIDE), box(0, 0, 0, 0), box(0, 0, SIDE, SIDE)]
)
def test_run_lengths_of_both_kinds(tmp_path: Path, write: Any, mask: np.ndarray) -> None:
    found = prepared(write_coco(tmp_path / "in", [annotation(1, write(mask))]))
    assert found.summary.format == "coco"
    assert np.array_equal(found.masks[NAME], mask)
    assert np.array_equal(found.photos[NAME], noise(1))
    assert found.rows[NAME]["convention"] == "drawn"
    assert found.rows[NAME]["mask"].endswith("instances_train2017.json (image 1)")


def test_outlines_of_an_instance_and_all_instances_make_one_mask(tmp_path: Path) -> None:
    annotations = [
        annotation(1, polygons((2, 3, 10, 20), (8, 15, 14, 30))),
        annotation(1, polygons((30, 30, 40, 40)), id=101),
        annotation(1, polygons((20, 0, 40, 9)), id=102, category_id=BAG),
    ]
    found = prepared(write_coco(tmp_path / "in", annotations))
    expected = box(2, 3, 10, 20) | box(8, 15, 14, 30) | box(30, 30, 40, 40)
    assert np.array_equal(found.masks[NAME], expected)


def test_a_slanted_outline_covers_the_same_as_one_drawn_by_pillow(tmp_path: Path) -> None:
    corners = [(3.25, 4.5), (36.0, 10.75), (20.5, 37.0), (8.0, 25.5)]
    outline = [number for corner in corners for number in corner]
    found = prepared(write_coco(tmp_path / "in", [annotation(1, [outline])]))
    fine = Image.new("L", (SIDE * 16, SIDE * 16))
    ImageDraw.Draw(fine).polygon([(16 * x, 16 * y) for x, y in corners], fill=255)
    covered = np.asarray(fine).reshape(SIDE, 16, SIDE, 16).mean(axis=(1, 3))
    assert (found.masks[NAME][covered == 255] == 255).all()
    assert not found.masks[NAME][covered == 0].any()
    assert found.masks[NAME].mean() == pytest.approx(covered.mean(), rel=0.02)


def test_a_crowd_of_people_is_people(tmp_path: Path) -> None:
    crowd = annotation(1, runs(RING), iscrowd=1, id=7)
    person = annotation(1, polygons((32, 2, 38, 30)))
    found = prepared(write_coco(tmp_path / "in", [person, crowd]))
    assert np.array_equal(found.masks[NAME], RING | box(32, 2, 38, 30))


def test_images_without_people_show_nobody(tmp_path: Path) -> None:
    annotations = [
        annotation(1, polygons((2, 3, 10, 20))),
        annotation(2, polygons((2, 3, 10, 20)), category_id=BAG),
    ]
    found = prepared(write_coco(tmp_path / "in", annotations, images=3))
    assert found.summary.stored == 3
    assert [bool(mask.any()) for mask in found.masks.values()] == [True, False, False]


def test_classes_are_chosen_by_name_and_taken_away(tmp_path: Path) -> None:
    annotations = [
        annotation(1, polygons((20, 0, 40, 9)), category_id=BAG),
        annotation(1, polygons((2, 3, 30, 20)), id=101),
    ]
    root = write_coco(tmp_path / "in", annotations)
    bag, person = box(20, 0, 40, 9), box(2, 3, 30, 20)
    for classes, expected in (
        (None, person),
        (("handbag",), bag),
        (("person", "handbag"), person | bag),
        (("person", "-handbag"), person & ~bag),
    ):
        assert np.array_equal(prepared(root, classes=classes).masks[NAME], expected)
    with pytest.raises(InputError, match=r"train2017\.json: has no class 'dog', but 'handbag'"):
        discover_samples(root, classes=("dog",))


@pytest.mark.parametrize(
    ("file", "photos"),
    [
        ("annotations/instances_val2017.json", "val2017"),
        ("annotations/instances_val2017.json", "images/val2017"),
        ("annotations/instances_default.json", "images"),
        ("valid/_annotations.coco.json", "valid"),
        ("labels.json", "data"),
        ("people.json", "."),
    ],
)
def test_photos_are_found_where_common_tools_put_them(
    tmp_path: Path, file: str, photos: str
) -> None:
    people = [annotation(1, polygons((2, 3, 10, 20)))]
    found = prepared(write_coco(tmp_path / "in", people, file=file, photos=photos))
    name = next(iter(found.masks))
    assert name == ("1" if photos == "." else f"{photos}/1")
    assert np.array_equal(found.masks[name], box(2, 3, 10, 20))
    assert found.rows[name]["split"] == "val" or "val" not in file


def test_lists_of_splits_are_read_together_or_one_alone(tmp_path: Path) -> None:
    root = tmp_path / "in"
    for first, split in ((1, "train"), (4, "val"), (7, "test")):
        file = f"annotations/instances_{split}2017.json"
        write_coco(root, [], images=3, first=first, file=file, photos=f"{split}2017")
    write_json(root / "annotations" / "captions_train2017.json", {"images": [], "annotations": []})
    found = prepared(root)
    assert found.summary.splits == {"train": 3, "val": 3, "test": 3}
    alone = prepared(root / "annotations" / "instances_val2017.json")
    assert list(alone.masks) == ["val2017/4", "val2017/5", "val2017/6"]


def test_missing_photos_are_missing_and_all_of_them_an_error(tmp_path: Path) -> None:
    root = write_coco(tmp_path / "in", [], images=3)
    (root / "train2017" / "2.png").unlink()
    found = prepared(root)
    assert (found.summary.stored, found.summary.missing) == (2, 1)
    for number in (1, 3):
        (root / "train2017" / f"{number}.png").unlink()
    save(root / "elsewhere" / "1.png", noise(1))
    with pytest.raises(InputError, match=r"none of its 3 photos is there, such as 1\.png; banet"):
        discover_samples(root)


def test_photos_in_two_places_are_not_chosen_between(tmp_path: Path) -> None:
    root = write_coco(tmp_path / "in", [])
    save(root / "images" / "1.png", noise(1))
    with pytest.raises(InputError, match=r"its photos are both in images/ and in train2017/"):
        discover_samples(root)


def test_a_photo_that_two_files_list_is_an_error(tmp_path: Path) -> None:
    for file in ("annotations/instances_some.json", "annotations/instances_all.json"):
        write_coco(tmp_path, [], file=file, photos="images")
    with pytest.raises(InputError, match=r"images/1\.png is listed twice: as .*all.*some"):
        discover_samples(tmp_path)


def test_licences_of_what_is_stored_are_kept(tmp_path: Path) -> None:
    root = write_coco(tmp_path / "in", [], images=3)
    listed = content([], images=3)
    listed["images"][1]["license"] = 5
    listed["images"][2]["license"] = 99
    write_json(root / "annotations" / "instances_train2017.json", listed)
    expected = "Attribution License (http://example.org/by)\n\nNo known restrictions"
    assert prepared(root).licence == expected
    (root / "LICENSE").write_text("ours")
    found = prepared(root / "annotations" / "instances_train2017.json")
    assert found.licence == f"ours\n\n{expected}"


IMAGE = {"id": 1, "file_name": "a.png", "height": SIDE, "width": SIDE}
WHOLE = runs(RING)
SHORT = {**packed_runs(RING[:, 1:]), "size": [SIDE, SIDE]}
CUT = {**packed_runs(RING), "counts": packed_runs(RING)["counts"] + "P"}


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        ([], "it has no segmentation that could be drawn"),
        (None, "it has no segmentation"),
        ([[1, 2, 3, 4, 5, "a"]], "something else than numbers"),
        ([[1, 2, 3, 4, 5, 10**400]], "something else than numbers"),
        ([[1, 2, 3, 4, 5, 6, 7]], "not a list of pairs of numbers"),
        ([[1, 2, 3, 4, 5, 1e9]], "outside of 40 x 40 pixels"),
        ([[1, 2, 3, 4, 5, float("nan")]], "outside of 40 x 40 pixels"),
        ({**WHOLE, "counts": [*WHOLE["counts"], 7]}, "add up to 1607, not to 1600 pixels"),
        ({**WHOLE, "counts": WHOLE["counts"][:-2]}, "add up to"),
        ({**WHOLE, "counts": [-3, 1603]}, "one of its run lengths is negative"),
        ({**WHOLE, "counts": [1.5, 1598.5]}, "something else than numbers"),
        ({**WHOLE, "size": [20, 80]}, "are of 80 x 20 pixels, the image of 40 x 40"),
        ({"size": [SIDE, SIDE], "counts": "~~~~"}, "its packed run lengths are damaged"),
        ({"size": [SIDE, SIDE], "counts": "ä"}, "its packed run lengths are damaged"),
        ({"size": [SIDE, SIDE], "counts": ""}, "its packed run lengths are damaged"),
        (CUT, "its packed run lengths are damaged"),
        (SHORT, "end before 1600 pixels"),
        ({"counts": "04"}, "it has no segmentation"),
    ],
)
def test_damaged_shapes_fail_alone_and_are_named(
    tmp_path: Path, segmentation: Any, reason: str
) -> None:
    annotations = [annotation(1, polygons((2, 3, 10, 20))), annotation(2, segmentation)]
    found = prepared(write_coco(tmp_path / "in", annotations, images=2))
    assert (found.summary.stored, found.summary.failed) == (1, 1)
    row = found.rows["train2017/2"]["reason"]
    assert "instances_train2017.json (image 2): annotation 200: " in row
    assert re.search(reason, row)


def test_an_outline_of_two_points_covers_nothing(tmp_path: Path) -> None:
    outlines = [[1, 1, 30, 30], *polygons((2, 3, 10, 20))]
    found = prepared(write_coco(tmp_path / "in", [annotation(1, outlines)]))
    assert np.array_equal(found.masks[NAME], box(2, 3, 10, 20))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"images": 3}, r"has no list 'images'"),
        ({"images": [{"id": 1}]}, r"images\[0\] is damaged or has no id or no file_name"),
        ({"annotations": [{"id": 1, "image_id": 3}]}, r"annotations\[0\] is damaged or has no"),
        ({"annotations": [annotation(1, [], image_id=[])]}, r"annotations\[0\] is damaged"),
        (
            {"images": [IMAGE, {**IMAGE, "file_name": "b.png"}]},
            "images has the id 1 twice, of 'a.png",
        ),
        ({"images": [{**IMAGE, "license": [1]}]}, r"images\[0\] has a license that is no id"),
        ({"images": [{**IMAGE, "file_name": ""}]}, r"images\[0\] has the file_name '', no file's"),
        (
            {"images": [{**IMAGE, "file_name": "/"}]},
            r"images\[0\] has the file_name '/', no file's",
        ),
        (
            {"categories": [{"id": 1, "name": "person"}, {"id": 1, "name": "dog"}]},
            "categories has the id 1 twice, of 'person' and of 'dog'; give each an id of its own",
        ),
        ({"categories": [{"id": 1}]}, r"categories\[0\] is damaged or has no id or no name"),
    ],
)
def test_damaged_files_name_the_place(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    path = write_json(tmp_path / "annotations" / "people.json", {**content([]), **changes})
    with pytest.raises(InputError, match=rf"people\.json: {reason}"):
        discover_samples(path)


def test_what_is_no_json_is_named(tmp_path: Path) -> None:
    path = write_json(tmp_path / "people.json", content([]))
    path.write_text(path.read_text()[:-5])
    with pytest.raises(InputError, match=r"people\.json: cannot be read as JSON \(.*line 1"):
        discover_samples(tmp_path)
    path.write_text("[]")
    with pytest.raises(InputError, match=r"people\.json: holds no object with images"):
        discover_samples(path)


def test_images_of_impossible_sizes_fail_alone(tmp_path: Path) -> None:
    root = write_coco(tmp_path / "in", [], images=4)
    listed = content([], images=4)
    for image, height in zip(listed["images"], (SIDE, None, 10**9, SIDE + 1), strict=True):
        image["height"] = height
    write_json(root / "annotations" / "instances_train2017.json", listed)
    reasons = [row["reason"] for row in prepared(root).rows.values()]
    assert reasons[0] == ""
    assert "height None and width 40 are no numbers of pixels" in reasons[1]
    assert "40 x 1000000000 pixels, the limit is 200,000,000" in reasons[2]
    assert "40 x 41 pixels, but its photo has 40 x 40" in reasons[3]


def test_a_name_that_no_file_can_have_fails_alone(tmp_path: Path) -> None:
    root = write_coco(tmp_path / "in", [], images=2)
    listed = content([], images=2)
    listed["images"][1]["file_name"] = "2\0.png"
    write_json(root / "annotations" / "instances_train2017.json", listed)
    found = prepared(root)
    assert (found.summary.stored, found.summary.failed) == (1, 1)
    assert "no file can have this name" in found.rows["train2017/2\0"]["reason"]


def test_annotations_of_unlisted_images_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = write_coco(tmp_path, [annotation(77, polygons((1, 1, 9, 9)))])
    discover_samples(root)
    assert "1 annotations are of images that it does not list" in caplog.text


def test_a_changed_shape_changes_what_the_report_says_of_the_mask(tmp_path: Path) -> None:
    rows = [
        prepared(write_coco(tmp_path / "in", [annotation(1, polygons((2, 3, right, 20)))])).rows
        for right in (10, 11, 10)
    ]
    hashes = [each[NAME]["mask_sha256"] for each in rows]
    assert hashes[0] == hashes[2] != hashes[1]
    assert len({each[NAME]["sha256"] for each in rows}) == 1


def test_a_sample_travels_small(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    outline = rng.uniform(0, SIDE, 100).round(2).tolist()
    _, samples = discover_samples(write_coco(tmp_path, [annotation(1, [outline])]))
    assert len(pickle.dumps(samples[0])) < 2500
    assert pickle.loads(pickle.dumps(samples[0])) == samples[0]  # noqa: S301 - our own


def test_the_category_of_people_needs_no_particular_number(tmp_path: Path) -> None:
    root = write_coco(tmp_path / "in", [annotation(1, polygons((2, 3, 10, 20)), category_id=9)])
    listed = content([annotation(1, polygons((2, 3, 10, 20)), category_id=9)])
    listed["categories"] = [{"id": 9, "name": "person"}, {"id": PERSON, "name": "dog"}]
    write_json(root / "annotations" / "instances_train2017.json", listed)
    assert np.array_equal(prepared(root).masks[NAME], box(2, 3, 10, 20))
