"""Layouts of datasets through the real command."""

import json

import numpy as np
from coco_files import BAG, annotation, polygons, write_coco
from exact_stores import SIDE, box, noise, save

from pipelines.store import open_store


def test_classes_of_a_coco_list(banet, tmp_path):
    people = [
        annotation(1, polygons((2, 3, 30, 20))),
        annotation(1, polygons((20, 0, 40, 9)), category_id=BAG),
    ]
    write_coco(tmp_path / "coco", people, images=2)
    (tmp_path / "coco" / "train2017" / "2.png").unlink()
    arguments = ("prepare", tmp_path / "coco", "out.zarr", "--size", SIDE, "--json")
    outcome = banet(*arguments, "--classes", "person,-handbag")
    summary = json.loads(outcome.stdout)
    assert (summary["format"], summary["stored"], summary["missing"]) == ("coco", 1, 1)
    store = open_store(tmp_path / "out.zarr")
    assert store.attributes["classes"] == ["person", "-handbag"]
    _, _, mask = next(store.photos([0]))
    assert np.array_equal(mask, box(2, 3, 30, 20) & ~box(20, 0, 40, 9))
    assert "made from other files or with other options" in banet(*arguments).stderr


def test_a_class_that_is_not_there_ends_the_run_with_a_sentence(banet, tmp_path):
    write_coco(tmp_path / "coco", [])
    outcome = banet("prepare", tmp_path / "coco", "out.zarr", "--classes", "dog")
    assert outcome.exit_code == 1
    assert "has no class 'dog', but 'handbag', 'person'" in outcome.stderr


def test_an_empty_name_of_a_class_is_wrong_usage(banet, tmp_path):
    save(tmp_path / "in" / "images" / "a.png", noise(0))
    outcome = banet("prepare", tmp_path / "in", "out.zarr", "--classes", "person,,dog")
    assert outcome.exit_code == 2
    assert "--classes: a name is empty" in outcome.stderr
