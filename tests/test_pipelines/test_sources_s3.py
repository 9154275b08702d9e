"""Every layout behind a URL yields the samples that it yields on this machine."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from coco_files import annotation, polygons, write_coco
from exact_stores import SIDE, box, noise, save, write_json
from s3_server import Bucket

from pipelines.examine import load_pair
from pipelines.sources import discover_samples
from pipelines.storage import locate

MASK = box(5, 6, 30, 40)


def write_pairs_and_table(root: Path) -> None:
    for number in range(2):
        save(root / "images" / f"{number}.png", noise(number))
        save(root / "masks" / f"{number}.png", MASK)
    (root / "list.csv").write_text("image,mask\nimages/0.png,masks/0.png\n")


def write_cut_outs(root: Path) -> None:
    save(root / "below" / "a.png", np.dstack([noise(0), MASK]))


def write_people(root: Path) -> None:
    write_coco(root, [annotation(1, polygons((5, 6, 30, 40)))])


def write_project(root: Path) -> None:
    write_json(root / "meta.json", {"classes": [{"title": "person"}]})
    save(root / "ds0" / "img" / "a.png", noise(0))
    corners = [[5, 6], [29, 6], [29, 39], [5, 39]]
    person = {"classTitle": "person", "geometryType": "polygon", "points": {"exterior": corners}}
    size = {"height": SIDE, "width": SIDE}
    write_json(root / "ds0" / "ann" / "a.png.json", {"size": size, "objects": [person]})


@pytest.mark.parametrize(
    ("write", "layout", "named"),
    [
        (write_pairs_and_table, "pairs", ""),
        (write_pairs_and_table, "csv", "list.csv"),
        (write_cut_outs, "rgba", ""),
        (write_project, "supervisely", ""),
        (write_people, "coco", ""),
        (write_people, "coco", "annotations/instances_train2017.json"),
    ],
)
def test_samples_behind_a_url(
    bucket: Bucket, tmp_path: Path, write: Callable[[Path], None], layout: str, named: str
) -> None:
    write(tmp_path)
    source = locate(f"{bucket.upload(tmp_path, 'data')}/{named}".rstrip("/"))
    found, samples = discover_samples(source, layout if layout in {"pairs", "csv"} else "auto")
    _, expected = discover_samples(tmp_path / named, layout)
    assert found == layout
    assert [sample.name for sample in samples] == [sample.name for sample in expected]
    for sample in samples:
        assert str(sample.mask).startswith("s3://")
        assert np.array_equal(load_pair(sample).mask, MASK)


def test_pfcn_behind_a_url(bucket: Bucket, pfcn_folder: Path) -> None:
    found, samples = discover_samples(locate(bucket.upload(pfcn_folder, "data")))
    _, expected = discover_samples(pfcn_folder)
    assert found == "pfcn"
    assert [sample.name for sample in samples] == [sample.name for sample in expected]
    assert np.array_equal(load_pair(samples[0]).mask, load_pair(expected[0]).mask)
