import base64
import re
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exact_stores import SIDE, box, noise, png, prepared, save, write_json
from PIL import Image, ImageDraw

from pipelines.errors import ConfigError, InputError
from pipelines.sources import discover_samples

CLASSES = ("person", "bag", "face")


def project(root: Path, *objects: list[dict[str, Any]], dataset: str = "ds0") -> Path:
    """Write a project with a photo for each list of objects."""
    titles = [{"title": title, "shape": "any", "color": "#ff0000"} for title in CLASSES]
    write_json(root / "meta.json", {"classes": titles, "tags": []})
    for number, listed in enumerate(objects):
        save(root / dataset / "img" / f"{number}.png", noise(number))
        write_json(root / dataset / "ann" / f"{number}.png.json", annotation(listed))
    return root


def annotation(objects: list[dict[str, Any]]) -> dict[str, Any]:
    size = {"height": SIDE, "width": SIDE}
    return {"description": "", "tags": [], "size": size, "objects": objects}


def polygon(
    left: int, top: int, right: int, bottom: int, *holes: Any, title: str = "person"
) -> dict[str, Any]:
    """A polygon whose right and bottom edges are outside of what it covers."""
    corners = [[left, top], [right - 1, top], [right - 1, bottom - 1], [left, bottom - 1]]
    points = {"exterior": corners, "interior": list(holes)}
    return {"classTitle": title, "geometryType": "polygon", "points": points}


def bitmap(
    content: bytes, x: int, y: int, *, kind: str = "bitmap", title: str = "person"
) -> dict[str, Any]:
    data = base64.b64encode(zlib.compress(content)).decode()
    return {"classTitle": title, "geometryType": kind, "bitmap": {"data": data, "origin": [x, y]}}


def exported_png(mask: np.ndarray) -> bytes:
    """A bitmap as Supervisely's own library writes it."""
    image = Image.fromarray((mask > 0).astype(np.uint8))
    image.putpalette([0, 0, 0, 255, 255, 255])
    buffer = BytesIO()
    image.save(buffer, "png", transparency=0, optimize=0)
    return buffer.getvalue()


RING = np.full((9, 12), 255, np.uint8)
RING[3:6, 4:8] = 0


def on_canvas(part: np.ndarray, x: int, y: int) -> np.ndarray:
    canvas = np.zeros((SIDE, SIDE), np.uint8)
    canvas[y : y + part.shape[0], x : x + part.shape[1]] = part
    return canvas


def test_polygons_have_holes_whose_outlines_belong_to_them(tmp_path: Path) -> None:
    hole = [[10, 12], [19, 12], [19, 17], [10, 17]]
    found = prepared(project(tmp_path / "in", [polygon(5, 6, 30, 35, hole)]))
    assert found.summary.format == "supervisely"
    assert np.array_equal(found.masks["ds0/0"], box(5, 6, 30, 35) - box(10, 12, 20, 18))
    assert found.rows["ds0/0"]["convention"] == "drawn"
    assert found.rows["ds0/0"]["mask"].endswith("ds0/ann/0.png.json")


def test_a_slanted_polygon_covers_the_same_as_one_drawn_by_pillow(tmp_path: Path) -> None:
    corners = [(3, 4), (36, 10), (20, 37), (8, 25)]
    shape = {"exterior": [list(each) for each in corners], "interior": []}
    slanted = {"classTitle": "person", "geometryType": "polygon", "points": shape}
    found = prepared(project(tmp_path / "in", [slanted]))
    image = Image.new("L", (SIDE, SIDE))
    ImageDraw.Draw(image).polygon(corners, fill=255)
    different = found.masks["ds0/0"] != np.asarray(image)
    assert different.mean() < 0.02  # they disagree about pixels that the outline only touches


@pytest.mark.parametrize(
    "content",
    [
        exported_png(RING),
        png(RING),
        png(np.dstack([*[np.zeros_like(RING)] * 3, RING])),
        png(np.where(RING > 0, 1, 0).astype(np.uint8)),
    ],
    ids=["palette", "grey", "alpha", "ones"],
)
def test_bitmaps_lie_at_their_origins(tmp_path: Path, content: bytes) -> None:
    found = prepared(project(tmp_path / "in", [bitmap(content, 7, 21)]))
    assert np.array_equal(found.masks["ds0/0"], on_canvas(RING, 7, 21))


def test_a_bitmap_is_cut_at_the_edges_of_the_photo(tmp_path: Path) -> None:
    full = exported_png(np.full((20, 20), 255, np.uint8))
    objects = [bitmap(full, -5, -8), bitmap(full, SIDE - 3, SIDE - 4)]
    found = prepared(project(tmp_path / "in", objects))
    expected = box(0, 0, 15, 12) + box(SIDE - 3, SIDE - 4, SIDE, SIDE)
    assert np.array_equal(found.masks["ds0/0"], expected)


def test_soft_alpha_stays_soft(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 20).astype(np.uint8)[None].repeat(5, axis=0)
    image = Image.fromarray(ramp)
    buffer = BytesIO()
    image.save(buffer, "png", transparency=0)
    soft = bitmap(buffer.getvalue(), 2, 3, kind="alpha_mask")
    found = prepared(project(tmp_path / "in", [soft]))
    assert np.array_equal(found.masks["ds0/0"], on_canvas(ramp, 2, 3))


def test_people_are_one_mask_and_others_are_nobody(tmp_path: Path) -> None:
    objects = [
        polygon(1, 1, 10, 10),
        polygon(5, 5, 20, 20, title="bag"),
        bitmap(exported_png(RING), 25, 25),
    ]
    found = prepared(project(tmp_path / "in", objects, [polygon(1, 1, 9, 9, title="bag")]))
    assert np.array_equal(found.masks["ds0/0"], box(1, 1, 10, 10) + on_canvas(RING, 25, 25))
    assert not found.masks["ds0/1"].any()
    assert found.summary.stored == 2


def test_what_is_drawn_over_people_may_be_taken_away(tmp_path: Path) -> None:
    over, under = polygon(5, 5, 20, 20, title="bag"), polygon(1, 30, 9, 38, title="bag")
    person = polygon(1, 1, 10, 36)
    found = prepared(project(tmp_path / "in", [under, person, over]), classes=("person", "-bag"))
    expected = box(1, 1, 10, 36)
    expected[5:20, 5:20] = 0
    assert np.array_equal(found.masks["ds0/0"], expected)


def test_other_classes_are_chosen_by_name(tmp_path: Path) -> None:
    objects = [polygon(1, 1, 10, 10), polygon(20, 20, 30, 30, title="face")]
    root = project(tmp_path / "in", objects)
    assert np.array_equal(prepared(root, classes=("face",)).masks["ds0/0"], box(20, 20, 30, 30))
    with pytest.raises(InputError, match=r"no class 'dog', but 'bag', 'face', 'person'; say with"):
        discover_samples(root, classes=("dog",))
    with pytest.raises(ConfigError, match="--classes -bag: only takes away"):
        discover_samples(root, classes=("-bag",))


def test_datasets_of_a_project_and_old_names_of_annotations(tmp_path: Path) -> None:
    root = project(tmp_path / "in", [polygon(1, 1, 10, 10)], dataset="train")
    save(root / "val" / "img" / "b.png", noise(7))
    write_json(root / "val" / "ann" / "b.json", annotation([polygon(2, 2, 9, 9)]))
    found = prepared(root)
    assert found.splits == {"train/0": "train", "val/b": "val"}
    assert np.array_equal(found.masks["val/b"], box(2, 2, 9, 9))


def test_orphans_on_both_sides_are_missing(tmp_path: Path) -> None:
    root = project(tmp_path / "in", *[[polygon(1, 1, 10, 10)]] * 3)
    (root / "ds0" / "ann" / "0.png.json").unlink()
    (root / "ds0" / "img" / "1.png").unlink()
    found = prepared(root)
    reasons = {name: row["reason"] for name, row in found.rows.items()}
    assert found.summary.missing == 2
    assert reasons["ds0/0"].endswith("ds0/ann/0.png.json does not exist")
    assert reasons["ds0/1"].endswith("ds0/img/1.png does not exist")


def test_an_old_annotation_of_two_photos_is_a_problem(tmp_path: Path) -> None:
    root = project(tmp_path / "in", [polygon(1, 1, 10, 10)])
    for name in ("a.png", "a.bmp"):
        save(root / "ds0" / "img" / name, noise(5))
    write_json(root / "ds0" / "ann" / "a.json", annotation([polygon(1, 1, 10, 10)]))
    rows = prepared(root).rows
    assert rows["ds0/a.png"]["reason"] == "ds0/ann/a.json may belong to several photos"


AT_INFINITY = bitmap(exported_png(RING), 0, 0)
AT_INFINITY["bitmap"]["origin"] = [float("inf"), 0]

NOT_A_PNG = {
    "classTitle": "person",
    "geometryType": "bitmap",
    "bitmap": {"data": "not base64", "origin": [0, 0]},
}


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({**polygon(0, 0, 5, 5), "geometryType": "rectangle"}, r"a rectangle says not which"),
        (polygon(0, 0, 500, 5), r"the point 499, 0 lies outside of 40 x 40 pixels"),
        ({**polygon(0, 0, 5, 5), "points": {}}, r"is damaged \(KeyError\('exterior'\)\)"),
        ({**polygon(0, 0, 5, 5), "points": {"exterior": [["a"]]}}, "not a list of pairs"),
        ({**polygon(0, 0, 5, 5), "points": {"exterior": [[10**400, 0]]}}, "not a list of pairs"),
        (bitmap(exported_png(RING), 10**400, 0), "lies outside of 40 x 40"),
        (AT_INFINITY, r"is damaged \(OverflowError"),
        (bitmap(exported_png(RING), 99, 0), "a bitmap at 99, 0 lies outside of 40 x 40"),
        (bitmap(exported_png(RING)[:60], 0, 0), "image"),
        (NOT_A_PNG, "its bitmap cannot be unpacked"),
    ],
)
def test_damaged_objects_name_file_and_place(
    tmp_path: Path, broken: dict[str, Any], reason: str
) -> None:
    whole = [polygon(1, 1, 10, 10)]
    found = prepared(project(tmp_path / "in", whole, [*whole, broken]))
    assert found.summary.failed == 1
    row = found.rows["ds0/1"]["reason"]
    assert "ds0/ann/1.png.json: object 2 (person)" in row
    assert re.search(reason, row)


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"size": {"height": 40, "width": 40}}',
        '{"size": {"width": 40}, "objects": []}',
        '{"size": {"height": 40, "width": 40}, "objects": [{"classTitle": ["person"]}]}',
        pytest.param("[" * 200_000, id="deeply nested"),
    ],
)
def test_damaged_annotations_fail_alone(tmp_path: Path, content: str) -> None:
    root = project(tmp_path / "in", [polygon(1, 1, 10, 10)], [])
    (root / "ds0" / "ann" / "1.png.json").write_text(content)
    row = prepared(root).rows["ds0/1"]
    assert row["status"] == "failed"
    assert "ds0/ann/1.png.json: not an annotation of Supervisely" in row["reason"]


def test_a_mask_of_another_size_than_its_photo_fails(tmp_path: Path) -> None:
    root = project(tmp_path / "in", [polygon(1, 1, 10, 10)], [])
    size = {"height": 30, "width": 20}
    write_json(root / "ds0" / "ann" / "1.png.json", {"size": size, "objects": []})
    assert "20 x 30 pixels, but its photo has 40 x 40" in prepared(root).rows["ds0/1"]["reason"]


def test_a_damaged_list_of_classes_is_named(tmp_path: Path) -> None:
    root = project(tmp_path / "in", [])
    for content in ('{"classes": 3}', '{"classes": [{"title": ["person"]}]}', "[" * 200_000):
        (root / "meta.json").write_text(content)
        with pytest.raises(InputError, match=r"meta\.json: not the list of classes"):
            discover_samples(root)
