"""`banet export` and what becomes of its file, with and without the packages that they need."""

import sys
from pathlib import Path

import pytest

WITHOUT = (
    "import sys; sys.modules[sys.argv.pop(1)] = None; "  # as good as not installed
    "from banet_cli.app import run; sys.exit(run(sys.argv[1:]))"
)


def test_export_writes_a_file_and_says_how_good_it_is(banet, weights_file):
    outcome = banet("export", weights_file, "out/weights.onnx", "--json")
    assert outcome.exit_code == 0, outcome.stderr
    assert Path("out/weights.onnx").stat().st_size == outcome.summary["bytes"]
    assert 0 <= outcome.summary["max_difference"] < 1e-3
    assert "torchvision" not in outcome.stderr


def test_an_existing_file_exits_2(banet, weights_file):
    Path("weights.onnx").touch()
    outcome = banet("export", weights_file, "weights.onnx")
    assert outcome.exit_code == 2
    assert "--force" in outcome.stderr


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_without_the_extra_it_says_how_to_get_it(banet_process, weights_file, package):
    outcome = banet_process(package, "export", weights_file, "a.onnx", python=("-c", WITHOUT))
    assert outcome.exit_code == 2
    assert f'{sys.executable} -m pip install "{package}>=' in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert not Path("a.onnx").exists()


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


def test_segment_without_the_extra_says_how_to_get_it(banet_process, onnx_file, drawn_pairs):
    arguments = ("segment", str(drawn_pairs / "images"), "--out", "cut", "--weights", onnx_file)
    outcome = banet_process("onnxruntime", *arguments, python=("-c", WITHOUT))
    assert outcome.exit_code == 2
    assert f'{sys.executable} -m pip install "onnxruntime>=1.23"' in outcome.stderr
    assert not Path("cut").exists()


def test_torch_needs_no_extra(banet_process, weights_file, drawn_pairs):
    arguments = ("segment", str(drawn_pairs / "images"), "--out", "cut", "--weights", weights_file)
    outcome = banet_process("onnxruntime", *arguments, python=("-c", WITHOUT))
    assert outcome.exit_code == 0, outcome.stderr
