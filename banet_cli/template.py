"""The commented `banet.toml` that `banet init` writes, made from the commands themselves."""

import json
from collections.abc import Iterator
from textwrap import wrap

from typer.core import TyperGroup

from banet_cli.configuration import Parameter, all_settings, takes_many

HEADER = """\
# Settings of banet: a table per command, a key per argument or option.
#
# Precedence: option on the command line > BANET_<COMMAND>_<OPTION> in the environment > this
# file > default. Paths are relative to the folder in which banet is started. Remove the # before
# a key to set it. Keys that mean nothing are errors.
"""
WIDTH = 90
EXAMPLES = {"PIXELS": 512, "N": 4, "RATE": 0.01}
"""Values for parameters without a default, by what the help calls them."""


def config_template(group: TyperGroup) -> str:
    """Return the text of a settings file in which every value is commented out."""
    return "\n".join((HEADER, *_lines(group)))


def _lines(group: TyperGroup) -> Iterator[str]:
    for name, parameters in all_settings(group).items():
        yield f"[{name}]"
        for parameter in parameters.values():
            yield ""
            yield from (f"## {line}" for line in wrap(_explanation(parameter), WIDTH))
            yield f"# {parameter.name} = {_toml_value(parameter)}"
        yield ""


def _explanation(parameter: Parameter) -> str:
    sentences = [parameter.help or ""]
    if choices := parameter.type_descriptor.choices:
        sentences.append(f"One of {', '.join(map(str, choices))}.")
    if parameter.required:
        sentences.append("Required.")
    elif parameter.default is None:
        sentences.append(f"Default: {parameter.show_default}; the value here is an example.")
    return " ".join(sentences)


def _toml_value(parameter: Parameter) -> str:
    """Return the default, or where there is none an example of the right type, as TOML."""
    value = _example(parameter) if parameter.default is None else parameter.default
    return json.dumps(value, default=str)


def _example(parameter: Parameter) -> object:
    metavar = (parameter.metavar or "").removesuffix("...").split("|")[-1]
    example = EXAMPLES.get(metavar, metavar)
    return [example] if takes_many(parameter) else example
