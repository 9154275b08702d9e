import pytest
import torch

from models.blocks import GlobalMean


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_global_mean_of_a_large_photo_fits_every_precision(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    features = 4 * torch.rand(2, 3, 400, 300)
    features[1, 2] += 4
    mean = GlobalMean()(features.to(dtype))
    assert mean.dtype is dtype
    expected = features.mean(dim=(2, 3), keepdim=True)
    torch.testing.assert_close(mean.float(), expected, rtol=0.01, atol=0)
