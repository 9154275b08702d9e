"""Options agree with each other, and with the pipelines behind them."""

from dataclasses import MISSING, fields
from typing import get_args

import pytest

from banet_cli import options
from banet_cli.app import build_command
from banet_cli.commands import segment
from banet_cli.configuration import parameters_of
from pipelines.benchmark_options import BenchmarkOptions
from pipelines.devices import Precision
from pipelines.encoding import ImageFormat
from pipelines.evaluate import EvaluateOptions
from pipelines.export import ExportOptions
from pipelines.photo_tasks import Composite, MaskKind
from pipelines.prepare import PrepareOptions
from pipelines.runtimes import Runtime
from pipelines.segment_options import SegmentOptions
from pipelines.train import TrainOptions

GROUP = build_command()
OPTIONS_OF = {
    "benchmark": BenchmarkOptions,
    "evaluate": EvaluateOptions,
    "export": ExportOptions,
    "prepare": PrepareOptions,
    "segment": SegmentOptions,
    "train": TrainOptions,
}
TERMINAL = {"config", "json", "log_format", "quiet", "verbose", "help"}
EVERY_PARAMETER = [
    pytest.param(parameter, id=f"{command}-{name}")
    for command in GROUP.commands
    for name, parameter in parameters_of(GROUP.commands[command]).items()
    if name != "help"
]


@pytest.mark.parametrize("parameter", EVERY_PARAMETER)
def test_a_parameter_bears_the_name_of_its_option(parameter):
    if parameter.param_type_name == "option":
        assert f"--{parameter.name.replace('_', '-')}" in parameter.opts


@pytest.mark.parametrize("parameter", EVERY_PARAMETER)
def test_a_parameter_has_a_help_text(parameter):
    assert parameter.help
    assert parameter.help.endswith(".")


@pytest.mark.parametrize("parameter", EVERY_PARAMETER)
def test_a_missing_default_is_explained(parameter):
    if parameter.default is None and not parameter.required and parameter.name != "config":
        assert isinstance(parameter.show_default, str)


@pytest.mark.parametrize("command", OPTIONS_OF)
def test_the_pipelines_options_and_defaults_are_those_of_the_command(command):
    parameters = parameters_of(GROUP.commands[command])
    declared = {
        field.name: None if field.default is MISSING else field.default
        for field in fields(OPTIONS_OF[command])
    }
    offered = {
        name: tuple(parameter.default) if isinstance(parameter.default, list) else parameter.default
        for name, parameter in parameters.items()
        if name not in TERMINAL
    }
    assert offered == declared


@pytest.mark.parametrize(
    ("offered", "allowed"),
    [
        (options.Precision, Precision),
        (segment.Composite, Composite),
        (segment.CompositeFormat, ImageFormat),
        (segment.MaskKind, MaskKind),
        (segment.Runtime, Runtime),
    ],
)
def test_the_choices_of_an_option_are_those_of_the_pipelines(offered, allowed):
    assert get_args(offered) == get_args(allowed)
