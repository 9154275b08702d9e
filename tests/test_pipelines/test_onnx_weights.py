"""What ONNX files and the TOML files beside them say, leave open, or say wrongly."""

import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnx
import pytest
from foreign_networks import IMAGENET, NORMAL, OPEN, OPEN_SIDES, Network, without

from pipelines.errors import BanetError, ConfigError
from pipelines.onnx_weights import load_onnx


def test_the_graph_says_what_need_not_be_stated(tmp_path: Path) -> None:
    toml = without("size", "layout", fit="letterbox", name="Foreign", licence="MIT")
    weights = load_onnx(Network().write(tmp_path / "foreign.onnx", **toml))

    assert asdict(weights.description) == {
        "frame": (128, 96),
        "size": 128,
        "multiple": 1,
        "fit": "letterbox",
        "layout": "NCHW",
        "colour_order": "RGB",
        "value_range": (0, 1),
        "mean": (0.0, 0.0, 0.0),
        "deviation": (1.0, 1.0, 1.0),
        "output": "mask",
        "output_layout": "NCHW",
        "output_channel": 0,
        "output_activation": "none",
    }
    assert (weights.info.model, weights.info.licence) == ("Foreign", "MIT")


def test_what_is_left_open_is_asked_for_at_once(tmp_path: Path) -> None:
    weights = Network(shape=(1, None, None, None), decoys=1).write(tmp_path / "foreign.onnx")

    with pytest.raises(ConfigError) as caught:
        load_onnx(weights)

    assert f"write into {tmp_path / 'foreign.toml'}: " in str(caught.value)
    asked = str(caught.value).split("write into ")[1]
    for words in (
        'layout ("NCHW" or "NHWC")',
        "size (the longer side in pixels, or [height, width])",
        'colour_order ("RGB" or "BGR")',
        "value_range ([0, 1] or [0, 255])",
        "mean (three numbers",
        "deviation (three numbers",
        "output (one of side_0, mask)",
        "output_activation (",
    ):
        assert words in asked


@pytest.mark.parametrize(
    ("network", "toml", "sentence"),
    [
        ({}, {"colour_ordr": "RGB"}, r"unknown key 'colour_ordr', the nearest .* 'colour_order'"),
        ({}, {"mean": [0, 0]}, r"mean = \[0, 0\]: must be three numbers"),
        ({}, {"deviation": [1, 0, 1]}, r"deviation = .*: must be three numbers above 0"),
        ({}, {"value_range": [-1, 1]}, r"value_range = .*: must be \[0, 1\] or \[0, 255\]"),
        ({}, {"fit": "crop"}, r'fit = \'crop\': must be "keep" or "letterbox" or "stretch"'),
        ({}, {"fit": "keep"}, r'fit = "keep": a picture of fixed size needs "letterbox"'),
        ({}, {"layout": "NHWC"}, r"layout = 'NHWC': the graph says 'NCHW'"),
        ({}, {"size": 512}, r"size = 512: the graph says \[128, 96\]"),
        ({}, {"size": [96, 128]}, r"size = \[96, 128\]: the graph says \[128, 96\]"),
        ({}, {"multiple": 8}, r"multiple: means nothing"),
        ({"shape": (1, 3, None, 96)}, {"size": 64}, r"must be \[height, width\], .* \[any, 96\]"),
        ({"shape": OPEN_SIDES}, {"size": 64}, r"multiple \(a whole number"),
        ({"shape": OPEN_SIDES}, {**OPEN, "fit": "stretch"}, r"fit = 'stretch': the graph says"),
        ({"decoys": 6}, {}, r"output \(one of side_0, .*mask\)"),
        ({}, {"output": "alpha"}, r"output = 'alpha': must be one of mask"),
        ({"dtype": "uint8"}, IMAGENET, r"mean = .*: the graph says \[0, 0, 0\]"),
        ({"activation": "softmax"}, {}, r"has 2 channels; write the one that holds the mask"),
        ({"activation": "softmax"}, {"output_channel": 2}, r"the channels 0 to 1; output_ch.* 2 "),
        ({}, {"output_activation": "softmax"}, r"has one channel, of which softmax makes 1"),
        ({}, {"output_layout": "NHWC"}, r"96 channels of 128 x 1 pixels .* write output_layout"),
        ({"activation": "sigmoid"}, {}, r"from -10 to .* its output_activation is not \"none\""),
    ],
)  # fmt: skip
def test_nonsense_is_refused(
    tmp_path: Path, network: dict[str, Any], toml: dict[str, Any], sentence: str
) -> None:
    weights = Network(**network).write(tmp_path / "foreign.onnx", **{**NORMAL, **toml})
    if network.get("shape") == OPEN_SIDES and "multiple" not in toml:
        (tmp_path / "foreign.toml").write_text(
            (tmp_path / "foreign.toml").read_text().replace('fit = "stretch"\n', "")
        )

    with pytest.raises(ConfigError, match=sentence) as caught:
        load_onnx(weights)

    assert "foreign.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("network", "sentence"),
    [
        ({"inputs": 2}, r"takes 2 inputs \(image, trimap\); only networks that take one picture"),
        ({"shape": (1, 1, 128, 96)}, r"has the shape 1 x 1 x 128 x 96; only networks that take ph"),
        ({"shape": (3, 128, 96)}, r"has the shape 3 x 128 x 96; only networks"),
    ],
)
def test_a_network_that_takes_no_photo_is_refused(
    tmp_path: Path, network: dict[str, Any], sentence: str
) -> None:
    weights = Network(**network).write(tmp_path / "foreign.onnx", **NORMAL)

    with pytest.raises(BanetError, match=sentence):
        load_onnx(weights)


def test_a_toml_file_that_is_none_is_named(tmp_path: Path) -> None:
    weights = Network().write(tmp_path / "foreign.onnx")
    (tmp_path / "foreign.toml").write_text("size = [64")

    with pytest.raises(ConfigError, match=r"foreign\.toml: cannot be read as TOML"):
        load_onnx(weights)


def test_numbers_in_further_files_are_asked_to_be_put_into_one(tmp_path: Path) -> None:
    weights = Network().write(tmp_path / "whole.onnx", **NORMAL)
    parts = str(tmp_path / "parts.onnx")
    onnx.save(onnx.load(weights), parts, save_as_external_data=True, size_threshold=0)

    with pytest.raises(BanetError, match=r"parts\.onnx: keeps its numbers in further files"):
        load_onnx(parts)


def test_a_toml_file_beside_an_exported_network_is_said_not_to_be_read(
    onnx_file: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    exported = tmp_path / "people.onnx"
    exported.write_bytes(Path(onnx_file).read_bytes())
    (tmp_path / "people.toml").write_text('layout = "NHWC"')

    assert load_onnx(str(exported)).description.layout == "NCHW"
    assert "people.toml is not read" in caplog.text


def test_a_fixed_batch_is_said_to_be_slow(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    load_onnx(Network(shape=(4, 3, 128, 96)).write(tmp_path / "foreign.onnx", **NORMAL))

    assert "computes 4 photos at once and gets one" in caplog.text


@pytest.mark.parametrize(
    ("position", "shape"), [(0, (1, 3, 320, 320)), (1, OPEN_SIDES)], ids=["u2net", "modnet"]
)
def test_the_examples_of_the_documentation_are_complete(
    tmp_path: Path, position: int, shape: Any
) -> None:
    text = (Path(__file__).parents[2] / "docs" / "networks.md").read_text()
    example = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)[position]
    weights = Network(shape=shape).write(tmp_path / "foreign.onnx")
    (tmp_path / "foreign.toml").write_text(example.replace('"1959"', '"mask"'))

    assert load_onnx(weights).info.licence == "Apache-2.0"
