"""`benchmarks/store_codecs.py`: what is written in other ways is read as it was."""

import json
from pathlib import Path

import numpy as np
import pytest
import store_codecs
import typer
from pair_sets import write_pair_set
from photo_sets import EXAMPLES
from store_codecs import Bench, candidates, version_of_zarrs

from pipelines.prepare import PrepareOptions, prepare
from pipelines.store import open_store


def test_every_candidate_holds_the_same_photos(prepared: Path, tmp_path: Path) -> None:
    bench = Bench(prepared, tmp_path)
    original = open_store(prepared)
    for candidate in candidates():
        copy, _ = bench.write(candidate)

        pairs = zip(original.photos([0, 23]), open_store(copy).photos([0, 23]), strict=True)
        for (name, photo, mask), (copied_name, copied_photo, copied_mask) in pairs:
            assert name == copied_name
            assert np.array_equal(photo, copied_photo)
            assert np.array_equal(mask, copied_mask)


def test_candidates_are_compared(pairs_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "codecs.json"

    store_codecs.main(photos=pairs_folder, size=32, rounds=1, json_file=path)

    found = json.loads(path.read_text())
    assert found["photos"] == pairs_folder.name
    assert found["samples"] == 24
    results = {(each["name"], each["chunk"], each["shard"]): each for each in found["results"]}
    assert len(results) == 12 + (version_of_zarrs() is not None)
    # Photo, mask and boundary, and 16 bytes of an index for each of the 64 places in a shard.
    assert results["raw", 1, 64]["bytes_per_sample"] >= 5 * 32 * 32 + 3 * 16 * 64 / 24
    assert results["zstd 1", 1, 64]["bytes_per_sample"] < 5 * 32 * 32
    assert results["zstd 1", 1, 64]["against_first"] == 1


def test_a_missing_dataset_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit):
        store_codecs.main(photos=tmp_path / "no")
    assert str(tmp_path / "no") in capsys.readouterr().err


def test_pairs_are_made_of_photos(tmp_path: Path) -> None:
    write_pair_set(tmp_path / "pairs", EXAMPLES, count=15, height=80, width=60)

    summary = prepare(
        PrepareOptions(
            source=tmp_path / "pairs", dataset=tmp_path / "pairs.zarr", size=32, workers=0
        )
    )

    assert (summary.stored, summary.format) == (15, "pairs")
    assert all(
        0 < mask.mean() < 255 for _, _, mask in open_store(tmp_path / "pairs.zarr").photos([0, 14])
    )
