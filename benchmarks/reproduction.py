"""docs/reproduction.md, from the results of the cells."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from cells import FRONTIER, TABLE_2, TABLE_3, Published

NOT_RUN = "not run"
UNET_RATIO = 12
"""The goal for frames per second of BANet-64 over those of U-Net."""

Row = dict[str, Any]

INTRODUCTION = """\
# The paper's tables, reproduced

Written by `python benchmarks/tables.py render` from the files in `benchmarks/results`; none of our
figures is typed by hand, and what has not been run says so. The paper is Chen, Qi and Shen,
"Boundary-Aware Network for Fast and High-Accuracy Portrait Segmentation"; its mean IoU is what is
called portrait IoU here, the mean over photos of the IoU of the portrait class.

**The figures of the paper and ours are not of the same photos.** The paper's are of the official
test photos of the PFCN+ dataset, after 40,000 + 40,000 iterations at 512 pixels from a pretraining
set. Ours are of a validation split, by content hash, of its training photos, under the budget that
each table names. They compare our networks with each other, not with the paper's.
"""

SMALL = """\
**The small budget** (`benchmarks/recipes/small.toml`), equal for all: {iterations} iterations of
batch 8 at 160 pixels from random weights, on the PFCN+ training photos alone, the refine loss from
iteration 500 on for the networks that it belongs to; the last weights count. A few minutes on two
CPU cores for a small network: enough to put the networks in some order, far from what any of them
can do. Where several seeds were run, mean ± standard deviation.
"""

FRONTIER_INTRODUCTION = """\
## The frontier of BANet-64

How wide the layers at full resolution need to be. A variant is named after the channels of the
semantic features that enter the fusion, of the mining branch, and of the fusion itself. The first
is the paper's architecture as far as it is known; `banet-64` is 8-8-16.
"""


def render_document(results: Path) -> str:
    """Return the document as Markdown.

    Args:
        results: Folder with one folder of cells for each budget, and `speed-cpu.json` and
            `speed-cuda.json` where they have been measured.
    """
    small, paper = (_load_cells(results / budget) for budget in ("small", "paper"))
    speeds = {kind: _load_speed(results / f"speed-{kind}.json") for kind in ("cpu", "cuda")}
    iterations = {cell["iterations"] for cells in small.values() for cell in cells}
    sections = [
        INTRODUCTION,
        SMALL.format(iterations=" or ".join(map(str, sorted(iterations))) or "no"),
        "## Table 2: the networks\n",
        _accuracy_table(TABLE_2, small, paper),
        "## Table 2: their speed at 512 x 512, batch 1\n",
        _speed_table(TABLE_2, speeds),
        _speed_claims(speeds["cpu"]),
        "## Table 3: the ablation\n",
        _accuracy_table(TABLE_3, small, paper),
        _order_claim(small),
        FRONTIER_INTRODUCTION,
        _frontier_table(small, speeds["cpu"]),
    ]
    return "\n".join(sections)


def _load_cells(folder: Path) -> dict[str, list[Row]]:
    cells: dict[str, list[Row]] = {}
    for path in sorted(folder.glob("*.json")):
        cell = json.loads(path.read_text(encoding="utf-8"))
        cells.setdefault(cell["model"], []).append(cell)
    return cells


def _load_speed(path: Path) -> Row:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"models": []}


def _markdown(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    header = list(header)
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *map(list, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _over_seeds(cells: list[Row], value: Callable[[Row], float]) -> str:
    if not cells:
        return NOT_RUN
    values = [value(cell) for cell in cells]
    spread = f" ± {stdev(values):.2f} ({len(values)} seeds)" if len(values) > 1 else ""
    return f"{mean(values):.2f}{spread}"


def _score(name: str) -> Callable[[Row], float]:
    return lambda cell: 100 * float(cell["scores"][name])


def _accuracy_table(
    published: dict[str, Published], small: dict[str, list[Row]], paper: dict[str, list[Row]]
) -> str:
    header = (
        "network",
        "`--model`",
        "paper: mean IoU",
        "small budget: portrait IoU",
        "mIoU",
        "boundary IoU",
        "paper's recipe: portrait IoU",
    )
    rows = (
        (
            row.title,
            f"`{name}`",
            f"{row.mean_iou:.2f}",
            *(
                _over_seeds(small.get(name, []), _score(score))
                for score in ("portrait_iou", "miou", "boundary_iou")
            ),
            _over_seeds(paper.get(name, []), _score("portrait_iou")),
        )
        for name, row in published.items()
    )
    return _markdown(header, rows)


def _speed_table(published: dict[str, Published], speeds: dict[str, Row]) -> str:
    timed = {kind: {row["name"]: row for row in speed["models"]} for kind, speed in speeds.items()}
    header = (
        "network",
        "paper: million parameters",
        "here",
        "GFLOP",
        "paper: frames/s (GTX 1080 Ti)",
        "CPU: ms",
        "precision",
        "frames/s",
        "ratio to `banet-64`",
        "GPU: frames/s",
    )
    rows = (
        (
            row.title,
            f"{row.parameters:.2f}",
            *_cpu_columns(timed["cpu"].get(name)),
            _fps(timed["cuda"].get(name)),
        )
        for name, row in published.items()
    )
    ordered = (
        (title, parameters, here, gflop, _paper_fps(published, title), *rest)
        for title, parameters, here, gflop, *rest in rows
    )
    where = speeds["cpu"]
    note = (
        f"CPU: {where['device']}, {where['threads']} threads, every network in the faster of fp32 "
        f"and half precision, {where['repeats']} interleaved rounds, medians.\n"
        if where["models"]
        else ""
    )
    return _markdown(header, ordered) + "\n" + note


def _paper_fps(published: dict[str, Published], title: str) -> str:
    return next(f"{row.fps:g}" for row in published.values() if row.title == title)


def _cpu_columns(row: Row | None) -> tuple[str, ...]:
    if row is None:
        return (NOT_RUN,) * 6
    return (
        f"{row['parameters'] / 1e6:.2f}",
        f"{row['gflops']:.1f}",
        f"{row['latency_ms']:.0f}",
        row["precision"],
        f"{row['fps']:.1f}",
        f"{row['fps_ratio']:.2f}",
    )


def _fps(row: Row | None) -> str:
    return NOT_RUN if row is None else f"{row['fps']:.1f}"


def _speed_claims(speed: Row) -> str:
    fps = {row["name"]: row["fps"] for row in speed["models"]}
    if not set(TABLE_2) <= set(fps):
        return "Whether BANet-64 is the fastest of them: not run.\n"
    others = {name: value for name, value in fps.items() if name in TABLE_2 and name != "banet-64"}
    second = max(others, key=lambda name: others[name])
    ratio, over_unet = fps["banet-64"] / others[second], fps["banet-64"] / fps["unet"]
    fastest = "holds" if ratio > 1 else "does not hold"
    enough = "holds" if over_unet >= UNET_RATIO else "does not hold"
    return (
        f"- BANet-64 has more frames per second than every other network of the table: {fastest} "
        f"({ratio:.2f} times those of the next, {TABLE_2[second].title}).\n"
        f"- It has at least {UNET_RATIO} times those of U-Net: {enough} ({over_unet:.1f} times).\n"
    )


def _order_claim(small: dict[str, list[Row]]) -> str:
    by_seed = [{cell["seed"]: cell for cell in small.get(name, [])} for name in TABLE_3]
    seeds = sorted(set.intersection(*map(set, by_seed)))
    if not seeds:
        return "Whether the order is that of the paper: not run.\n"
    lines = ["Portrait IoU / boundary IoU, seed by seed:\n"]
    header = ("seed", *(row.title for row in TABLE_3.values()))
    rows = [
        (
            str(seed),
            *(
                " / ".join(
                    f"{_score(score)(cells[seed]):.2f}"
                    for score in ("portrait_iou", "boundary_iou")
                )
                for cells in by_seed
            ),
        )
        for seed in seeds
    ]
    lines.append(_markdown(header, rows))
    lines += [_order_in_words(by_seed, seeds, score) for score in ("portrait_iou", "boundary_iou")]
    return "\n".join(lines)


def _both_scores(cell: Row) -> str:
    return f"{_score('portrait_iou')(cell):.2f} / {_score('boundary_iou')(cell):.2f}"


def _order_in_words(by_seed: list[dict[int, Row]], seeds: list[int], score: str) -> str:
    def rises(first: int, second: int) -> int:
        value = _score(score)
        return sum(value(by_seed[first][seed]) < value(by_seed[second][seed]) for seed in seeds)

    means = [mean(_score(score)(cells[seed]) for seed in seeds) for cells in by_seed]
    in_order = "holds" if means == sorted(means) else "does not hold"
    name = score.replace("_iou", " IoU")
    return (
        f"- By {name}, base < attention < full {in_order} in the mean over seeds "
        f"({', '.join(f'{each:.2f}' for each in means)}); attention is above "
        f"base in {rises(0, 1)} of {len(seeds)} seeds, full above attention in {rises(1, 2)}, full "
        f"above base in {rises(0, 2)}.\n"
    )


def _frontier_table(small: dict[str, list[Row]], speed: Row) -> str:
    timed = {row["name"]: row for row in speed["models"]}
    header = (
        "variant",
        "portrait IoU",
        "boundary IoU",
        "million parameters",
        "GFLOP",
        "CPU: ms",
        "precision",
        "frames/s",
        "ratio to `banet-64`",
    )
    rows = (
        (
            f"`{name}`",
            _over_seeds(small.get(name, []), _score("portrait_iou")),
            _over_seeds(small.get(name, []), _score("boundary_iou")),
            *_cpu_columns(timed.get(name)),
        )
        for name in (*FRONTIER, "banet-64")
    )
    return _markdown(header, rows)
