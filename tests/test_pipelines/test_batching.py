"""Photos that wait for a device at the same time share a forward pass, and nothing else."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from figures import draw_person
from numpy.typing import NDArray
from segment_results import counts, ledger, outputs, pixels
from torch import Tensor, nn

from models.prediction import Prediction
from pipelines import engines
from pipelines.batching import BatchingSegmenter
from pipelines.checkpoints import load_weights
from pipelines.engines import compute_for, engine_once
from pipelines.errors import BanetError, PhotoError
from pipelines.images import Pixels
from pipelines.inference import Segmenter, soft_mask, to_alpha
from pipelines.segment import SegmentSummary

Run = Callable[..., SegmentSummary]

CPU = torch.device("cpu")
PATIENCE = 20.0
"""Seconds after which a test gives up waiting."""

ALL_BLACK = 0


class Passes:
    """Looks on at, and into, what torch convolves: one convolution is one forward pass here.

    Attributes:
        sizes: Photos of each pass.
        hold: The first pass waits until this is true.
        spoil: Called with the images of each pass and the answer.
    """

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.hold: Callable[[], bool] = lambda: True
        self.spoil: Callable[[Tensor, Tensor], None] = lambda _images, _answer: None
        self._convolve = torch.nn.functional.conv2d

    def __call__(self, images: Tensor, *arguments: Any) -> Tensor:
        if images.shape[1] != 3:  # not the first layer of the network
            return self._convolve(images, *arguments)
        self.sizes.append(len(images))
        if len(self.sizes) == 1:
            wait_until(self.hold)
        answer = self._convolve(images, *arguments)
        self.spoil(images, answer)
        return answer


class OneLayer(nn.Module):
    """A network whose answers depend on the photo."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 1, kernel_size=3, padding=1)

    def forward(self, image: Tensor) -> Prediction:
        return Prediction(portrait=self.layer(image), boundary=None)


class Callers:
    """Threads that each segment a photo; the first is held until all of them wait."""

    def __init__(self, engine: BatchingSegmenter, passes: Passes) -> None:
        self.engine = engine
        self.answers: dict[int, NDArray[np.float32]] = {}
        self.errors: dict[int, BaseException] = {}
        self._passes = passes

    def __call__(self, *photos: Pixels) -> None:
        self._passes.sizes.clear()
        everybody_waits = threading.Event()
        self._passes.hold = everybody_waits.is_set
        threads = []
        for index, photo in enumerate(photos):
            threads.append(threading.Thread(target=self._segment, args=(index, photo), daemon=True))
            threads[-1].start()
            if index == 0:
                wait_until(lambda: bool(self._passes.sizes))
            else:
                wait_until(lambda index=index: len(self.engine._waiting) == index)
        everybody_waits.set()
        for thread in threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()

    def _segment(self, index: int, photo: Pixels) -> None:
        try:
            self.answers[index] = self.engine(photo)
        except BaseException as error:  # noqa: BLE001 # looked at by the test
            self.errors[index] = error


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def photo(seed: int, *, height: int = 32, width: int = 48) -> Pixels:
    return np.random.default_rng(seed).integers(1, 256, (height, width, 3), np.uint8)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Passes:
    passes = Passes()
    monkeypatch.setattr(torch.nn.functional, "conv2d", passes)
    # A recorded network would pass it by.
    monkeypatch.setattr(torch.jit, "trace", lambda module, *_, **__: module)
    return passes


@pytest.fixture
def segmenter() -> Segmenter:
    torch.manual_seed(0)
    return Segmenter(OneLayer(), device=CPU, dtype=torch.float32, size=48)


@pytest.fixture
def callers(segmenter: Segmenter, passes: Passes) -> Callers:
    return Callers(BatchingSegmenter(segmenter, largest=4), passes)


@pytest.mark.parametrize(("callers", "computed"), [(1, 1), (3, 3), (9, 4)])
def test_the_largest_batch_is_computed_for_measuring_though_nobody_waits(
    segmenter: Segmenter, passes: Passes, callers: int, computed: int
) -> None:
    compute_for(BatchingSegmenter(segmenter, largest=4), photo(0), callers=callers)

    assert passes.sizes == [computed]


def test_photos_of_a_shape_that_wait_share_a_pass_and_get_their_own_answers(
    callers: Callers, segmenter: Segmenter, passes: Passes
) -> None:
    wide = [photo(seed) for seed in range(7)]
    high = [photo(seed, height=48, width=32) for seed in range(2)]
    photos = [*wide[:3], high[0], *wide[3:], high[1]]

    callers(*photos)

    assert passes.sizes == [1, 4, 2, 2]  # the oldest that waits says which shape is next
    for index, each in enumerate(photos):
        np.testing.assert_allclose(callers.answers[index], segmenter(each), atol=1e-6)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_without_enough_memory_batches_are_halved_for_good(
    segmenter: Segmenter, passes: Passes, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def fail_above_two(images: Tensor, _answer: Tensor) -> None:
        if len(images) > 2:
            raise error

    passes.spoil = fail_above_two
    callers = Callers(BatchingSegmenter(segmenter, largest=8), passes)

    callers(*map(photo, range(9)))
    assert passes.sizes == [1, 8, 4, 2, 2, 2, 2]
    assert sorted(callers.answers) == list(range(9))
    assert caplog.messages == [
        "cpu: not enough memory for 8 photos at a time; going on with at most 4 at a time",
        "cpu: not enough memory for 4 photos at a time; going on with at most 2 at a time",
    ]

    callers(*map(photo, range(6)))
    assert passes.sizes == [1, 2, 2, 1]
    assert len(caplog.messages) == 2


def test_a_photo_that_no_memory_suffices_for_fails_alone(callers: Callers, passes: Passes) -> None:
    def fail(images: Tensor, _answer: Tensor) -> None:
        if images.shape[2] > 32:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    passes.spoil = fail

    callers(*map(photo, range(4)), photo(4, height=48, width=48), photo(5))

    assert sorted(callers.answers) == [0, 1, 2, 3, 5]
    assert isinstance(callers.errors[4], torch.OutOfMemoryError)


def test_an_answer_that_is_no_number_is_that_of_its_photo_only(
    callers: Callers, passes: Passes
) -> None:
    black = np.full((32, 48, 3), ALL_BLACK, np.uint8)

    def spoil_black(images: Tensor, answer: Tensor) -> None:
        answer[images.std(dim=(2, 3)).amax(dim=1) == 0] = torch.nan

    passes.spoil = spoil_black

    callers(photo(0), photo(1), black, photo(3))

    assert passes.sizes == [1, 3]
    assert sorted(callers.answers) == [0, 1, 3]
    with pytest.raises(PhotoError, match="not a number"):
        raise callers.errors[2]


def test_an_error_is_that_of_the_photo_that_causes_it(callers: Callers, passes: Passes) -> None:
    black = np.full((32, 48, 3), ALL_BLACK, np.uint8)

    def fail_for_black(images: Tensor, _answer: Tensor) -> None:
        if (images.std(dim=(2, 3)) == 0).any():
            raise RuntimeError("a bug")

    passes.spoil = fail_for_black

    callers(photo(0), photo(1), black, photo(3))

    assert sorted(callers.answers) == [0, 1, 3]
    assert str(callers.errors[2]) == "a bug"


def test_a_lost_device_is_an_error_for_everybody_who_waits(
    passes: Passes, monkeypatch: pytest.MonkeyPatch
) -> None:
    from contextlib import nullcontext

    def lose_device(_images: Tensor, _answer: Tensor) -> None:
        raise RuntimeError("device lost")

    monkeypatch.setattr("pipelines.inference.autocast", lambda *_: nullcontext())
    passes.spoil = lose_device
    segmenter = Segmenter(OneLayer(), device=torch.device("meta"), dtype=torch.float32, size=48)
    callers = Callers(BatchingSegmenter(segmenter, largest=4), passes)

    callers(*map(photo, range(5)))

    assert passes.sizes == [1, 4]
    assert [str(callers.errors[index])[:36] for index in range(5)] == [
        "--device meta: failed (device lost);"
    ] * 5
    assert all(type(error) is BanetError for error in callers.errors.values())


def test_an_interrupted_pass_leaves_the_engine_usable(segmenter: Segmenter, passes: Passes) -> None:
    def interrupt(_images: Tensor, _answer: Tensor) -> None:
        raise KeyboardInterrupt

    engine = BatchingSegmenter(segmenter, largest=4)
    passes.spoil = interrupt
    with pytest.raises(KeyboardInterrupt):
        engine(photo(0))

    passes.spoil = lambda _images, _answer: None
    assert engine(photo(0)).shape == (32, 48)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_shipped_network_says_the_same_of_a_photo_in_every_batch(dtype: torch.dtype) -> None:
    network = load_weights("banet-64").network
    segmenter, other = (Segmenter(network, device=CPU, dtype=dtype, size=256) for _ in range(2))
    views = [segmenter.view(draw_person(seed)[0]) for seed in range(5)]
    assert len({view[0].shape for view in views}) == 1

    def masks(*views: Any, by: Segmenter = other) -> list[NDArray[np.int16]]:
        alphas = map(to_alpha, by.probabilities(views))
        return [soft_mask(alpha, height=256, width=256).astype(np.int16) for alpha in alphas]

    alone = [masks(view, by=segmenter)[0] for view in views]
    assert len(np.unique(alone[0])) > 50  # it sees something
    for sizes in ((5,), (2, 3), (1, 4)):
        parts = np.split(np.arange(5), np.cumsum(sizes)[:-1])
        together = [mask for part in parts for mask in masks(*(views[index] for index in part))]
        assert max(np.abs(a - b).max() for a, b in zip(alone, together, strict=True)) <= 1


class TestRuns:
    """Whole runs on a CPU, told to use batches."""

    @pytest.fixture
    def photos(self, photos: Path, write_photo: Callable[..., Path]) -> Path:
        """Four photos of each of two shapes, for four workers."""
        for seed in range(3):
            write_photo(photos / "below" / f"{seed}.png", width=30, height=50, seed=seed)
        return photos

    @pytest.fixture
    def run(self, run: Run, monkeypatch: pytest.MonkeyPatch, passes: Passes) -> Run:
        """Segment by four threads; the first pass waits until the others wait for it."""
        made: list[BatchingSegmenter] = []

        def make(*arguments: Any, **options: Any) -> BatchingSegmenter:
            made.append(BatchingSegmenter(*arguments, **options))
            return made[-1]

        engines._load_engine.cache_clear()
        monkeypatch.setattr(engines, "BatchingSegmenter", make)
        passes.hold = lambda: not made or len(made[-1]._waiting) == 3
        return lambda *inputs, **options: run(*inputs, **{"workers": 4, "batch_size": 4, **options})

    @pytest.mark.parametrize("precision", ["fp32", "bf16"])
    def test_masks_are_the_same_with_and_without_batches(
        self, run: Run, photos: Path, tmp_path: Path, passes: Passes, precision: str
    ) -> None:
        options = {"composite": "none", "precision": precision}

        together = run(photos, out=tmp_path / "together", **options)
        assert max(passes.sizes) > 1
        alone = run(photos, out=tmp_path / "alone", batch_size=None, **options)

        assert counts(together) == counts(alone) == (8, 0, 0, 0)
        names = sorted(outputs(tmp_path / "alone"))
        assert names == sorted(outputs(tmp_path / "together"))
        for name in names:
            differ = pixels(tmp_path / "alone" / name) - pixels(
                tmp_path / "together" / name
            ).astype(np.int16)
            assert np.abs(differ).max() <= 1

    def test_too_little_memory_on_the_device_fails_a_photo_and_says_so(
        self, run: Run, photos: Path, passes: Passes
    ) -> None:
        def fail(images: Tensor, _answer: Tensor) -> None:
            if images.shape[2] > images.shape[3]:
                raise torch.OutOfMemoryError("CUDA out of memory.")

        passes.spoil = fail

        summary = run(photos)

        assert counts(summary) == (4, 0, 4, 0)
        for failure in summary.failures:
            assert failure.source.startswith("below/")
            assert "not enough memory on cpu, even for one photo at a time" in failure.error

    def test_an_interrupted_run_commits_what_is_in_flight(
        self, run: Run, photos: Path, write_photo: Callable[..., Path]
    ) -> None:
        class Interrupted:
            def start(self, *_stage: object) -> None:
                """Begin."""

            def advance(self, steps: int = 1, status: str = "") -> None:
                raise KeyboardInterrupt(steps, status)

            def finish(self) -> None:
                """End."""

        for seed in range(30):
            write_photo(photos / "more" / f"{seed}.png", seed=seed)
        with pytest.raises(KeyboardInterrupt):
            run(photos, progress=Interrupted())

        done = len(ledger(photos.with_name("photos-segmented")))
        assert 0 < done < 38
        assert counts(run(photos)) == (38 - done, 0, 0, done)

    def test_without_workers_every_photo_is_a_batch(
        self, run: Run, photos: Path, passes: Passes
    ) -> None:
        passes.hold = lambda: True

        assert counts(run(photos, workers=0)) == (8, 0, 0, 0)
        assert passes.sizes == [1] * 8


def test_a_cpu_takes_photos_one_by_one_unless_told_otherwise(weights_file: str) -> None:
    weights = load_weights(weights_file)

    def engine(batch_size: int | None) -> object:
        return engine_once(
            weights_file,
            weights.sha256,
            device="cpu",
            precision="fp32",
            size=64,
            threads=1,
            batch_size=batch_size,
        )

    assert isinstance(engine(None), Segmenter)
    assert isinstance(engine(1), Segmenter)
    assert isinstance(engine(2), BatchingSegmenter)
