"""docs/reproduction.md, from the results of the cells."""

import json
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from cells import FRONTIER, TABLE_2, TABLE_3, Published
from markdown_tables import markdown_table

from pipelines.recipes import load_recipe

NOT_RUN = "not run"
UNET_RATIO = 12
"""Our goal for the frames per second of BANet-64 as a multiple of those of U-Net on a CPU."""

DEVICES = {"cpu": "CPU", "cuda": "NVIDIA GPU"}
COMPARABLE = ("photos_sha256", "recipe_sha256", "precision")
"""What must be the same for all cells of a budget."""

Row = dict[str, Any]
Cells = dict[str, list[Row]]
Score = Callable[[Row], float]

INTRODUCTION = """\
# The paper's tables, reproduced

Written by `python benchmarks/tables.py render` from the files in `benchmarks/results`; none of our
figures is typed by hand, and what has not been run says so. The paper is Chen, Qi and Shen,
"Boundary-Aware Network for Fast and High-Accuracy Portrait Segmentation"; its mean IoU is what is
called portrait IoU here, the mean over photos of the IoU of the portrait class.

**The figures of the paper and ours are not of the same photos.** The paper's are of the official
test photos of the PFCN+ dataset, after 40,000 + 40,000 iterations at 512 pixels from a pretraining
set, and its backbones had seen ImageNet. Ours are of a validation split, by content hash, of its
training photos, under the budget that each column names, from random weights. They compare our
networks with each other, not with the paper's.
"""

PAPER_BUDGET = """\
**The paper's recipe** (`--recipe paper`) keeps the weights of the best validation, so that scores
on the same split are a little optimistic.
"""

FRONTIER_INTRODUCTION = """\
## The frontier of BANet-64

How wide the layers at full resolution need to be. A variant is named after the channels of the
semantic features that enter the fusion, of the mining branch, and of the fusion itself. The first
has the paper's widths there, as far as they are known; `banet-64` is 8-8-16.
"""


def render_document(results: Path) -> str:
    """Return the document as Markdown.

    Args:
        results: Folder with one folder of cells for each budget, and `speed-cpu.json` and
            `speed-cuda.json` where they have been measured.

    Raises:
        ValueError: Cells of one budget were trained on other photos, by another recipe or in
            another precision than the rest.
    """
    small, paper = (_load_cells(results / budget) for budget in ("small", "paper"))
    speeds = {kind: _load_speed(results / f"speed-{kind}.json") for kind in DEVICES}
    return "\n".join(
        [
            INTRODUCTION,
            _small_budget(small),
            PAPER_BUDGET,
            "## Table 2: the networks\n",
            _accuracy_table(TABLE_2, small, paper),
            "## Table 2: speed at batch 1\n",
            "In the paper, ENet, BiSeNet and EDANet are faster than BANet-64.\n",
            *(_speed_section(kind, speed) for kind, speed in speeds.items()),
            "## Table 3: the ablation\n",
            _accuracy_table(TABLE_3, small, paper),
            _ablation(small),
            FRONTIER_INTRODUCTION,
            _frontier_table(small, speeds["cpu"]),
            _frontier_differences(small),
        ]
    )


def _load_cells(folder: Path) -> Cells:
    cells: Cells = {}
    for path in sorted(folder.glob("*.json")):
        cell = json.loads(path.read_text(encoding="utf-8"))
        cells.setdefault(cell["model"], []).append(cell)
    for key in COMPARABLE:
        values = {cell[key] for rows in cells.values() for cell in rows}
        if len(values) > 1:
            raise ValueError(f"{folder}: the cells differ in {key}: {', '.join(sorted(values))}")
    return cells


def _load_speed(path: Path) -> Row:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"models": []}


def _small_budget(small: Cells) -> str:
    recipe = load_recipe(str(Path(__file__).parent / "recipes" / "small.toml"))
    first, second = recipe.stages
    cells = [cell for rows in small.values() for cell in rows]
    photos = f" Scored on {cells[0]['scores']['samples']} photos." if cells else ""
    return (
        "**The small budget** (`benchmarks/recipes/small.toml`), equal for all: "
        f"{recipe.iterations} iterations of batch {first.batch_size} at {first.size} pixels on the "
        "PFCN+ training photos alone, in the last "
        f"{second.iterations} of them with the refine loss for the networks that it belongs to; "
        "the last weights count. It is enough to put the networks in some order, and far from what "
        f"any of them can do.{photos} Where several seeds were run: mean ± standard deviation.\n"
    )


def _score(name: str) -> Score:
    return lambda cell: 100 * float(cell["scores"][name])


PORTRAIT, MIOU, BOUNDARY = (_score(name) for name in ("portrait_iou", "miou", "boundary_iou"))


def _over_seeds(cells: list[Row], score: Score) -> str:
    if not cells:
        return NOT_RUN
    values = [score(cell) for cell in cells]
    spread = f" ± {stdev(values):.2f} ({len(values)} seeds)" if len(values) > 1 else ""
    return f"{mean(values):.2f}{spread}"


def _accuracy_table(published: dict[str, Published], small: Cells, paper: Cells) -> str:
    header = ("network", "`--model`", "paper: mean IoU", "small budget: portrait IoU", "mIoU")
    rows = (
        (
            row.title,
            f"`{name}`",
            f"{row.mean_iou:.2f}",
            *(_over_seeds(small.get(name, []), score) for score in (PORTRAIT, MIOU, BOUNDARY)),
            _over_seeds(paper.get(name, []), PORTRAIT),
        )
        for name, row in published.items()
    )
    return markdown_table((*header, "boundary IoU", "paper's recipe: portrait IoU"), rows)


def _speed_section(kind: str, speed: Row) -> str:
    timed = {row["name"]: row for row in speed["models"]}
    header = ("network", "paper: million parameters", "paper: frames/s (GTX 1080 Ti)")
    rows = (
        (row.title, f"{row.parameters:.2f}", f"{row.fps:g}", *_columns(timed.get(name)))
        for name, row in TABLE_2.items()
    )
    parts = [f"### {DEVICES[kind]}\n", markdown_table((*header, *COLUMNS), rows)]
    if timed:
        parts.append(
            f"{speed['device_name']}, {speed['threads']} CPU threads, torch "
            f"{speed['versions']['torch']}, {speed['size']} x {speed['size']} pixels; every "
            "network in the faster of fp32 and half precision; medians of "
            f"{speed['repeats']} interleaved rounds, with their 10th and 90th percentile. "
            "A multiply-add counts as 2 FLOP.\n"
        )
    return "\n".join([*parts, _speed_claims(timed)])


COLUMNS = (
    "here: million parameters",
    "GFLOP",
    "precision",
    "ms (p10 to p90)",
    "frames/s",
    "ratio to `banet-64`",
    "peak MB",
)


def _columns(row: Row | None) -> tuple[str, ...]:
    if row is None:
        return (NOT_RUN,) * len(COLUMNS)
    low, high = row["latency_ms_p10"], row["latency_ms_p90"]
    memory = row["peak_memory_mb"]
    return (
        f"{row['parameters'] / 1e6:.2f}",
        f"{row['gflops']:.1f}",
        row["precision"],
        f"{row['latency_ms']:.1f} ({low:.1f} to {high:.1f})",
        f"{row['fps']:.1f}",
        f"{row['fps_ratio']:.2f}",
        "not known" if memory is None else f"{memory:.0f}",
    )


def _speed_claims(timed: dict[str, Row]) -> str:
    if not set(TABLE_2) <= set(timed):
        return "Whether BANet-64 is the fastest of them here: not run.\n"
    fps = {name: timed[name]["fps"] for name in TABLE_2}
    second = max((name for name in fps if name != "banet-64"), key=lambda name: fps[name])
    ratio, over_unet = fps["banet-64"] / fps[second], fps["banet-64"] / fps["unet"]
    return (
        f"- BANet-64 has more frames per second than every other network of the table: "
        f"{_verdict(ratio > 1)} ({ratio:.2f} times those of the next, {TABLE_2[second].title}).\n"
        f"- It has at least {UNET_RATIO} times those of U-Net, our goal on a CPU: "
        f"{_verdict(over_unet >= UNET_RATIO)} ({over_unet:.1f} times).\n"
    )


def _verdict(holds: bool) -> str:  # noqa: FBT001 - it is all that the function is about
    return "holds" if holds else "does not hold"


def _by_seed(cells: list[Row]) -> dict[int, Row]:
    return {cell["seed"]: cell for cell in cells}


def _ablation(small: Cells) -> str:
    steps = {name: _by_seed(small.get(name, [])) for name in TABLE_3}
    seeds = sorted(set.intersection(*map(set, steps.values())))
    if not seeds:
        return "Whether the order is that of the paper: not run.\n"
    header = ("seed: portrait IoU / boundary IoU", *(row.title for row in TABLE_3.values()))
    rows = (
        (
            str(seed),
            *(
                f"{PORTRAIT(cells[seed]):.2f} / {BOUNDARY(cells[seed]):.2f}"
                for cells in steps.values()
            ),
        )
        for seed in seeds
    )
    base, attention, full = TABLE_3
    lines = [
        _difference(small, better, than, score, name)
        for score, name in ((PORTRAIT, "portrait IoU"), (BOUNDARY, "boundary IoU"))
        for better, than in ((attention, base), (full, attention), (full, base))
    ]
    return "\n".join([markdown_table(header, rows), *lines, ""])


def _both_scores(cell: Row) -> str:
    return f"{PORTRAIT(cell):.2f} / {BOUNDARY(cell):.2f}"


def _difference(small: Cells, better: str, than: str, score: Score, name: str) -> str:
    """Say whether one network is above another, from what they have seed by seed."""
    first, second = _by_seed(small.get(better, [])), _by_seed(small.get(than, []))
    values = [score(first[seed]) - score(second[seed]) for seed in sorted({*first} & {*second})]
    if len(values) < len(("one seed", "another")):
        return f"- `{better}` against `{than}` by {name}: {NOT_RUN} with several seeds."
    # Two standard errors: less than that, other seeds might turn round.
    limit = 2 * stdev(values) / len(values) ** 0.5
    if abs(mean(values)) <= limit:
        verdict = "too close to tell"
    else:
        verdict = "above" if mean(values) > 0 else "below"
    return (
        f"- `{better}` against `{than}` by {name}: {verdict} ({mean(values):+.2f} ± "
        f"{stdev(values):.2f} over {len(values)} seeds, {sum(value > 0 for value in values)} up)."
    )


def _frontier_table(small: Cells, speed: Row) -> str:
    timed = {row["name"]: row for row in speed["models"]}
    rows = (
        (
            f"`{name}`",
            _over_seeds(small.get(name, []), PORTRAIT),
            _over_seeds(small.get(name, []), BOUNDARY),
            *_columns(timed.get(name)),
        )
        for name in (*FRONTIER, "banet-64")
    )
    return markdown_table(("variant", "portrait IoU", "boundary IoU", *COLUMNS), rows)


def _frontier_differences(small: Cells) -> str:
    lines = [
        _difference(small, "banet-64", variant, score, name)
        for variant in FRONTIER
        for score, name in ((PORTRAIT, "portrait IoU"), (BOUNDARY, "boundary IoU"))
    ]
    return "\n".join([*lines, ""])
