import torch

from models.bisenet import BiSeNet, ContextPath


def test_context_path_ends_at_an_eighth_of_the_size() -> None:
    path = ContextPath(channels=8, widths=(16, 32, 64, 64), depths=(1, 1, 1, 1)).eval()
    assert path(torch.rand(1, 3, 64, 96)).shape == (1, 8, 8, 12)


def test_both_paths_reach_the_prediction() -> None:
    torch.manual_seed(0)
    network = BiSeNet(channels=8, widths=(16, 32, 64, 64), depths=(1, 1, 1, 1)).eval()
    image = torch.rand(1, 3, 64, 64)
    expected = network(image).portrait
    for path in (network.spatial_path, network.context_path):
        handle = path.register_forward_hook(lambda _module, _given, out: torch.zeros_like(out))
        assert not torch.allclose(network(image).portrait, expected)
        handle.remove()
