"""The rows of the tables: names in the registry, and what the paper says of them."""

from dataclasses import dataclass
from functools import partial

from models.banet import banet
from models.registry import ModelSpec


@dataclass(frozen=True, kw_only=True)
class Published:
    """A row of the paper.

    Attributes:
        title: As the paper calls it.
        mean_iou: Per cent, on the official test photos of the PFCN+ dataset.
        parameters: In millions.
        fps: Frames per second at 512 x 512 on one GTX 1080 Ti.
    """

    title: str
    mean_iou: float
    parameters: float | None = None
    fps: float | None = None


TABLE_2 = {
    "enet": Published(title="ENet", mean_iou=88.24, parameters=0.35, fps=46),
    "bisenet": Published(title="BiSeNet", mean_iou=93.91, parameters=27.01, fps=59),
    "edanet": Published(title="EDANet", mean_iou=94.90, parameters=0.68, fps=71),
    "unet": Published(title="U-Net", mean_iou=95.88, parameters=13.40, fps=37),
    "pfcn-plus": Published(title="PFCN+", mean_iou=95.92, parameters=134.27, fps=8),
    "banet-64": Published(title="BANet-64", mean_iou=95.80, parameters=0.62, fps=43),
    "banet-512": Published(title="BANet-512", mean_iou=96.13, parameters=12.75, fps=29),
}

TABLE_3 = {
    "banet-64-base": Published(title="base model", mean_iou=94.90),
    "banet-64-attention": Published(title="+ boundary attention", mean_iou=95.20),
    "banet-64": Published(title="+ refine loss", mean_iou=95.80),
}


def _fusion(semantic: int, detail: int, fused: int) -> ModelSpec:
    build = partial(
        banet,
        max_channels=64,
        semantic_channels=semantic,
        detail_channels=detail,
        fused_channels=fused,
    )
    return ModelSpec(build=build, refine_loss=True)


FRONTIER = {
    "fusion-64-32-16": _fusion(64, 32, 16),
    "fusion-16-16-32": _fusion(16, 16, 32),
}
"""BANet-64 with wider full-resolution layers: channels of the semantic features that enter the
fusion, of the mining branch, and of the fusion. `banet-64` has 8, 8 and 16; the first of these has
the paper's widths at full resolution, as far as they are known."""
