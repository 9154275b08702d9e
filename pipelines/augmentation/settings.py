"""How far training views may differ from the stored photos."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Bounds of the randomness. The defaults are the paper's; all that is 0 is switched off.

    Attributes:
        rotation: Greatest rotation in degrees, either way; the paper takes 45.
        lightness: Least and greatest factor of the brightness; the paper takes 0.7 to 1.3.
        flip: Probability of a mirror image.
        view: Probability that the framing is drawn anew; otherwise it is the whole photo. The
            paper trains on one tight framing.
        view_heights: Least and greatest height of a new framing in heights of the person.
        grey: Probability of a grey picture.
        colour: Probability of another white balance, saturation and contrast.
        colour_range: How far their factors go from 1, either way.
        compression: Probability of the traces of JPEG.
        quality: Lowest and highest JPEG quality.
        blur: Probability of a Gaussian blur.
        blur_radius: Least and greatest standard deviation, in longer sides of the view.
        noise: Probability of Gaussian noise.
        noise_level: Least and greatest standard deviation; white is 1.
        background: Probability that the person is put before another background: what the paper
            names as its future work. Backgrounds are the training photos that show nobody, sharp
            or blurred, and made textures.
    """

    rotation: float = 45.0
    lightness: tuple[float, float] = (0.7, 1.3)
    flip: float = 0.5
    view: float = 0.0
    view_heights: tuple[float, float] = (0.35, 2.2)
    grey: float = 0.0
    colour: float = 0.0
    colour_range: float = 0.3
    compression: float = 0.0
    quality: tuple[float, float] = (20.0, 90.0)
    blur: float = 0.0
    blur_radius: tuple[float, float] = (0.001, 0.008)
    noise: float = 0.0
    noise_level: tuple[float, float] = (0.01, 0.08)
    background: float = 0.0
