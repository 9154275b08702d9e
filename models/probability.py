"""A network as users of an exported file want it: picture in, probabilities out."""

from torch import Tensor, nn

from models.prediction import Prediction, normalize


class ProbabilityNetwork(nn.Module):
    """A network between the normalisation of its input and the sigmoid of its outputs.

    Args:
        network: Maps normalised images to a `Prediction`.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Map RGB values in [0, 1], (B, 3, H, W), to probabilities, (B, 1, H, W) each.

        Returns:
            That of the portrait and, if the network has a boundary attention map, that map.
        """
        prediction: Prediction = self.network(normalize(image))
        return tuple(logits.sigmoid() for logits in prediction if logits is not None)
