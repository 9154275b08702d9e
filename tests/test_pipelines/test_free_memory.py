from pathlib import Path

import psutil
import pytest

from pipelines.free_memory import free_memory


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with 10^6 bytes of free memory."""

    class Memory:
        available = 1_000_000

    monkeypatch.setattr(psutil, "virtual_memory", Memory)


@pytest.fixture
def membership(tmp_path: Path) -> Path:
    path = tmp_path / "membership"
    path.write_text("1:name=systemd:/other\n0::/outer/inner\n")
    return path


def group(folder: Path, *, limit: str, used: int, inactive: int | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    if inactive is not None:
        (folder / "memory.stat").write_text(f"anon 7\ninactive_file {inactive}\nfile 9\n")


def test_without_groups_the_machine_counts(tmp_path: Path, membership: Path) -> None:
    nowhere = tmp_path / "nowhere"
    assert free_memory(cgroups=nowhere, membership=membership) == 1_000_000
    assert free_memory(cgroups=nowhere, membership=nowhere) == 1_000_000


def test_files_that_linux_may_forget_are_free(tmp_path: Path, membership: Path) -> None:
    group(tmp_path / "outer/inner", limit="5000", used=4000, inactive=3000)
    assert free_memory(cgroups=tmp_path, membership=membership) == 4000


def test_least_limit_up_the_tree_counts(tmp_path: Path, membership: Path) -> None:
    group(tmp_path / "outer/inner", limit="max", used=400)
    group(tmp_path / "outer", limit="5000", used=4000, inactive=100)
    group(tmp_path, limit="9000", used=4000)
    assert free_memory(cgroups=tmp_path, membership=membership) == 1100


@pytest.mark.parametrize("path", ["/", "/../..", "/unseen/from/here"])
def test_container_sees_its_own_limit_alone(tmp_path: Path, membership: Path, path: str) -> None:
    membership.write_text(f"0::{path}\n")
    group(tmp_path, limit="5000", used=6000, inactive=0)
    assert free_memory(cgroups=tmp_path, membership=membership) == 0
