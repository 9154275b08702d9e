import threading

import numpy as np
import pytest
import torch

from models import build_model
from pipelines.inference import Segmenter, confidence, limit_threads


def test_threads_are_limited_in_each_thread_that_asks() -> None:
    found: dict[str, int] = {}

    def ask(name: str, count: int) -> None:
        limit_threads(count)
        found[name] = torch.get_num_threads()

    here = torch.get_num_threads()
    for name, count in (("first", 1), ("second", 2), ("third", 1)):
        thread = threading.Thread(target=ask, args=(name, count))
        thread.start()
        thread.join()

    assert found == {"first": 1, "second": 2, "third": 1}
    assert torch.get_num_threads() == here


def test_confidence_is_the_share_of_the_possible_person_that_is_sure() -> None:
    probability = np.zeros((10, 10), np.float32)
    assert confidence(probability) == 1
    probability[:4] = 0.95
    assert confidence(probability) == 1
    probability[4] = 0.5
    assert confidence(probability) == pytest.approx(0.8)
    assert confidence(np.full((10, 10), 0.3, np.float32)) == 0


@pytest.mark.parametrize("model", ["banet-64", "banet-512"])
def test_narrow_photos_have_one_mask_in_bf16(model: str) -> None:
    """See `LEAST_SIZE_IN_BF16`: on some processors they had another one in each pass."""
    torch.manual_seed(0)
    network = build_model(model)
    segmenter = Segmenter(network, device=torch.device("cpu"), dtype=torch.bfloat16, size=256)
    for shape in ((2560, 100, 3), (100, 2560, 3)):
        photo = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        assert min(segmenter.view(photo)[0].shape[:2]) == 64
        masks = [segmenter(photo) for _ in range(4)]
        assert all(np.array_equal(mask, masks[0]) for mask in masks)
