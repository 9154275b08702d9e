"""What is said about the weights of a row."""

from typing import Any

from robustness_figures import ChangeScore, Robustness
from robustness_scores import EVERYTHING

LOSS_OVER = (
    "grey",
    "jpeg quality 30",
    "brightness x 0.5",
    "brightness x 1.5",
    "mirrored",
    "pixels x 0.5",
    "pixels x 2",
    "person x 1.4",
    "person x 2",
)
"""Changes to a photo that cost a robust network nothing. Those before another ground are left out:
the web portraits say more about them."""


def ablation_scores(validation: dict[str, Any], found: Robustness) -> dict[str, Any]:
    """Return the figures of a row as plain values, fractions of 1 but for losses in points.

    Args:
        validation: Scores of `banet train` by the name of the dataset.
        found: How the weights hold up. The names of its worst photos are left out.
    """
    people = dict.fromkeys(score.dataset for score in found.changes)
    return {
        "validation": {
            name: {
                key: validation[name][key] for key in ("samples", "portrait_iou", "boundary_iou")
            }
            for name in people
        },
        "losses": _losses(found.changes),
        "changes": found.as_json()["changes"],
        "web_portraits": {
            portraits.part if portraits.part != EVERYTHING else "together": {
                "photos": portraits.photos,
                "portrait_iou": portraits.portrait_iou,
                "poor": portraits.poor,
            }
            for portraits in found.web_portraits
        },
        "nobody_over_two_percent": {
            alone.split: {"photos": alone.photos, "share": alone.over_two_percent}
            for alone in found.nobody
        },
    }


def _losses(scores: tuple[ChangeScore, ...]) -> dict[str, Any]:
    """Return mean and worst of the points that `LOSS_OVER` cost, over all datasets."""
    losses = [(-score.difference, score) for score in scores if score.change in LOSS_OVER]
    worst, score = max(losses, key=lambda each: each[0])
    return {
        "mean": sum(loss for loss, _ in losses) / len(losses),
        "worst": worst,
        "worst_of": f"{score.dataset}, {score.change}",
    }
