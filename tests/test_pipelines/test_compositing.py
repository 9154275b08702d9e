import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines import compositing
from pipelines.compositing import (
    blurred_background,
    cut_out,
    estimate_foreground,
    parse_colour,
    picture_background,
    plain_background,
    put_before,
)
from pipelines.encoding import ImageFormat, encode

Pixels = NDArray[np.uint8]


class Scene:
    """A patterned disc with a soft edge before a background of another colour."""

    def __init__(self, height: int, width: int, softness: float) -> None:
        y, x = np.mgrid[:height, :width]
        inside = ((y - height * 0.55) / (height * 0.4)) ** 2 + ((x / width - 0.5) / 0.25) ** 2 < 1
        soft = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), softness)
        self.alpha: Pixels = (soft * 255).round().astype(np.uint8)
        flat = np.zeros_like(x)
        self.person = np.stack((180 + 40 * np.sin(x / 23), 90 + 30 * np.sin(y / 17), 60 + flat), -1)
        behind = np.stack((20 + flat, 200 + 40 * np.sin(x / 31), 220 + 20 * np.cos(y / 11)), -1)
        share = self.alpha[..., None] / 255
        mixture = self.person * share + behind * (1 - share)
        self.photo: Pixels = mixture.round().clip(0, 255).astype(np.uint8)

    @property
    def edge(self) -> NDArray[np.bool_]:
        return (self.alpha > 0) & (self.alpha < 255)


@pytest.fixture(
    scope="module",
    params=[(150, 100, 1.5), (800, 600, 5.0), (1500, 2000, 12.0)],
    ids=["150", "800", "2000"],
)
def scene(request: pytest.FixtureRequest) -> Scene:
    return Scene(*request.param)


def test_the_halo_of_the_old_background_is_at_least_halved(scene: Scene) -> None:
    estimate = estimate_foreground(scene.photo, scene.alpha)

    edge, share = scene.edge, scene.alpha[scene.edge][:, None] / 255
    before = np.abs(scene.photo[edge] - scene.person[edge])
    after = np.abs(estimate[edge] - scene.person[edge])
    assert after.mean() < before.mean() / 2
    assert (after * share).mean() < (before * share).mean() / 2


def test_what_is_surely_person_keeps_its_exact_colours(scene: Scene) -> None:
    rgba = cut_out(scene.photo, scene.alpha).whole()

    solid = scene.alpha == 255
    assert np.array_equal(rgba[solid][:, :3], scene.photo[solid])
    assert np.array_equal(rgba[..., 3], scene.alpha)


def test_what_is_fully_transparent_is_black(scene: Scene) -> None:
    rgba = cut_out(scene.photo, scene.alpha).whole()

    assert not rgba[scene.alpha == 0].any()


def test_before_another_background_both_are_pure_away_from_the_edge(scene: Scene) -> None:
    height, width = scene.alpha.shape
    white = plain_background((255, 255, 255), height=height, width=width)

    blended = put_before(scene.photo, scene.alpha, white).whole()

    assert (blended[scene.alpha == 0] == 255).all()
    assert np.array_equal(blended[scene.alpha == 255], scene.photo[scene.alpha == 255])


@pytest.mark.parametrize("value", [0, 1, 128, 254, 255])
def test_a_uniform_mask_gives_finite_colours(value: int) -> None:
    photo = np.full((20, 30, 3), (10, 100, 200), np.uint8)
    alpha = np.full((20, 30), value, np.uint8)

    estimate = estimate_foreground(photo, alpha)

    assert np.abs(estimate.astype(int) - photo).max() <= 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 2)])
def test_slivers_are_composited(shape: tuple[int, int]) -> None:
    photo = np.full((*shape, 3), 77, np.uint8)
    alpha = np.linspace(0, 255, photo[..., 0].size).astype(np.uint8).reshape(shape)

    assert cut_out(photo, alpha).whole().shape == (*shape, 4)
    background = blurred_background(photo, alpha)
    assert put_before(photo, alpha, background).whole().shape == photo.shape


def test_a_blurred_background_is_not_tinged_by_the_person() -> None:
    alpha = np.zeros((200, 200), np.uint8)
    alpha[50:150, 50:150] = 255
    photo = np.where(alpha[..., None] > 0, np.uint8(255), np.uint8(40)) * np.ones(3, np.uint8)

    background = blurred_background(photo, alpha)

    assert np.abs(background[alpha == 0].astype(int) - 40).max() <= 2


def test_a_background_is_blurred_as_far_as_the_photo_is_large() -> None:
    photo = np.zeros((400, 400, 3), np.uint8)
    photo[:, 200:] = 255
    nobody = np.zeros(photo.shape[:2], np.uint8)
    larger = photo.repeat(4, axis=0).repeat(4, axis=1)

    blurred = blurred_background(photo, nobody)
    blurred_larger = blurred_background(larger, nobody.repeat(4, axis=0).repeat(4, axis=1))

    shrunk = cv2.resize(blurred_larger, (400, 400), interpolation=cv2.INTER_AREA)
    assert np.abs(shrunk.astype(int) - blurred).max() <= 12
    assert 40 < blurred[200, 193, 0] < 127  # within one standard deviation of the edge


def test_a_background_picture_is_cropped_around_its_middle_to_fill() -> None:
    picture = np.zeros((100, 300, 3), np.uint8)
    picture[:, 100:200] = 255

    filled = picture_background(picture, height=50, width=50)

    assert filled.shape == (50, 50, 3)
    assert (filled == 255).all()


@pytest.mark.parametrize("shape", [(7, 1000), (1000, 7), (64, 64)])
def test_a_background_picture_of_any_shape_fills(shape: tuple[int, int]) -> None:
    picture = np.full((*shape, 3), 9, np.uint8)

    assert (picture_background(picture, height=33, width=44) == 9).all()


def test_colours_are_read_by_name_and_number() -> None:
    assert parse_colour("white") == (255, 255, 255)
    assert parse_colour("#4080fF") == (64, 128, 255)
    with pytest.raises(ValueError, match="unknown color"):
        parse_colour("beach.jpg")
    with pytest.raises(ValueError, match="from 0 to 255"):
        parse_colour("rgb(300,0,0)")


def test_pictures_composed_in_strips_are_those_composed_as_a_whole(scene: Scene) -> None:
    height, width = scene.alpha.shape
    foreground = estimate_foreground(scene.photo, scene.alpha)
    background = blurred_background(scene.photo, scene.alpha)
    share = scene.alpha.astype(np.float32) / np.float32(255)

    rgba = np.dstack((foreground, scene.alpha)) * (scene.alpha[..., None] > 0)
    assert np.array_equal(cut_out(scene.photo, scene.alpha).whole(), rgba)

    blended = cv2.blendLinear(foreground, background, share, 1 - share)
    picture = put_before(scene.photo, scene.alpha, background)
    assert (picture.height, picture.width) == (height, width)
    assert np.array_equal(picture.whole(), blended)


@pytest.mark.parametrize("image_format", ["png", "webp"])
def test_strips_are_encoded_as_the_whole_picture_is(
    scene: Scene, image_format: ImageFormat
) -> None:
    whole = cut_out(scene.photo, scene.alpha).whole()

    files = (encode(each, image_format) for each in (cut_out(scene.photo, scene.alpha), whole))

    one, other = (
        cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED) for file in files
    )
    assert one.shape == whole.shape
    assert np.array_equal(one, other)
    if image_format == "png":
        assert np.array_equal(cv2.cvtColor(one, cv2.COLOR_BGRA2RGBA), whole)


@pytest.mark.parametrize("shape", [(700, 500), (803, 601), (1, 900), (900, 1), (1201, 7)])
def test_tiles_do_not_show(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(2)
    small = random.integers(0, 256, (9, 7, 4), np.uint8)
    picture = cv2.resize(small, shape[::-1], interpolation=cv2.INTER_CUBIC).reshape(*shape, 4)
    photo, alpha = np.ascontiguousarray(picture[..., :3]), np.ascontiguousarray(picture[..., 3])

    whole = estimate_foreground(photo, alpha)
    for side in (37, 64, 2000):
        monkeypatch.setattr(compositing, "TILE", side)
        assert np.abs(estimate_foreground(photo, alpha).astype(int) - whole).max() <= 1
