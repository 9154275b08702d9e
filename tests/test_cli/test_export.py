"""`banet export` and what becomes of its file, with and without the packages that they need."""

import sys
from pathlib import Path

import pytest

from pipelines.onnx_engine import LEAST_VERSIONS

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
WITHOUT = (
    f"import sys; sys.modules.update(dict.fromkeys({PACKAGES})); "  # as good as not installed
    "from banet_cli.app import run; sys.exit(run(sys.argv[1:]))"
)


def test_export_writes_the_same_file_each_time_and_says_how_good_it_is(
    banet, weights_file, onnx_file
):
    Path("weights.onnx").write_text("the old one")
    outcome = banet("export", weights_file, "weights.onnx", "--force", "--json")
    assert outcome.exit_code == 0, outcome.stderr
    assert Path("weights.onnx").read_bytes() == Path(onnx_file).read_bytes()
    assert Path("weights.onnx").stat().st_size == outcome.summary["bytes"]
    assert 0 <= outcome.summary["max_difference"] < 1e-3
    assert "torchvision" not in outcome.stderr


def test_an_existing_file_exits_2(banet, weights_file):
    Path("weights.onnx").touch()
    outcome = banet("export", weights_file, "weights.onnx")
    assert outcome.exit_code == 2
    assert "--force" in outcome.stderr


@pytest.mark.parametrize("package", PACKAGES)
def test_without_a_package_it_says_how_to_get_it(banet, weights_file, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    outcome = banet("export", weights_file, "a.onnx")
    assert outcome.exit_code == 2
    assert outcome.stderr.endswith(
        f'{sys.executable} -m pip install "{package}>={LEAST_VERSIONS[package]}"\n'
    )
    assert "Traceback" not in outcome.stderr
    assert not Path("a.onnx").exists()


def test_without_the_extra_it_says_how_to_get_it(banet_process, weights_file):
    outcome = banet_process("export", weights_file, "a.onnx", python=("-c", WITHOUT))
    assert outcome.exit_code == 2
    assert all(f'"{package}>={LEAST_VERSIONS[package]}"' in outcome.stderr for package in PACKAGES)
    assert "Traceback" not in outcome.stderr


def test_segment_takes_what_export_wrote(banet, onnx_file, drawn_pairs):
    photos = drawn_pairs / "images"
    outcome = banet("segment", photos, "--out", "cut", "--weights", onnx_file, "--json")
    assert outcome.exit_code == 0, outcome.stderr
    assert (outcome.summary["runtime"], outcome.summary["device"]) == ("onnx", "cpu")
    assert outcome.summary["failed"] == 0


def test_an_engine_without_its_weights_exits_2(banet, drawn_pairs):
    outcome = banet("segment", drawn_pairs / "images", "--runtime", "onnx")
    assert outcome.exit_code == 2
    assert "`banet export banet-64 FILE.onnx`" in outcome.stderr


def test_segment_without_the_extra_says_how_to_get_it(banet, onnx_file, drawn_pairs, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    outcome = banet("segment", drawn_pairs / "images", "--out", "cut", "--weights", onnx_file)
    assert outcome.exit_code == 2
    assert f'{sys.executable} -m pip install "onnxruntime>=1.23"' in outcome.stderr
    assert not Path("cut").exists()


def test_torch_needs_no_extra(banet_process, weights_file, drawn_pairs):
    arguments = ("segment", str(drawn_pairs / "images"), "--out", "cut", "--weights", weights_file)
    outcome = banet_process(*arguments, python=("-c", WITHOUT))
    assert outcome.exit_code == 0, outcome.stderr
