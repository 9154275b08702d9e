"""Every fault that is put into clean data is found, and nothing else is."""

import shutil
from pathlib import Path

import pytest
from faults import FAULTS, write_clean

from pipelines.doctor.findings import KINDS
from pipelines.prepare import PrepareOptions, PrepareSummary, prepare

CONSEQUENCES = {
    "blank-photo": {"ill-fitting-mask", "grey-photo"},
    "conflicting-masks": {"duplicate-photo"},
    "shared-mask": {"shifted-mask"},
    "misnamed-pair": {"photo-missing", "mask-missing"},
    "lossy-mask": {"odd-convention"},
}
"""What else is true of a sample with such a fault."""


def check(root: Path, **options: object) -> PrepareSummary:
    settings: dict[str, object] = {"size": 256, "workers": 0, "check": True, **options}
    return prepare(PrepareOptions(source=root, dataset=root / "out.zarr", **settings))


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("clean")
    write_clean(root)
    return root


@pytest.fixture
def copied(clean: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(clean, tmp_path / "faulty"))


def test_clean_data_is_clean(clean: Path) -> None:
    assert not [*check(clean).found()]


@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_found_where_it_is_and_nothing_else(copied: Path, name: str) -> None:
    kind, change = FAULTS[name]
    change(copied / "images" / "04.png", copied / "masks" / "04.png")
    found = [*check(copied).found()]
    kinds = {finding.kind for _, finding in found}
    assert kind in kinds, found
    assert kinds - {kind} <= CONSEQUENCES.get(kind, set()), found
    names = {sample.removeprefix("Mask-").split(".")[0] for sample, _ in found}
    assert names <= {"04", "4", "99"}, found


def test_there_are_faults_of_at_least_twenty_kinds() -> None:
    assert len({kind for kind, _ in FAULTS.values()}) >= 20
    assert {kind for kind, _ in FAULTS.values()} <= KINDS.keys()
