"""The command as a whole: version, help, exit codes, the guard."""

import logging
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from banet_cli.app import COMMANDS, app
from banet_cli.failures import TerminationError, report_failure
from pipelines import __version__
from pipelines.errors import (
    BanetError,
    ConfigError,
    DeviceError,
    InputError,
    StoreError,
    WeightsError,
)

COMMAND_NAMES = [command.__name__ for command in COMMANDS]


def test_version_is_that_of_the_package(banet):
    outcome = banet("--version")
    assert (outcome.exit_code, outcome.stdout) == (0, f"banet {__version__}\n")


def test_no_argument_shows_the_help(banet):
    outcome = banet()
    assert outcome.exit_code == 0
    assert all(name in outcome.stdout for name in COMMAND_NAMES)


def test_the_app_also_works_under_typers_own_runner():
    assert CliRunner().invoke(app, ["--version"]).exit_code == 0


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["segment", "--help"]])
def test_nothing_heavy_is_imported_to_answer(banet_process, arguments):
    program = (
        "import sys; from banet_cli.app import run; code = run(sys.argv[1:]); "
        "heavy = {'torch', 'dask', 'zarr', 'cv2', 'numpy'} & set(sys.modules); "
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    outcome = banet_process(*arguments, python=("-c", program))
    assert outcome.exit_code == 0, outcome.stderr


@pytest.mark.parametrize("name", COMMAND_NAMES)
def test_every_command_explains_itself(banet, name):
    outcome = banet(name, "--help")
    assert outcome.exit_code == 0
    assert "Usage" in outcome.stdout


@pytest.mark.parametrize("name", COMMAND_NAMES)
def test_only_commands_that_read_settings_say_so(banet, name):
    stdout = banet(name, "--help").stdout
    assert ("banet.toml (`banet init`" in " ".join(stdout.split())) == ("--config" in stdout)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["segmnt"], "Did you mean 'segment'"),
        (["segment"], "Missing argument 'INPUT...'"),
        (["prepare", "a", "b", "--bogus"], "No such option: --bogus"),
        (["prepare", "a", "b", "--size", "big"], "'--size'"),
        (["prepare", "a", "b", "--size", "7"], "--size 7"),
        (["prepare", "a", "b", "--split", "1,2"], "0.8,0.1,0.1"),
        (["segment", "a", "--device", "toaster"], "--device toaster"),
        (["benchmark", "--models", "banet-9"], "--models banet-9: use enet, "),
        (["init", "nowhere/banet.toml"], "nowhere/banet.toml: cannot be written"),
    ],
)
def test_wrong_usage_exits_2_with_a_sentence(banet, arguments, expected):
    outcome = banet(*arguments)
    assert outcome.exit_code == 2
    assert outcome.stderr.startswith("error: ")
    assert expected in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert outcome.stdout == ""


def test_missing_input_exits_1(banet):
    outcome = banet("segment", "nowhere")
    assert outcome.exit_code == 1
    assert "nowhere" in outcome.stderr
    assert "Traceback" not in outcome.stderr


@pytest.mark.parametrize("command", ["segment", "train", "evaluate", "benchmark"])
def test_missing_device_exits_4(banet, command, drawn_pairs):
    arguments = {
        "segment": [drawn_pairs / "images"],
        "train": ["data.zarr", "--out", "run"],
        "evaluate": ["data.zarr"],
        "benchmark": [],
    }[command]
    outcome = banet(command, *arguments, "--device", "cuda:99")
    assert outcome.exit_code == 4, outcome.stderr
    assert "--device cuda:99" in outcome.stderr


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (BanetError("x"), 1),
        (InputError("x"), 1),
        (StoreError("x"), 1),
        (WeightsError("x"), 1),
        (ConfigError("x"), 2),
        (DeviceError("x"), 4),
        (KeyboardInterrupt(), 130),
        (TerminationError(), 143),
        (OSError(28, "No space left on device"), 1),
        (ZeroDivisionError("x"), 1),
    ],
)
def test_every_error_has_its_exit_code(error, exit_code):
    assert report_failure(error) == exit_code


def test_an_unexpected_error_asks_for_a_report(caplog):
    report_failure(ZeroDivisionError("division by zero"))
    assert "bug in banet" in caplog.text
    assert "ZeroDivisionError: division by zero" in caplog.text


def test_a_full_disk_is_no_bug(caplog):
    report_failure(OSError(28, "No space left on device", "out/masks"))
    assert caplog.messages == ["out/masks: No space left on device"]


def test_a_traceback_appears_with_verbose_only(banet):
    quiet = banet("prepare", "nowhere", "data.zarr")
    loud = banet("prepare", "nowhere", "data.zarr", "--verbose")
    assert "Traceback" not in quiet.stderr
    assert "Traceback" in loud.stderr


def test_messages_as_json_are_json_to_the_last_line(banet):
    outcome = banet("prepare", "nowhere", "data.zarr", "--log-format", "json")
    assert re.fullmatch(r'\{"time": .*"level": "error".*nowhere.*\}\n', outcome.stderr)


def test_a_run_leaves_no_handler_behind(banet):
    before = list(logging.getLogger().handlers)
    banet("prepare", "nowhere", "data.zarr")
    assert logging.getLogger().handlers == before


@pytest.mark.skipif(os.name == "nt", reason="Windows reports closed pipes otherwise")
def test_a_reader_who_leaves_causes_no_traceback():
    with subprocess.Popen(
        [sys.executable, "-m", "banet_cli", "--help"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


@pytest.mark.parametrize("package", ["models", "pipelines"])
def test_a_package_of_the_same_name_is_refused(banet_process, package):
    Path(package).mkdir()
    Path(package, "__init__.py").write_text("raise RuntimeError('imported the wrong one')")
    outcome = banet_process("--version")
    assert outcome.exit_code == 1
    assert outcome.stderr.startswith(f"error: {Path(package).resolve()} hides the package")


def test_sigterm_is_turned_into_an_interruption():
    from banet_cli.app import _terminate

    with pytest.raises(TerminationError):
        _terminate(signal.SIGTERM, None)
