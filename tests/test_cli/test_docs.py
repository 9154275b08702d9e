"""The documents keep up with the commands."""

import subprocess
import sys
from pathlib import Path

import pytest

from banet_cli.app import build_command
from banet_cli.configuration import parameters_of

CHECKOUT = Path(__file__).parent.parent.parent
COMMANDS = build_command().commands


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_option_is_documented(command):
    sections = (CHECKOUT / "docs/cli.md").read_text().split("\n## banet ")
    (section,) = (text for text in sections if text.split()[0] == command)
    for name, parameter in parameters_of(COMMANDS[command]).items():
        if name != "help":
            is_option = parameter.param_type_name == "option"
            assert f"`{parameter.opts[0] if is_option else parameter.metavar}`" in section


def test_the_reference_is_current():
    printed = subprocess.run(
        [sys.executable, CHECKOUT / "docs/generate_cli.py"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert (CHECKOUT / "docs/cli.md").read_text() == printed, "run `make docs`"


@pytest.mark.parametrize("command", COMMANDS)
def test_the_readme_shows_every_command(command):
    assert f"banet {command}" in (CHECKOUT / "README.md").read_text()


def test_the_changelog_knows_the_version():
    from pipelines import __version__

    assert f"## [{__version__}]" in (CHECKOUT / "CHANGELOG.md").read_text()
