"""Says how weights hold up on held-out photos that are not like the training photos.

    python benchmarks/robustness.py pfcn.zarr ccp.zarr --nobody nobody.zarr
    python benchmarks/robustness.py pfcn.zarr ccp.zarr --nobody nobody.zarr --json new.json \
        --weights banet-64 --weights runs/new/weights.safetensors --sheet worst.jpg

The stores are those of `banet prepare`; that of `--nobody` holds photos without people. Printed are
the portrait IoU of the photos as they are and changed, that of a stand-in for mixed portraits from
the web (see `web_portraits`), and how often somebody is seen where nobody is. The stand-in is the
same for all weights. It is made of the photos of `--split`: photos that weights were trained on say
nothing here. Of the photos without people those of all splits are counted as well.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal

import torch
import typer
from contact_sheet import Entry, contact_sheet
from entry import told_in_a_sentence
from held_out import held_out_photos
from result_files import write_result
from rich.console import Console as RichConsole
from rich.table import Table
from robustness_figures import POOR, PhotoIou, Robustness
from robustness_scores import robustness
from terminal_tables import terminal_table
from web_portraits import PHOTOS

from banet_cli.console import Console
from pipelines.checkpoints import Weights
from pipelines.devices import precision_name
from pipelines.encoding import encode
from pipelines.engines import Engine, load_network, make_engine
from pipelines.errors import ConfigError
from pipelines.inference import limit_threads
from pipelines.info import versions
from pipelines.onnx_weights import OnnxWeights
from pipelines.runtimes import resolve_compute
from pipelines.store import Store, open_store
from pipelines.whole_files import write_atomically

REPOSITORY = Path(__file__).resolve().parent.parent

Compute = tuple[torch.device, torch.dtype]


def main(
    datasets: Annotated[list[Path], typer.Argument(help="Stores of people to judge on.")],
    *,
    nobody: Annotated[Path, typer.Option(help="Store of photos without people.")],
    weights: Annotated[
        list[str] | None, typer.Option(help="As of banet evaluate; more than once to compare.")
    ] = None,
    split: Annotated[
        Literal["train", "val", "test", "all"], typer.Option(help="Whose photos are taken.")
    ] = "val",
    device: Annotated[str, typer.Option(help="As of banet evaluate.")] = "auto",
    json_file: Annotated[Path | None, typer.Option("--json", help="File for the results.")] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="JPEG of the worst photos, of the first weights.")
    ] = None,
) -> None:
    """Judge weights on held-out photos that are not like the training photos."""
    with told_in_a_sentence():
        _refuse_places(json_file, sheet)
        stores, without_people = _open_stores(datasets), open_store(nobody)
        networks = [load_network(name) for name in weights or ["banet-64"]]
        compute = resolve_compute(
            *(each.name for each in networks), device=device, precision="auto"
        )
        results = _judge(networks, stores, without_people, split, compute)
        if sheet is not None:
            _write_sheet(sheet, networks[0], stores, results[0].worst, compute)
    if json_file is not None:
        content = {
            "split": split,
            "device": str(compute[0]),
            "precision": precision_name(compute[1]),
            "datasets": [_dataset_facts(store) for store in (*stores, without_people)],
            "weights": list(map(_weights_facts, networks, results)),
            "versions": versions(),
        }
        write_result(json_file, content)


def _refuse_places(json_file: Path | None, sheet: Path | None) -> None:
    """Find out before minutes of work that their results could not be written."""
    for option, path in (("--json", json_file), ("--sheet", sheet)):
        if path is not None and not path.absolute().parent.is_dir():
            raise ConfigError(f"{option} {path}: there is no folder {path.parent}; make it first")
    if sheet is not None and sheet.resolve().is_relative_to(REPOSITORY):
        raise ConfigError(
            f"--sheet {sheet}: it shows photos of the datasets, which must not enter the "
            f"repository {REPOSITORY}; name a path outside of it"
        )


def _open_stores(paths: list[Path]) -> list[Store]:
    names = [path.stem for path in paths]
    if len(set(names)) < len(names):
        raise ConfigError(f"{', '.join(map(str, paths))}: two datasets of one name; rename one")
    return [open_store(path) for path in paths]


def _judge(
    networks: list[Weights | OnnxWeights],
    stores: list[Store],
    nobody: Store,
    split: str,
    compute: Compute,
) -> list[Robustness]:
    """Judge one set of weights after the other, and print what was found."""
    limit_threads(torch.get_num_threads())  # OpenCV too, which does not know OMP_NUM_THREADS
    console = Console(json=False, log_format="text", quiet=False, verbose=False)
    device, dtype = compute
    results = []
    for network in networks:
        with console.progress() as progress:
            found = robustness(
                network,
                stores,
                nobody,
                split=split,
                count=PHOTOS,
                device=device,
                dtype=dtype,
                progress=progress,
            )
        _print(network.name, found)
        results.append(found)
    return results


def _write_sheet(
    path: Path,
    weights: Weights | OnnxWeights,
    stores: list[Store],
    worst: Sequence[PhotoIou],
    compute: Compute,
) -> None:
    device, dtype = compute
    engine = make_engine(weights, device=device, dtype=dtype, size=weights.info.size)
    named = {store.path.stem: store for store in stores}
    entries = [_entry(engine, named[photo.dataset], photo) for photo in worst]
    title = (
        f"{weights.name}: the {len(entries)} worst photos. Photo; cut-out; errors: red was missed, "
        "blue was wrongly kept"
    )
    write_atomically(path, encode(contact_sheet(entries, title), "jpg"))


def _entry(engine: Engine, store: Store, photo: PhotoIou) -> Entry:
    (sample,) = held_out_photos(store, [photo.index])
    probability = engine(sample.photo)
    return Entry(sample=sample, probability=probability, portrait_iou=photo.portrait_iou)


def _dataset_facts(store: Store) -> dict[str, object]:
    return {"name": store.path.stem, "fingerprint": store.attributes.get("fingerprint")}


def _weights_facts(weights: Weights | OnnxWeights, found: Robustness) -> dict[str, object]:
    facts = {"model": weights.info.model, "size": weights.info.size}
    return {"name": weights.name, "sha256": weights.sha256, **facts, **found.as_json()}


def _print(name: str, found: Robustness) -> None:
    portraits = _table(
        f"{name}: stand-in for web portraits",
        ("part", "photos", "portrait IoU %", "mIoU %", f"% of photos below {100 * POOR:g}"),
        [(r.part, r.photos, r.portrait_iou, r.miou, r.poor) for r in found.web_portraits],
    )
    nobody = _table(
        f"{name}: photos without people, % of them with a portrait",
        ("split", "photos", "on over 0.5 % of the area", "on over 2 %"),
        [(r.split, r.photos, r.over_half_percent, r.over_two_percent) for r in found.nobody],
    )
    console = RichConsole()
    for table in (_change_table(name, found), portraits, nobody):
        console.print(table)


def _change_table(name: str, found: Robustness) -> Table:
    rows: dict[str, list[str]] = {}
    for score in found.changes:
        text = f"{100 * score.portrait_iou:.2f} ({score.difference:+.2f})"
        rows.setdefault(score.change, []).append(text)
    return _table(
        f"{name}: portrait IoU %, and points to plain",
        ("photos", *dict.fromkeys(score.dataset for score in found.changes)),
        [(change, *texts) for change, texts in rows.items()],
    )


def _table(title: str, header: Sequence[str], rows: Iterable[Sequence[str | float]]) -> Table:
    """Return a table whose fractions are shown per cent."""
    table = terminal_table(*header, title=title)
    for row in rows:
        table.add_row(*(f"{100 * x:.2f}" if isinstance(x, float) else str(x) for x in row))
    return table


if __name__ == "__main__":
    typer.run(main)
