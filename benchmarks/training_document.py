"""docs/training.md: how to train, and the ablation from its results."""

from pathlib import Path

import ablation_rows
from ablation_rows import REFERENCE
from ablation_tables import (
    UNLIKE,
    Results,
    change_table,
    figure_table,
    load_results,
    plain_figures,
    ranking,
    spread,
)
from recipe_keys import augmentation_keys, training_keys

from pipelines.recipes import RECIPES, load_recipe
from pipelines.trainer import MOST_RETURNS

SAMPLES = """\
# Training

Written by `python benchmarks/ablation.py render` from the code and from the files in
`benchmarks/results/ablation`; no figure is typed by hand, and what has not been run says so.

## How `banet train` makes its samples

Every step takes the next photos of a random order of all training photos, of one dataset as of
another; a dataset that is named twice is drawn from twice as often. For each photo it draws

1. a framing: the whole photo, or some part of it, turned, and half of the time mirrored;
2. for some, another background: a photo that shows nobody, sharp or out of focus, or a made
   texture. It needs a dataset of photos without people (black masks) among those that are named;
   without one there are textures alone;
3. colours: brightness, white balance, saturation, contrast, grey;
4. what cameras and web sites do: blur, then noise, then JPEG.

So no two epochs see the same picture. Mask and boundary target follow the framing. What lies beyond
the photo counts neither for nor against the network. All views of a step have one height and width,
drawn from `shapes`; validation photos are never changed. Every draw depends on the seed, the number
of the step and the place in the batch alone: a run that goes on sees what it would have seen.
"""

RECIPES_EXPLAINED = f"""\
## Recipes

`--recipe` takes a name ({", ".join(f"`{name}`" for name in RECIPES)}) or a TOML file of your own:

```toml
validate_every = 500
batch_size = 16
optimizer = "adamw"
weight_decay = 0.02
clip = 1.0
ema = 0.999
warmup = 100

[augmentation]
rotation = 20.0
view = 0.6
background = 0.4

[[stages]]
iterations = 4000
size = 192
learning_rate = 0.003

[[stages]]
iterations = 1000
size = 320
learning_rate = 0.001
augmentation = {{ background = 0.2 }}
```

Keys at the top hold for all stages, those under `[[stages]]` for that stage; one stage needs no
such table. Every stage begins with a fresh optimizer. An unknown key or a value that makes no sense
is an error before anything starts. `weights.safetensors` are those of the validation with the
greatest portrait IoU, averaged over the datasets that show people.
"""

AUGMENTATION = """\
### `[augmentation]`

The defaults are the paper's augmentation. A probability of 0 switches the thing off. With
`background`, a `view` may reach far beyond the photo, except at sides where the frame cuts the
person off: there is enough of the new background. Without it, a view ends a little beyond the
photo. So only both together show people smaller than their photos do.
"""

RUNS = f"""\
## When a run stops

- **Ctrl-C or SIGTERM** take effect after the step, once the state is saved. The same command with
  `--resume` goes on from there; after a crash, from the last validation. On a CPU, with as many
  threads, it ends with the very weights that it would have had anyway. `--device` and `--out` may
  change; a run with other options, another recipe or other data is refused.
- **Several processes**: `torchrun --nproc-per-node N -m banet_cli train ...` shares every batch
  among N processes, each with a GPU of its own under `--device cuda`. The batch size must be a
  multiple of N, with two views or more for each. The first process validates, saves and reports. An
  interrupt of one stops all of them after the same step; where one is lost, the others end with an
  error, and `--resume` goes on.
- **Divergence**: where the loss, the norm of the gradient (with `clip`) or, at a validation, a
  weight is not finite, the run goes back to its last checkpoint and on from there at half the
  learning rate, at most {MOST_RETURNS} times. It says so, as do `divergences` and `diverged_at` in
  `metrics.jsonl`. After that it ends with an error; a lower `--learning-rate` mends it.
- **Short memory**: before the first step of a stage the largest views are tried. If they do not
  fit, each batch goes through the network in parts, halved until they fit, and the gradients are
  added up to those of the whole batch; only batch normalisation sees fewer views at a time. If not
  even two fit, the run ends with an error; use a smaller `--batch-size` or `--size`.
"""

UNLIKE_EXPLAINED = """\
Of `benchmarks/robustness.py`, on the validation split. *Points lost*, less is better: portrait IoU
of the photos as they are less that of the same photos made grey, JPEG of quality 30, brightness
halved and times 1.5, mirrored, pixels times 0.5 and 2, and cropped so that the person is 1.4 and 2
times as large; over all datasets. *Compositions*, *re-framings* and both *together*: portrait IoU
per cent of a stand-in for portraits from the web: people before other backgrounds, and parts of
photos. *Nobody*, less is better: per cent of the photos without people on which more than 2 % of
the area is taken for a person.
"""

SHIPPED = """\
## How the shipped weights were trained

Data, recipe, commands, scores and limits of the shipped weights stand in their model card,
[models/weights/banet-64.md](../models/weights/banet-64.md).
"""


def render_document(folder: Path) -> str:
    """Return the document as Markdown.

    Args:
        folder: Of the results.

    Raises:
        ValueError: Some results cannot stand in one table, or are not of the rows of today.
    """
    results = load_results(folder)
    plain = plain_figures(results)
    return "\n".join(
        [
            SAMPLES,
            RECIPES_EXPLAINED,
            training_keys(),
            AUGMENTATION,
            augmentation_keys(),
            RUNS,
            _ablation_introduction(),
            change_table(),
            "### Validation photos as they are\n",
            figure_table(results, plain) if plain else "not run\n",
            "### Photos that are not like the training photos\n",
            UNLIKE_EXPLAINED,
            figure_table(results, UNLIKE),
            ranking(results),
            "### Noise\n",
            spread(results, [*plain, *UNLIKE]),
            _circumstances(results),
            SHIPPED,
        ]
    )


def _ablation_introduction() -> str:
    (stage,) = load_recipe(str(ablation_rows.BASE)).stages
    return f"""\
## The ablation

Every row is one recipe, trained from random weights under the same small budget:
{stage.iterations} iterations of batch {stage.batch_size} at {stage.size} pixels
(`benchmarks/recipes/ablation.toml`), validated at the end only, so that the last weights count.
That puts recipes in some order for networks that have just begun to learn, and is far from what
longer training makes of any of them.

**One seed of a small budget has noise.** Small differences say nothing; what is known of the noise
stands below the tables. In brackets: points more or less than `{REFERENCE}` with the same seed. The
number beside a row is the seed, and leads to its result with the exact command that repeats it:

```
python benchmarks/ablation.py run pfcn.zarr ccp.zarr nobody.zarr --nobody nobody.zarr \\
    --folder runs --rows {REFERENCE},view
```

The datasets are those of the model card of the shipped weights, prepared as it says.
"""


def _circumstances(results: Results) -> str:
    every = [result for seeds in results.values() for result in seeds.values()]
    if not every:
        return "On which machine, and how long it took: not run.\n"
    minutes = [sum(result["seconds"].values()) / 60 for result in every]
    kinds = {
        f"{each['device']}, {each['precision']}, {each['threads']} "
        f"thread{'s' if each['threads'] > 1 else ''}, torch {each['versions']['torch']}"
        for each in every
    }
    photos = {
        **{name: each["samples"] for name, each in every[0]["validation"].items()},
        "nobody": every[0]["nobody_over_two_percent"]["val"]["photos"],
        "together": every[0]["web_portraits"]["together"]["photos"],
    }
    counts = ", ".join(f"{name} {count}" for name, count in photos.items())
    commits = sorted({str(each["commit"])[:7] for each in every})
    changed = " Training may have changed between them." if len(commits) > 1 else ""
    return (
        f"Photos: {counts}. A row took {min(minutes):.0f} to {max(minutes):.0f} minutes beside "
        f"other work ({'; '.join(sorted(kinds))}). Commit{'s' if changed else ''}: "
        f"{', '.join(commits)}.{changed}\n"
    )
