"""What is said where the packages of the extra `onnx`, or their files, cannot be used."""

import logging
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from pipelines import evaluate as evaluate_module
from pipelines import onnx_weights, run_workers
from pipelines.errors import ConfigError, WeightsError
from pipelines.onnx_engine import LEAST_VERSIONS, require
from pipelines.onnx_metadata import OnnxInfo, exported_description
from pipelines.onnx_weights import OnnxWeights, load_onnx
from pipelines.run_workers import threads_per_worker
from pipelines.runtimes import resolve_compute
from pipelines.segment_options import SegmentOptions


def test_the_least_versions_are_those_of_the_extra() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())

    wanted = [f"{package}>={version}" for package, version in LEAST_VERSIONS.items()]
    assert project["project"]["optional-dependencies"]["onnx"] == wanted


def test_only_what_is_missing_or_too_old_is_to_be_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", SimpleNamespace(__version__="1.19.0"))
    monkeypatch.setitem(sys.modules, "onnxruntime", SimpleNamespace(__version__="1.9.2"))
    monkeypatch.setitem(sys.modules, "onnxscript", None)

    with pytest.raises(ConfigError, match=r"onnxruntime: 1\.9\.2, not 1\.23") as caught:
        require("onnx", "onnxscript", "onnxruntime")

    command = f'{sys.executable} -m pip install "onnxscript>=0.7" "onnxruntime>=1.23"'
    assert str(caught.value).endswith(command)


def test_a_file_that_may_not_be_read_is_not_called_damaged(
    onnx_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)

    with pytest.raises(WeightsError, match=r"cannot be read \(Permission denied\)"):
        load_onnx(onnx_file)


def test_missing_memory_is_not_called_damage(
    onnx_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(onnx_weights, "open_session", fail)

    with pytest.raises(MemoryError):
        load_onnx(onnx_file)


@pytest.mark.parametrize(
    ("weights", "workers", "threads"),
    [("a.onnx", 2, 7), ("a.onnx", 8, 1), ("a.onnx", 9, 1), ("banet-64", 2, 4), ("a.onnx", 1, None)],
)
def test_workers_share_the_cores(
    weights: str, workers: int, threads: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.setattr(run_workers, "available_cores", lambda: 8)
    options = SegmentOptions(inputs=(Path("photos"),), weights=weights)
    pool: Any = SimpleNamespace(workers=workers)

    assert threads_per_worker(pool, options, "cpu") == threads


@pytest.mark.parametrize(
    ("weights", "precision", "is_told"),
    [
        (("banet-64", "a.onnx"), "auto", True),
        (("banet-64", "a.onnx"), "fp32", False),
        (("a.onnx",), "auto", False),
    ],
)
def test_weights_that_are_moved_to_the_cpu_are_told_of(
    weights: tuple[str, ...], precision: Any, caplog: pytest.LogCaptureFixture, *, is_told: bool
) -> None:
    with caplog.at_level(logging.INFO):
        resolve_compute(*weights, device="cpu", precision=precision)

    assert ("as a.onnx can be nowhere else" in caplog.text) == is_told


@pytest.mark.parametrize(("face_prior", "is_told"), [("zero", True), ("none", False)])
def test_scores_of_an_exported_network_without_its_face_prior_are_warned_of(
    face_prior: str, caplog: pytest.LogCaptureFixture, *, is_told: bool
) -> None:
    info = OnnxInfo(
        model="pfcn-plus",
        weights_sha256="",
        size=64,
        face_prior=face_prior,
        licence="",
        training={},
    )

    evaluate_module._warn_of_zero_prior(
        OnnxWeights(
            name="a.onnx",
            sha256="",
            info=info,
            description=exported_description(info),
            content=b"",
        )
    )

    assert ("a.onnx: its position and shape channels are zero" in caplog.text) == is_told
