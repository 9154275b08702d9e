import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import streamed_training
import torch
from PIL import Image
from views import prepared as prepared_photo

from pipelines import trainingdata
from pipelines.augmentation.framing import draw_framing
from pipelines.augmentation.render import Batch, joined
from pipelines.augmentation.settings import Augmentation
from pipelines.augmentation.warp import DEVICE_SHARE, DevicePhotos, Warp, fits_device, warp_on_host
from pipelines.batches import BatchSource
from pipelines.draws import Draws
from pipelines.errors import BanetError, StoreError
from pipelines.prepare import PrepareOptions, prepare
from pipelines.recipes import Recipe, recipe_from_table
from pipelines.store import Store, open_store
from pipelines.stored_photos import StoredPhotos
from pipelines.trainingdata import SHARE, TrainingData, TrainingSet, load_training_data

CPU = torch.device("cpu")

DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
    ),
]

EVERYTHING = {
    "view": 0.7,
    "grey": 0.2,
    "colour": 0.5,
    "compression": 0.5,
    "blur": 0.5,
    "noise": 0.5,
    "background": 0.5,
}


def recipe_of(**settings: object) -> Recipe:
    table = {"iterations": 4, "batch_size": 4, "size": 48, "augmentation": EVERYTHING}
    return recipe_from_table({**table, **settings}, where="test")


def same(one: Batch, other: Batch) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one[:4], other[:4], strict=True))


def test_a_batch_is_a_function_of_seed_and_iteration(prepared: Path) -> None:
    data, recipe = load_training_data([prepared]), recipe_of()
    first, again, other = (
        BatchSource(Draws(data.training, recipe, seed=seed, device=CPU)) for seed in (1, 1, 2)
    )
    batches = list(first.batches(0))
    assert len(batches) == 4
    assert all(map(same, again.batches(2), batches[2:]))
    assert same(again.batch(1), batches[1])
    assert not same(other.batch(0), batches[0])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_gpu_makes_the_batches_of_a_cpu(prepared: Path) -> None:
    data, recipe = load_training_data([prepared]), recipe_of()
    pairs = zip(
        BatchSource(Draws(data.training, recipe, seed=1, device=CPU)).batches(0),
        BatchSource(Draws(data.training, recipe, seed=1, device=torch.device("cuda"))).batches(0),
        strict=True,
    )
    for one, other in pairs:
        assert (one.image - other.image.cpu()).abs().mean() < 0.02
        for mine, theirs in zip(one[1:4], other[1:4], strict=True):
            assert (mine - theirs.cpu()).abs().mean() < 0.01


def test_shares_of_several_processes_make_up_the_batch(prepared: Path) -> None:
    data, recipe = load_training_data([prepared]), recipe_of()
    whole, *shares = (
        BatchSource(Draws(data.training, recipe, seed=1, device=CPU, share=share)).batch(2)
        for share in ((0, 1), (0, 2), (1, 2))
    )
    assert same(joined(shares), whole)


def test_values_are_those_that_the_losses_ask_for(prepared: Path) -> None:
    data = load_training_data([prepared])
    for batch in BatchSource(Draws(data.training, recipe_of(), seed=0, device=CPU)).batches(0):
        assert {plane.dtype for plane in batch[:4]} == {torch.float32}
        assert batch.image.shape == (4, 3, 48, 32)
        for plane in (batch.image, batch.mask):
            assert plane.min() >= 0
            assert plane.max() <= 1
        for plane in (batch.boundary, batch.valid):
            assert set(plane.unique().tolist()) <= {0, 1}


def test_every_epoch_shows_every_photo_once() -> None:
    mask = np.zeros((32, 32), np.uint8)
    photos = [prepared_photo(np.full((32, 32, 3), n, np.uint8), mask) for n in range(10)]
    still = {"rotation": 0, "lightness": [1, 1], "flip": 0}
    recipe = recipe_of(iterations=6, batch_size=5, size=32, augmentation=still)
    source = BatchSource(Draws([TrainingSet(photos, [])], recipe, seed=1, device=CPU))
    values = [(255 * batch.image[:, 0, 16, 12]).round().int() for batch in source.batches(0)]
    seen = [sorted(set(each.tolist())) for each in values]
    epochs = [sorted(seen[i] + seen[i + 1]) for i in range(0, 6, 2)]
    assert epochs == [list(range(10))] * 3
    assert seen[0] != seen[2]


def size_of(path: Path) -> int:
    store = open_store(path)
    return StoredPhotos(store, store.indices("train"), []).size


def validation_size(data: TrainingData) -> int:
    photos = chain.from_iterable(data.validation.values())
    return sum(each.photo.nbytes + each.mask.nbytes for each in photos)


@pytest.fixture
def store_of_nobody(tmp_path: Path, write_pairs_to: Callable[[Path, int], None]) -> Path:
    """Six photos without people, five of them for training."""
    source, dataset = tmp_path / "nobody", tmp_path / "nobody.zarr"
    write_pairs_to(source, 30)
    for number in range(24):
        for folder in ("images", "masks"):
            (source / folder / f"{number:02d}.png").unlink()
    for path in (source / "masks").iterdir():
        Image.new("L", (90, 120)).save(path)
    options = PrepareOptions(
        source=source, dataset=dataset, size=64, split=(0.8, 0.2, 0.0), workers=0
    )
    prepare(options)
    return dataset


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Let torch compute in two threads, as it does wherever there are as many cores."""
    earlier = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(earlier)


@pytest.mark.usefixtures("two_threads")
def test_stores_that_memory_does_not_hold_give_the_same_batches(
    prepared: Path, store_of_nobody: Path
) -> None:
    stores = [prepared, store_of_nobody]
    resident = load_training_data(stores)
    each_size = [size_of(path) for path in stores]
    room_for_either = round(0.9 * sum(each_size) / SHARE) + validation_size(resident)
    streamed = load_training_data(stores, free=room_for_either)
    assert max(each_size) < 0.9 * sum(each_size)
    assert [each.resident for each in resident.training] == [True, True]
    assert [each.resident for each in streamed.training] == [False, False]
    recipe = recipe_of(batch_size=5)
    pairs = zip(
        BatchSource(Draws(resident.training, recipe, seed=3, device=CPU)).batches(1),
        BatchSource(Draws(streamed.training, recipe, seed=3, device=CPU)).batches(1),
        strict=True,
    )
    assert all(same(*pair) for pair in pairs)


def test_photos_of_a_batch_are_read_once(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    data = load_training_data([prepared], free=0)
    draws = Draws(data.training, recipe_of(batch_size=8), seed=0, device=CPU, share=(0, 1))
    photos = Store.photos
    monkeypatch.setattr(
        Store, "photos", lambda store, each: read.append(each) or photos(store, each)
    )
    draws[0]
    assert len(read) == 8


def test_validation_photos_leave_less_memory(
    prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = load_training_data([prepared])
    needed, judged = size_of(prepared), validation_size(data)
    for free, resident in ((needed / SHARE + judged + 9, True), (needed / SHARE, False)):
        monkeypatch.setattr(trainingdata, "free_memory", lambda free=free: round(free))
        assert load_training_data([prepared]).training[0].resident is resident


def test_damaged_photo_is_told_in_one_sentence(prepared: Path, tmp_path: Path) -> None:
    dataset = Path(shutil.copytree(prepared, tmp_path / "damaged.zarr"))
    data = load_training_data([dataset], free=0)
    shard = dataset / "image/c/0/0/0/0"
    content = bytearray(shard.read_bytes())
    content[: len(content) // 2] = bytes(len(content) // 2)
    shard.write_bytes(content)
    batches = BatchSource(Draws(data.training, recipe_of(), seed=0, device=CPU)).batches(0)
    with pytest.raises(StoreError, match=r"^.*damaged.zarr: 'image' is damaged \(.*--force$"):
        list(batches)


@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes in /proc")
def test_reader_that_is_killed_is_told_in_one_sentence(prepared: Path) -> None:
    data, recipe = load_training_data([prepared], free=0), recipe_of(iterations=1000)
    batches = BatchSource(Draws(data.training, recipe, seed=0, device=CPU)).batches(0)
    next(batches)
    for reader in multiprocessing.active_children():
        os.kill(reader.pid, signal.SIGKILL)
    with pytest.raises(BanetError, match=r"a process that reads photos is gone .* --shm-size 4g"):
        list(batches)


@pytest.mark.parametrize("background", [0.0, 0.5])
def test_lack_of_backgrounds_is_told(
    prepared: Path, caplog: pytest.LogCaptureFixture, background: float
) -> None:
    data = load_training_data([prepared])
    recipe = recipe_of(augmentation={"background": background})
    BatchSource(Draws(data.training, recipe, seed=0, device=CPU))
    told = [each.message for each in caplog.records if each.levelname == "WARNING"]
    assert len(told) == (background > 0)
    assert all("name a dataset of photos without people" in message for message in told)


def test_gpu_without_room_leaves_photos_to_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = np.zeros((32, 32), np.uint8)
    photos = [prepared_photo(np.zeros((32, 32, 3), np.uint8), mask)] * 3
    needed = 3 * 5 * (32**2 + 16**2 + 8**2 + 4**2 + 2**2 + 1)
    for free, fits in ((needed / DEVICE_SHARE, True), (needed / DEVICE_SHARE - 1, False)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device, free=free: (free, free))
        assert fits_device(photos, torch.device("cuda")) is fits


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no process groups to signal")
@pytest.mark.parametrize(("sent", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("early", [False, True])
def test_interrupt_of_all_processes_lets_the_first_save(
    prepared: Path, tmp_path: Path, sent: signal.Signals, exit_code: int, *, early: bool
) -> None:
    run = tmp_path / "run"
    arguments = ["train", str(prepared), "--out", str(run), "--iterations", "100000"]
    arguments += ["--batch-size", "2", "--size", "32", "--device", "cpu", "--precision", "fp32"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        [sys.executable, streamed_training.__file__, *arguments],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        # The state is saved before the readers start, the metrics when they have been at work.
        awaited = run / ("last" if early else "metrics.jsonl")
        while process.poll() is None and not awaited.exists():
            time.sleep(0.02)
        time.sleep(1 if early else 0)
        os.killpg(process.pid, sent)
        messages = process.communicate(timeout=120)[1]
    assert process.returncode == exit_code, messages
    assert "which memory does not hold; they are read as needed" in messages
    assert re.search(r"saved at iteration \d+; add --resume to go on from there", messages)
    assert "Traceback" not in messages


@pytest.mark.parametrize("replaced", [False, True])
@pytest.mark.parametrize("scale", [0.15, 0.5, 1.4])
@pytest.mark.parametrize("device", DEVICES)
def test_views_made_on_a_device_are_those_made_by_opencv(
    person: Callable[..., tuple[np.ndarray, np.ndarray]],
    device: str,
    scale: float,
    *,
    replaced: bool,
) -> None:
    """On a CPU too, what a GPU would do."""
    shapes = [(240, 180), (160, 200), (200, 200)]
    photos = [
        prepared_photo(*person(n, height=height, width=width))
        for n, (height, width) in enumerate(shapes)
    ]
    height, width = round(240 * scale), round(180 * scale)
    augmentation = Augmentation(view=1.0, view_heights=(0.8, 2.0))
    framings = [
        draw_framing(
            photos[n % 3],
            height=height,
            width=width,
            augmentation=augmentation,
            replaced=replaced,
            rng=np.random.default_rng(n),
        )
        for n in range(12)
    ]
    warps = [
        Warp(n % 3, photos[n % 3].level_for(framing.scale), framing, replaced=replaced)
        for n, framing in enumerate(framings)
    ]
    host = warp_on_host(photos, warps, height=height, width=width)
    held = DevicePhotos(photos, torch.device(device)).warp(warps, height=height, width=width)
    assert torch.equal(host.valid, held.valid.cpu())
    for plane in ("picture", "distance"):
        one, other = (getattr(views, plane).cpu().float() for views in (host, held))
        shown = host.valid.expand_as(one)
        difference = (one - other).abs()[shown]
        assert difference.mean() < 1
        assert difference.quantile(0.99) <= 6  # OpenCV interpolates in steps of 1/32 of a pixel
