from pathlib import Path

import pytest
from made_photos import make_photos
from soak import Sample, growth

from pipelines.errors import PhotoError
from pipelines.images import decode_photo


def test_growth_is_what_memory_gained_between_warm_up_and_the_last_photo() -> None:
    beginning = [Sample(0, 0), Sample(500, 300_000_000)]
    middle = [Sample(done, 400_000_000 + 200 * done) for done in range(1000, 10_000, 500)]
    end = [Sample(10_000, 900_000_000)]

    found = growth([*beginning, *middle, *end], photos=10_000)

    assert found.megabytes_per_10000_photos == pytest.approx(2.0)
    assert (found.first_megabytes, found.most_megabytes) == (400.2, 900.0)
    assert found.looks == len(middle)


def test_made_photos_differ_and_those_that_shall_be_are_broken(tmp_path: Path) -> None:
    make_photos(tmp_path, 12, broken=(3, 4, 5))

    contents = [path.read_bytes() for path in sorted(tmp_path.rglob("*.*"))]
    assert len(set(contents)) == 12
    for number, content in enumerate(contents):
        if number in {3, 4, 5}:
            with pytest.raises(PhotoError):
                decode_photo(content)
        else:
            assert decode_photo(content).pixels.shape == (48, 64, 3)
