"""What can go wrong with photos and results on a server of S3, and what is said then."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from acting_progress import Acting
from s3_server import Bucket
from segment_results import counts
from unreachable_stores import UNREACHABLE

from pipelines.errors import BanetError, ConfigError, InputError
from pipelines.segment import SegmentSummary

Run = Callable[..., SegmentSummary]


def test_one_object_that_cannot_be_read_is_one_failed_photo(
    run: Run, bucket: Bucket, url: str
) -> None:
    bucket.deny("s3:GetObject", "photos/1.png")
    summary = run(url, progress=Acting(first=lambda: bucket.delete("photos/0.png")))

    reasons = {failure.source: failure.error for failure in summary.failures}
    assert counts(summary) == (3, 0, 2, 0)
    assert reasons["0.png"] == "no such file"
    assert re.match("cannot be read: access denied", reasons["1.png"])


def test_results_that_may_not_be_written_fail_their_photos(
    run: Run, bucket: Bucket, url: str
) -> None:
    run(url)
    bucket.deny("s3:PutObject", "photos-segmented/masks/below/*")

    summary = run(url, mask="binary")

    assert counts(summary) == (4, 0, 1, 0)
    assert re.match("cannot be written: access denied", summary.failures[0].error)


@pytest.mark.usefixtures("other_access")
@pytest.mark.parametrize(("changes", "reason"), UNREACHABLE)
def test_a_store_that_cannot_be_reached_is_an_error_that_says_so(
    run: Run,
    bucket: Bucket,
    photos: Path,
    *,
    changes: dict[str, str],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in changes.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(InputError, match=rf"{bucket.url('photos')}: cannot be read \({reason}"):
        run(bucket.url("photos"))
    with pytest.raises(BanetError, match=rf"--out {bucket.url('out')}: cannot be .*{reason}"):
        run(photos, out=bucket.url("out"))


def test_what_is_not_there_is_named(run: Run, bucket: Bucket, url: str, photos: Path) -> None:
    bucket.put("texts/notes.txt", b"notes")
    for missing in (f"{url}/9.png", f"{url}-typo", "s3://no-such-bucket/photos"):
        with pytest.raises(InputError, match=f"{missing}: no such file or folder"):
            run(missing)
    with pytest.raises(InputError, match="no photo matches"):
        run(f"{url}/*.gif")
    with pytest.raises(InputError, match="no photo there"):
        run(bucket.url("texts"))
    with pytest.raises(BanetError, match=r"--out s3://no-such-bucket/o.*there is no such bucket"):
        run(photos, out="s3://no-such-bucket/o")


def test_results_never_become_inputs(run: Run, bucket: Bucket, url: str, photos: Path) -> None:
    for out in (url, f"{url}/out", f"s3://{bucket.name}"):
        with pytest.raises(InputError, match="--out"):
            run(url, out=out)
    with pytest.raises(InputError, match="the pattern"):
        run(bucket.url("**/0.png"), out=bucket.url("other"))
    run(f"{url}/0.png", out=bucket.url("one"))
    with pytest.raises(InputError, match="holds the results for"):
        run(photos, out=bucket.url("one"))
    with pytest.raises(ConfigError, match="--out: name the folder"):
        run(f"s3://{bucket.name}")


def test_inputs_of_different_places_are_refused(
    run: Run, bucket: Bucket, url: str, photos: Path
) -> None:
    with pytest.raises(InputError, match="some inputs are on this machine"):
        run(photos, url, out=bucket.url("out"))
    with pytest.raises(ConfigError, match="--watch: looks at folders of this machine only"):
        run(url, watch=True)
