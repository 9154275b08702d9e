"""What somebody writes in ten minutes: reads photos one by one, runs the network, writes masks.

    python benchmarks/plain_loop.py PHOTOS MASKS

`benchmarks/segment.py` runs it beside `banet segment`. Weights and working size are the same; torch
and OpenCV are left as they come, and so is the arithmetic, fp32.
"""

import sys
from pathlib import Path

import cv2
import numpy as np
import torch

from models import normalize
from pipelines.checkpoints import load_weights


def main(photos: Path, masks: Path) -> None:
    """Segment every photo of a folder."""
    masks.mkdir(parents=True)
    weights = load_weights("banet-64")
    for path in sorted(photos.iterdir()):
        photo = cv2.imread(str(path))
        assert photo is not None
        height, width = photo.shape[:2]
        scale = weights.info.size / max(height, width)
        # The network takes sides that are multiples of 16 pixels.
        tall, wide = (max(32, round(scale * side / 16) * 16) for side in (height, width))
        small = cv2.resize(photo, (wide, tall), interpolation=cv2.INTER_AREA)
        image = torch.from_numpy(cv2.cvtColor(small, cv2.COLOR_BGR2RGB)).permute(2, 0, 1)[None]
        with torch.no_grad():
            logits = weights.network(normalize(image.float() / 255)).portrait
        probability = logits.sigmoid()[0, 0].numpy()
        whole = cv2.resize(probability, (width, height), interpolation=cv2.INTER_LINEAR)
        cv2.imwrite(str(masks / f"{path.stem}.png"), (whole * 255).astype(np.uint8))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
