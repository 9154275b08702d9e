"""The folder of a training run: configuration, metrics, pictures, result."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tomli_w

from pipelines.encoding import encode
from pipelines.errors import ConfigError, InputError
from pipelines.images import Pixels
from pipelines.sizes import fitted_size, resize
from pipelines.whole_files import write_atomically

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

PREVIEW_PHOTOS = 6
PREVIEW_SIZE = 256

_FREE_TO_CHANGE = frozenset({"resume", "device", "out"})


class RunLog:
    """Writes what a run leaves behind.

    Args:
        folder: Of the run.
        config: Plain values that define the run.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        self.folder = folder
        self.last = folder / "last"
        self.weights = folder / "weights.safetensors"
        self._config = _without_none(config)
        self._events: SummaryWriter | None = None

    def open(self, *, resume: bool) -> None:
        """Take the folder for this run.

        Args:
            resume: Whether it may hold an earlier part of the same run.

        Raises:
            InputError: The folder holds a run and `resume` is not set.
            ConfigError: The earlier part was made with other options.
        """
        self._refuse_other_run(resume=resume)
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self._config_path, tomli_w.dumps(self._config).encode())

    @property
    def is_open(self) -> bool:
        """Whether a process has taken the folder for a run, as far as this one can see."""
        return self._config_path.is_file()

    def begin(self, iteration: int, *, divergences: int) -> None:
        """Start to record, or go back; what was recorded after the checkpoint is dropped.

        Args:
            iteration: Of the checkpoint to go on from.
            divergences: How often the run that it is of had gone back before.
        """
        from torch.utils.tensorboard import SummaryWriter  # slow to import

        if self._events is not None:
            self._events.close()
        if self._metrics_path.is_file():
            lines = self._metrics_path.read_text(encoding="utf-8").splitlines(keepends=True)
            kept = [
                line
                for line in lines
                if line.endswith("\n") and _is_before(json.loads(line), iteration, divergences)
            ]
            write_atomically(self._metrics_path, "".join(kept).encode())
        self._events = SummaryWriter(str(self.folder / "events"), purge_step=iteration + 1)

    def scalars(self, iteration: int, values: Mapping[str, float]) -> None:
        """Append numbers to `metrics.jsonl` and to the TensorBoard events."""
        with self._metrics_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"iteration": iteration, **values}) + "\n")
        assert self._events is not None
        for name, value in values.items():
            self._events.add_scalar(name, value, iteration)

    def preview(self, iteration: int, rows: list[tuple[Pixels, Pixels]]) -> None:
        """Write a sheet of photos (H, W, 3) with their soft masks (H, W), one column each."""
        columns = [_preview_column(photo, mask) for photo, mask in rows]
        height = max(column.shape[0] for column in columns)
        sheet = np.concatenate(
            [np.pad(column, ((0, height - column.shape[0]), (0, 0), (0, 0))) for column in columns],
            axis=1,
        )
        folder = self.folder / "previews"
        folder.mkdir(exist_ok=True)
        write_atomically(folder / f"{iteration:07d}.jpg", encode(sheet, "jpg"))

    def finish(self, summary: Mapping[str, object]) -> None:
        """Write `run.json` and close the events."""
        if self._events is not None:
            self._events.close()
        content = json.dumps({"config": self._config, **summary}, indent=2)
        write_atomically(self.folder / "run.json", content.encode())

    @property
    def _config_path(self) -> Path:
        return self.folder / "config.toml"

    @property
    def _metrics_path(self) -> Path:
        return self.folder / "metrics.jsonl"

    def _refuse_other_run(self, *, resume: bool) -> None:
        if not self.is_open:
            return
        if not resume:
            raise InputError(
                f"{self.folder}: holds a training run; add --resume to go on with it, or name "
                "another folder with --out"
            )
        earlier = tomllib.loads(self._config_path.read_text(encoding="utf-8"))
        changed = [
            key
            for key in sorted(earlier.keys() | self._config.keys())
            if key not in _FREE_TO_CHANGE and earlier.get(key) != self._config.get(key)
        ]
        if changed:
            raise ConfigError(
                f"{self.folder}: cannot resume, the run was started with other values of "
                f"{', '.join(changed)} (see config.toml there)"
            )


def _is_before(row: dict[str, float], iteration: int, divergences: int) -> bool:
    """Tell whether a row of metrics was written before a checkpoint."""
    return row["iteration"] <= iteration and row.get("divergences", 0) <= divergences


def _preview_column(photo: Pixels, mask: Pixels) -> Pixels:
    height, width = fitted_size(height=photo.shape[0], width=photo.shape[1], long_side=PREVIEW_SIZE)
    photo = resize(photo, height=height, width=width)
    alpha = resize(mask, height=height, width=width)[..., None] / 255
    cutout = (photo * alpha + 255 * (1 - alpha)).astype(np.uint8)
    return np.concatenate((photo, cutout))


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_without_none(item) for item in value]
    return value
