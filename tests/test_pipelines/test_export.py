import hashlib
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

import models
from models import MODELS, build_model
from pipelines import __version__
from pipelines import export as module
from pipelines.checkpoints import Weights, WeightsInfo, load_weights
from pipelines.errors import BanetError, ConfigError
from pipelines.export import ExportOptions, ExportSummary, export, export_weights, verify
from pipelines.onnx_metadata import OnnxInfo, parse_metadata
from pipelines.onnx_tracing import OPSET

SHAPES = ((1, 64, 64), (3, 33, 50))


def trained(name: str) -> Weights:
    """Return weights whose batch normalisations have seen something."""
    torch.manual_seed(0)
    network = build_model(name)
    network.train()(torch.rand(4, 3, 64, 64))
    info = WeightsInfo(model=name, temperature=None, size=64, training={"iterations": 3})
    return Weights(name=name, sha256="0" * 64, info=info, network=network.eval())


def output_names(content: bytes) -> list[str]:
    return [output.name for output in onnx.load_from_string(content).graph.output]


def test_what_is_shipped_computes_in_onnx_runtime_what_it_does_in_torch(shipped_onnx: str) -> None:
    content, network = Path(shipped_onnx).read_bytes(), load_weights("banet-64").network

    differences = [result.max_difference for result in verify(content, network, SHAPES)]

    assert len(differences) == len(SHAPES)
    assert max(differences) < 1e-5
    assert output_names(content) == ["portrait", "boundary"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    # What is shipped stands above. One of the two large ones: they differ by channels that are
    # zero in an exported file.
    [name for name in MODELS if name not in {"banet-64", "pfcn"}],
)
def test_every_network_computes_in_onnx_runtime_what_it_does_in_torch(name: str) -> None:
    weights = trained(name)
    content = export_weights(weights)

    differences = [result.max_difference for result in verify(content, weights.network, SHAPES)]

    assert len(differences) == len(SHAPES)
    # Untrained networks say nearly the same everywhere: a looser bound would let anything pass.
    assert max(differences) < 1e-5
    has_boundary = weights.network(torch.rand(2, 3, 64, 64)).boundary is not None
    assert output_names(content) == ["portrait", "boundary"][: 1 + has_boundary]


def test_batch_height_and_width_are_free(onnx_file: str) -> None:
    graph = onnx.load(onnx_file).graph

    (image,) = graph.input
    shapes = [
        [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (image, *graph.output)
    ]
    assert shapes == [
        ["batch", 3, "height", "width"],
        ["batch", 1, "height", "width"],
        ["batch", 1, "height", "width"],
    ]


def test_the_summary_is_true(weights_file: str, exported: ExportSummary) -> None:
    out, summary = exported.out, exported.as_json()

    assert summary["weights"] == weights_file
    assert summary["sha256"] == hashlib.sha256(Path(weights_file).read_bytes()).hexdigest()
    assert summary["out"] == str(out)
    assert summary["bytes"] == out.stat().st_size
    assert summary["opset"] == OPSET == onnx.load(out).opset_import[0].version
    assert [shape["batch"] for shape in summary["verified"]] == [1, 3, 2, 1, 2, 1]
    assert summary["max_difference"] == max(
        shape["max_difference"] for shape in summary["verified"]
    )


def test_the_metadata_comes_back_and_tells_others_what_to_do(
    weights_file: str, onnx_file: str
) -> None:
    metadata = {item.key: item.value for item in onnx.load(onnx_file).metadata_props}

    weights = load_weights(weights_file)
    assert parse_metadata(metadata) == OnnxInfo(
        model="banet-64",
        weights_sha256=weights.sha256,
        size=64,
        face_prior="none",
        licence=weights.info.licence,
        training=weights.info.training,
    )
    assert metadata["banet_version"] == __version__
    assert (metadata["layout"], metadata["colour_order"]) == ("NCHW", "RGB")
    assert metadata["value_range"] == "[0, 1]"
    assert (metadata["mean"], metadata["deviation"]) == ("[0, 0, 0]", "[1, 1, 1]")
    assert metadata["output_activation"] == "none"


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({}, "not stated"),
        ({"format": "banet-onnx-9"}, "'banet-onnx-9'"),
        ({"format": "banet-onnx-1", "model": "banet-64"}, "'weights_sha256' is missing"),
    ],
)
def test_metadata_of_others_is_refused(metadata: dict[str, str], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_metadata(metadata)


def test_the_file_says_nothing_about_the_machine(onnx_file: str) -> None:
    content = Path(onnx_file).read_bytes()

    for folder in (Path(models.__file__).parent, Path(torch.__file__).parent, Path.home()):
        assert str(folder).encode() not in content


def test_another_computation_is_noticed(weights_file: str, onnx_file: str) -> None:
    network = load_weights(weights_file).network
    with torch.no_grad():
        assert isinstance(network.classify, nn.Conv2d)
        network.classify.bias.add_(0.1)

    with pytest.raises(BanetError, match=r"differs from torch by 0\.0\d+ at 1 x 64 x 64"):
        list(verify(Path(onnx_file).read_bytes(), network, SHAPES))


def test_numbers_that_are_none_are_noticed(weights_file: str, onnx_file: str) -> None:
    network = load_weights(weights_file).network
    with torch.no_grad():
        assert isinstance(network.classify, nn.Conv2d)
        network.classify.bias.fill_(torch.nan)

    with pytest.raises(BanetError, match="differs from torch by nan"):
        list(verify(Path(onnx_file).read_bytes(), network, SHAPES))


def test_an_export_that_differs_is_not_written(
    weights_file: str, onnx_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_DIFFERENCE", -1.0)
    monkeypatch.setattr(module, "export_weights", lambda _: Path(onnx_file).read_bytes())
    out = tmp_path / "weights.onnx"
    out.write_text("the old one")

    with pytest.raises(BanetError, match="nothing was written"):
        export(ExportOptions(weights=weights_file, out=out, force=True))

    assert out.read_text() == "the old one"
    assert list(tmp_path.iterdir()) == [out]


def test_an_existing_file_is_left_alone(weights_file: str, tmp_path: Path) -> None:
    out = tmp_path / "weights.onnx"
    out.write_text("mine")

    with pytest.raises(ConfigError, match="--force"):
        export(ExportOptions(weights=weights_file, out=out))
    assert out.read_text() == "mine"


def test_a_file_that_appears_meanwhile_is_left_alone(
    weights_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "weights.onnx"

    def write_theirs(_weights: Weights) -> bytes:
        out.write_text("theirs")
        return b"ours"

    monkeypatch.setattr(module, "export_weights", write_theirs)
    monkeypatch.setattr(module, "verify", lambda *_: [])

    with pytest.raises(ConfigError, match="--force"):
        export(ExportOptions(weights=weights_file, out=out))
    assert out.read_text() == "theirs"


def test_a_folder_is_no_file_to_write(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").mkdir()

    with pytest.raises(ConfigError, match=r"OUT .*a\.onnx: is a folder"):
        ExportOptions(weights="banet-64", out=tmp_path / "a.onnx")


def test_a_folder_that_cannot_be_written_is_noticed_before_the_work(
    weights_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module.tempfile, "TemporaryFile", refuse)
    monkeypatch.setattr(module, "export_weights", pytest.fail)

    with pytest.raises(BanetError, match=r"cannot be written \(Permission denied\)"):
        export(ExportOptions(weights=weights_file, out=tmp_path / "weights.onnx"))


@pytest.mark.parametrize(("face_prior", "warnings"), [(True, 1), (False, 0)])
def test_a_network_that_loses_its_face_prior_is_warned_of_once(
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    *,
    face_prior: bool,
    warnings: int,
) -> None:
    spec = replace(MODELS["banet-64"], face_prior=face_prior)
    monkeypatch.setitem(MODELS, "banet-64", spec)
    info = WeightsInfo(model="banet-64", temperature=None, size=64)
    module._warn_of_face_prior(Weights(name="w", sha256="", info=info, network=nn.Identity()))

    assert caplog.text.count("position and shape channels are zero") == warnings


def test_a_place_that_cannot_be_written_is_named(weights_file: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(BanetError, match=r"OUT .*weights\.onnx: cannot be written"):
        export(ExportOptions(weights=weights_file, out=tmp_path / "file" / "weights.onnx"))


def test_bad_options_are_named_together() -> None:
    with pytest.raises(ConfigError, match=r"WEIGHTS a\.onnx: .*; OUT b\.pt: .*\.onnx"):
        ExportOptions(weights="a.onnx", out=Path("b.pt"))
