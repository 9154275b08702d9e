"""The command line as the tests call it: its real entry point, in this process or in another."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from banet_cli.app import run


@dataclass(frozen=True)
class Outcome:
    """What a user sees of one command."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def summary(self) -> dict[str, Any]:
        """Standard output, which must be one JSON object."""
        return json.loads(self.stdout)


Banet = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every test in a folder and an environment without settings."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("BANET_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def banet(capsys: pytest.CaptureFixture[str]) -> Banet:
    """Run a command in this process."""

    def call(*arguments: str | Path) -> Outcome:
        exit_code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(exit_code, captured.out, captured.err)

    return call


@pytest.fixture
def banet_process() -> Banet:
    """Run a command in a process of its own."""

    def call(*arguments: str, python: tuple[str, ...] = ("-m", "banet_cli")) -> Outcome:
        done = subprocess.run(
            [sys.executable, *python, *arguments], capture_output=True, text=True, check=False
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture(scope="session")
def drawn_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of drawn portraits, ellipses on noise, with their masks."""
    root = tmp_path_factory.mktemp("drawn")
    noise = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    for index in range(12):
        mask = Image.new("L", (48, 64))
        ImageDraw.Draw(mask).ellipse((8 + index, 10, 36, 80 - index), fill=255)
        # Coarse shades, so that no two photos are near duplicates.
        shades = Image.fromarray(noise.integers(0, 190, (8, 6, 3), dtype=np.uint8))
        photo = shades.resize((48, 64), Image.Resampling.BILINEAR)
        photo.paste((230, 180, 150), mask=mask)
        photo.save(root / "images" / f"{index}.png")
        mask.save(root / "masks" / f"{index}.png")
    return root
