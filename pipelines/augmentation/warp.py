"""Taking photos into views: on a CPU with OpenCV, on other devices for a whole batch at once.

OpenCV warps 8-bit pixels in a tenth of the time that torch's `grid_sample` takes on a CPU.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pipelines.affine import AffineMap, apply, compose, invert, resizing
from pipelines.augmentation.framing import Framing
from pipelines.augmentation.photos import GREATEST_DISTANCE, Level, Photos, Sides, TrainingPhoto
from pipelines.images import Pixels

NO_SIDES = Sides(False, False, False, False)

FAR = 4096.0
"""Farther beyond its photo than this, in pixels of the photo, no view reaches."""

UNKNOWN, SHOWN, NOBODY = range(3)
"""What is known of a pixel of a view: nothing, what the photo shows, or that nobody is there."""

DEVICE_SHARE = 0.5
"""Of the free memory of a GPU that photos may take; the training itself needs the rest."""

FRACTION_BITS = 4
"""Of the fixed-point coordinates that OpenCV draws with."""


class Warp(NamedTuple):
    """One view to make.

    Attributes:
        photo: Index among the training photos.
        level: Of its pyramid.
        framing: Of the view.
        replaced: Whether the background is to be another one.
    """

    photo: int
    level: int
    framing: Framing
    replaced: bool = False


class Views(NamedTuple):
    """Photos as their views show them; beyond the frame they are mirrored.

    Attributes:
        picture: RGB and mask, (B, 4, H, W) uint8.
        distance: As in `Level`, (B, 1, H, W) uint8.
        valid: Whether it is known what belongs there, (B, 1, H, W) bool: the photo, and where
            the background is to be another one, also what lies beyond those sides of the frame at
            which the person is not cut off. There the mask is 0.
    """

    picture: Tensor
    distance: Tensor
    valid: Tensor


def moved(plane: Tensor, device: torch.device) -> Tensor:
    """Move a tensor to a device, without waiting for it."""
    # A tensor is on cuda:0 where the device is called cuda.
    if device.type != "cuda" or plane.device.type == "cuda":
        return plane.to(device)
    return plane.pin_memory().to(device, non_blocking=True)


def warp_on_host(photos: Photos, warps: Sequence[Warp], *, height: int, width: int) -> Views:
    """Make views of a size (H, W) with the CPU."""
    pictures = np.empty((len(warps), 4, height, width), np.uint8)
    distances = np.empty((len(warps), 1, height, width), np.uint8)
    knowledge = np.empty_like(distances)
    view = np.empty((height, width, 4), np.uint8)
    for warp, picture, (distance,), (known,) in zip(
        warps, pictures, distances, knowledge, strict=True
    ):
        photo = photos[warp.photo]
        for source, target in zip(photo.levels[warp.level], (view, distance), strict=True):
            _warp_plane(source, _to_level(photo, warp), target)
        _divide(view, picture)
        _draw_knowledge(photo, warp, known)
        if warp.replaced:
            nobody = known == NOBODY
            picture[3][nobody] = 0
            distance[nobody] = GREATEST_DISTANCE
    return Views(
        picture=torch.from_numpy(pictures),
        distance=torch.from_numpy(distances),
        valid=torch.from_numpy(knowledge != UNKNOWN),
    )


def pictures_on_host(photos: Photos, warps: Sequence[Warp], *, height: int, width: int) -> Tensor:
    """Make views of a size (H, W) with the CPU, RGB alone: (N, 3, H, W) uint8."""
    pictures = np.empty((len(warps), 4, height, width), np.uint8)
    view = np.empty((height, width, 4), np.uint8)
    for warp, picture in zip(warps, pictures, strict=True):
        photo = photos[warp.photo]
        _warp_plane(photo.levels[warp.level].picture, _to_level(photo, warp), view)
        _divide(view, picture)
    return torch.from_numpy(pictures[:, :3])


def _divide(view: Pixels, planes: Pixels) -> None:
    """Write the channels of a view (H, W, C) into planes (C, H, W)."""
    np.stack(cv2.split(view), out=planes)  # in half the time of a transposed copy


def _warp_plane(source: Pixels, to_source: AffineMap, target: Pixels) -> None:
    """Fill a view (H, W) or (H, W, C) from a level of a photo, mirrored beyond its frame."""
    cv2.warpAffine(
        source,
        to_source,
        target.shape[1::-1],
        dst=target,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )


class DevicePhotos:
    """Photos held in the memory of a device, which makes views of whole batches at once.

    Args:
        photos: To hold; small ones are padded to the size of the largest.
        device: Which is to hold them.
    """

    def __init__(self, photos: Sequence[TrainingPhoto], device: torch.device) -> None:
        self._photos = photos
        self._levels = [
            _stack([photo.levels[level] for photo in photos], device)
            for level in range(len(photos[0].levels))
        ]

    def warp(self, warps: Sequence[Warp], *, height: int, width: int) -> Views:
        """Make views of a size (H, W)."""
        planes = self._planes(warps, height=height, width=width)
        drawn = np.empty((len(warps), 1, height, width), np.uint8)
        for warp, (known,) in zip(warps, drawn, strict=True):
            _draw_knowledge(self._photos[warp.photo], warp, known)
        knowledge = moved(torch.from_numpy(drawn), planes.device)
        planes[:, 3:4].masked_fill_(knowledge == NOBODY, 0)
        planes[:, 4:].masked_fill_(knowledge == NOBODY, GREATEST_DISTANCE)
        return Views(planes[:, :4], planes[:, 4:], knowledge != UNKNOWN)

    def pictures(self, warps: Sequence[Warp], *, height: int, width: int) -> Tensor:
        """Make views of a size (H, W), RGB alone: (N, 3, H, W) uint8."""
        return self._planes(warps, height=height, width=width)[:, :3]

    def _planes(self, warps: Sequence[Warp], *, height: int, width: int) -> Tensor:
        pool = self._levels[0]
        planes = pool.new_empty(len(warps), pool.shape[1], height, width)
        for level, stack in enumerate(self._levels):
            places = [place for place, warp in enumerate(warps) if warp.level == level]
            if places:
                planes[places] = self._warp_level(
                    stack, [warps[place] for place in places], height=height, width=width
                )
        return planes

    def _warp_level(
        self, stack: Tensor, warps: Sequence[Warp], *, height: int, width: int
    ) -> Tensor:
        photos = [self._photos[warp.photo] for warp in warps]
        maps = np.stack([_to_level(*pair) for pair in zip(photos, warps, strict=True)])
        to_level = torch.from_numpy(maps).to(stack.device, torch.float32)
        columns, rows = (
            torch.arange(side, dtype=torch.float32, device=stack.device) for side in (width, height)
        )
        axes = []
        for axis, side in enumerate((stack.shape[3], stack.shape[2])):
            by_column, by_row, offset = to_level[:, axis, :, None, None].unbind(1)
            position = by_column * columns + (by_row * rows.unsqueeze(1) + offset)
            last = position.new_tensor(
                [
                    photo.levels[warp.level].distance.shape[1 - axis] - 1
                    for photo, warp in zip(photos, warps, strict=True)
                ]
            )[:, None, None]
            position = position.abs()  # mirrored beyond either end of the photo
            position = torch.minimum(position, (2 * last - position).abs()).minimum(last)
            axes.append(2 * position / max(1, side - 1) - 1)
        sources = stack[[warp.photo for warp in warps]].float()
        warped = functional.grid_sample(
            sources, torch.stack(axes, dim=3), padding_mode="border", align_corners=True
        )
        return warped.round_().to(torch.uint8)


def fits_device(photos: Sequence[TrainingPhoto], device: torch.device) -> bool:
    """Tell whether a GPU can hold photos beside the training, where it says what is free."""
    if device.type != "cuda":
        return True
    sizes = [[level.distance.shape for level in photo.levels] for photo in photos]
    # Of each level, 5 planes of the greatest height and width.
    frames = np.max(sizes, axis=0).prod(axis=1)
    free, _ = torch.cuda.mem_get_info(device)
    return 5 * len(photos) * int(frames.sum()) <= DEVICE_SHARE * free


def _stack(levels: list[Level], device: torch.device) -> Tensor:
    """Stack photos of various sizes into one tensor (N, 5, H, W) uint8, padded with zeros.

    It is filled photo by photo, since the host may have no room for a second copy of all.
    """
    height, width = (max(level.distance.shape[axis] for level in levels) for axis in (0, 1))
    stack = torch.zeros(len(levels), 5, height, width, dtype=torch.uint8, device=device)
    for planes, level in zip(stack, levels, strict=True):
        rows, columns = level.distance.shape
        planes[:4, :rows, :columns] = torch.from_numpy(level.picture).permute(2, 0, 1)
        planes[4, :rows, :columns] = torch.from_numpy(level.distance)
    return stack


def _draw_knowledge(photo: TrainingPhoto, warp: Warp, view: Pixels) -> None:
    """Draw what is known of each pixel into a view (H, W)."""
    view[:] = UNKNOWN
    if warp.replaced:
        whole = Sides(*(not cut for cut in photo.cut))
        _fill_frame(photo, warp.framing, view, NOBODY, beyond=whole)
    _fill_frame(photo, warp.framing, view, SHOWN)


def _fill_frame(
    photo: TrainingPhoto, framing: Framing, view: Pixels, value: int, *, beyond: Sides = NO_SIDES
) -> None:
    """Fill what the frame of the photo covers, and what lies beyond some of its sides."""
    height, width = photo.shape
    left, top, right, bottom = (FAR * side for side in beyond)
    x = np.array([-left, width + right, width + right, -left]) - 0.5
    y = np.array([-top, -top, height + bottom, height + bottom]) - 0.5
    corners = apply(invert(framing.to_photo), np.column_stack((x, y)))
    # Pixels whose centre is inside; those on the outline are filled too, hence half a pixel less.
    centre = corners.mean(axis=0)
    inner = corners + 0.5 * np.sign(centre - corners)
    fixed = (inner * 2**FRACTION_BITS).round().astype(np.int32)
    cv2.fillConvexPoly(view, fixed, value, shift=FRACTION_BITS)


def _to_level(photo: TrainingPhoto, warp: Warp) -> AffineMap:
    """Return the map from the pixels of a view to those of the level that it is made from."""
    level_shape = photo.levels[warp.level].distance.shape
    return compose(resizing(photo.shape, level_shape), warp.framing.to_photo)
