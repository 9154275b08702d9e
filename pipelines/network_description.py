"""How a network that others made is to be used: what its file or a TOML file beside it states."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from pipelines.errors import ConfigError
from pipelines.rules import Rule, choice_rule, is_list, is_whole, mistakes_in, whole_rule

METADATA_PREFIX = "banet."
"""Of the keys in the metadata of an ONNX file that mean the same as those of the TOML file."""

Layout = Literal["NCHW", "NHWC"]
ColourOrder = Literal["RGB", "BGR"]
PhotoFit = Literal["keep", "letterbox", "stretch"]
Activation = Literal["none", "sigmoid", "softmax", "min-max"]

Triple = tuple[float, float, float]

BYTE_RANGE = (0, 255)
UNIT_RANGE = (0, 1)


@dataclass(frozen=True, kw_only=True)
class NetworkDescription:
    """What to do around the graph of a network: all of it decides about the masks.

    Attributes:
        frame: Height and width in pixels of the picture that the network sees, always the same;
            None if it sees photos in their own proportions.
        size: Working size: longer side of that picture; without a frame, `--size` replaces it.
        multiple: Without a frame, its sides are multiples of so many pixels.
        fit: How a photo is brought to it. Without a frame `keep`. With one `letterbox`, which
            keeps the proportions and fills up with black on both sides, or `stretch`.
        layout: Order of the axes of the input.
        colour_order: Order of its channels.
        value_range: Of its values before `mean` and `deviation`: (0, 1) or (0, 255).
        mean: Subtracted from the values, per channel in `colour_order`.
        deviation: That they are divided by then, likewise.
        output: Name of the output that holds the mask.
        output_layout: Order of the axes of an output with four of them.
        output_channel: Channel of the output that holds the mask, from 0.
        output_activation: What turns the values of the output into probabilities: nothing, the
            logistic function, softmax over the channels, or the stretching of the values of a photo
            so that the least is 0 and the greatest 1.
    """

    frame: tuple[int, int] | None
    size: int
    multiple: int
    fit: PhotoFit
    layout: Layout
    colour_order: ColourOrder
    value_range: tuple[int, int]
    mean: Triple
    deviation: Triple
    output: str
    output_layout: Layout
    output_channel: int
    output_activation: Activation


@dataclass(frozen=True, kw_only=True)
class Statement:
    """What is stated about a network, key by key; what its graph says is not among it.

    Attributes:
        network: Path of the ONNX file.
        toml: Path of the TOML file beside it, whether there is one or not.
        values: By the keys of `RULES`.
    """

    network: Path
    toml: Path
    values: Mapping[str, Any]


def read_statement(network: Path, metadata: Mapping[str, str]) -> Statement:
    """Read what the metadata of an ONNX file and the TOML file beside it say about its use.

    Where both have a key, the TOML file wins.

    Args:
        network: Path of the ONNX file; `people.toml` lies beside `people.onnx`.
        metadata: Of that file. Keys without `METADATA_PREFIX` are nobody's business here.

    Raises:
        ConfigError: The TOML file cannot be read, or some keys or values make no sense; all are
            named.
    """
    toml = network.with_suffix(".toml")
    from_metadata = {
        key.removeprefix(METADATA_PREFIX): _value(key.removeprefix(METADATA_PREFIX), text)
        for key, text in metadata.items()
        if key.startswith(METADATA_PREFIX)
    }
    from_toml = _read_toml(toml)
    mistakes = [
        *mistakes_in(from_metadata, RULES, f"{network}: metadata {METADATA_PREFIX}*: "),
        *mistakes_in(from_toml, RULES, f"{toml}: "),
    ]
    if mistakes:
        raise ConfigError("; ".join(mistakes))
    return Statement(network=network, toml=toml, values={**from_metadata, **from_toml})


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{path}: cannot be read as TOML: {error}") from error


def _value(key: str, text: str) -> Any:
    """Return the value of a key of the metadata, where all that is no text is JSON."""
    if key not in _JSON_KEYS:
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text  # which the rules refuse


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_size(value: object) -> bool:
    if isinstance(value, list):
        return is_list(value, 2, 1) and all(is_whole(side, 1) for side in value)
    return is_whole(value, 1)


RULES: dict[str, Rule] = {
    "name": Rule("a text", _is_text),
    "licence": Rule("a text", _is_text),
    "size": Rule("the longer side in pixels, or [height, width]", _is_size),
    "multiple": whole_rule(1),
    "fit": choice_rule(*get_args(PhotoFit)),
    "layout": choice_rule(*get_args(Layout)),
    "colour_order": choice_rule(*get_args(ColourOrder)),
    "value_range": Rule(
        "[0, 1] or [0, 255]", lambda value: value in (list(UNIT_RANGE), list(BYTE_RANGE))
    ),
    "mean": Rule(
        "three numbers, one for each channel", lambda value: is_list(value, 3, float("-inf"))
    ),
    "deviation": Rule(
        "three numbers above 0, one for each channel", lambda value: is_list(value, 3, 1e-12)
    ),
    "output": Rule("the name of an output", _is_text),
    "output_layout": choice_rule(*get_args(Layout)),
    "output_channel": whole_rule(0),
    "output_activation": choice_rule(*get_args(Activation)),
}
"""The keys of the TOML file; those of `NetworkDescription` mean what it says, and `size` may be
[height, width], which is its `frame`."""

_JSON_KEYS = frozenset({"size", "multiple", "value_range", "mean", "deviation", "output_channel"})
