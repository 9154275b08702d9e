"""Where values come from: option, variable, banet.toml, default."""

import os
import tomllib
from pathlib import Path

import pytest

from banet_cli.app import build_command
from banet_cli.configuration import all_settings

PREPARE = '[prepare]\nsource = "photos"\ndataset = "data.zarr"\n'
SETTINGS = all_settings(build_command())


@pytest.fixture
def settings_file() -> Path:
    return Path("banet.toml")


def test_arguments_come_from_the_file(banet, settings_file):
    settings_file.write_text(PREPARE)
    assert "photos: no such folder" in banet("prepare").stderr


def test_several_datasets_come_from_the_file(banet, settings_file):
    settings_file.write_text('[evaluate]\ndatasets = ["first.zarr", "second.zarr"]\n')
    assert "first.zarr" in banet("evaluate").stderr


def test_one_dataset_needs_no_brackets(banet, settings_file):
    settings_file.write_text('[evaluate]\ndatasets = "only.zarr"\n')
    assert "only.zarr" in banet("evaluate").stderr


def test_inputs_of_the_environment_are_separated_like_those_of_path(banet, monkeypatch):
    for names in (["my photos", "b/c"], ["nonsense://a b", "nonsense://c"]):
        monkeypatch.setenv("BANET_SEGMENT_INPUTS", os.pathsep.join(names))

        outcome = banet("segment", "--out", "out")

        assert outcome.exit_code in {1, 2}
        assert f"{names[0]}: no" in outcome.stderr


def test_arguments_come_from_the_environment(banet, monkeypatch):
    monkeypatch.setenv("BANET_PREPARE_SOURCE", "elsewhere")
    monkeypatch.setenv("BANET_PREPARE_DATASET", "data.zarr")
    assert "elsewhere: no such folder" in banet("prepare").stderr


def test_an_option_wins_over_a_variable_over_the_file(banet, settings_file, monkeypatch):
    settings_file.write_text(PREPARE + "size = 1\n")
    assert "--size 1:" in banet("prepare").stderr
    monkeypatch.setenv("BANET_PREPARE_SIZE", "2")
    assert "--size 2:" in banet("prepare").stderr
    assert "--size 3:" in banet("prepare", "--size", "3").stderr


def test_a_switch_of_the_file_can_be_turned_off(banet, settings_file):
    settings_file.write_text("[info]\njson = true\n")
    assert banet("info").stdout
    assert not banet("info", "--no-json").stdout


def test_a_number_or_a_word_may_come_from_anywhere(banet, settings_file, monkeypatch):
    settings_file.write_text('[segment]\ninputs = "nowhere"\nbatch_size = -1\n')
    assert "--batch-size -1: use auto or" in banet("segment").stderr
    monkeypatch.setenv("BANET_SEGMENT_BATCH_SIZE", "auto")
    assert "nowhere" in banet("segment").stderr
    assert "'many' is neither auto nor a number" in banet("segment", "--batch-size", "many").stderr


def test_numbers_may_stand_in_brackets(banet, settings_file):
    settings_file.write_text(PREPARE + "split = [0.5, 0.1, 0.1]\n")
    assert "--split 0.5,0.1,0.1" in banet("prepare").stderr


def test_dashes_in_keys_are_as_good_as_underscores(banet, settings_file):
    settings_file.write_text(PREPARE + "canonical-width = -1\n")
    assert "--canonical-width -1" in banet("prepare").stderr


@pytest.mark.parametrize("how", ["option", "variable"])
def test_another_file_can_be_named(banet, monkeypatch, how):
    Path("other.toml").write_text(PREPARE)
    if how == "variable":
        monkeypatch.setenv("BANET_CONFIG", "other.toml")
        outcome = banet("prepare")
    else:
        outcome = banet("prepare", "--config", "other.toml")
    assert "photos: no such folder" in outcome.stderr


def test_a_named_file_must_exist(banet):
    outcome = banet("prepare", "a", "b", "--config", "other.toml")
    assert outcome.exit_code == 2
    assert "--config other.toml: no such file" in outcome.stderr


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "[prepare]\nsoruce = 'x'",
            "unknown key soruce in [prepare]; the nearest valid key is source",
        ),
        ("[segmnt]", "unknown table [segmnt]; the nearest valid table is segment"),
        ("size = 3", "unknown table [size]"),
        ("[prepare]\nforce = 'yes'", "[prepare] force = yes: needs true or false"),
        ("[prepare]\nsize = true", "[prepare] size = true: needs a value"),
        ("[prepare]\nsize = 'big'", "(set in banet.toml, [prepare])"),
        ("[prepare\n", "cannot be read as TOML"),
    ],
)
def test_mistakes_in_the_file_exit_2_and_name_it(banet, settings_file, text, expected):
    settings_file.write_text(text)
    outcome = banet("prepare", "a", "b")
    assert outcome.exit_code == 2
    assert "banet.toml" in outcome.stderr
    assert expected in outcome.stderr


def test_all_mistakes_in_the_file_are_named_together(banet, settings_file):
    settings_file.write_text("[train]\noot = 'x'\n[prepare]\nszie = 3\n")
    assert {"oot", "szie"} <= set(banet("prepare", "a", "b").stderr.split())


def test_init_names_every_option_of_every_command(banet, settings_file):
    assert banet("init").exit_code == 0
    keys = {
        table: {line.split()[1] for line in body.splitlines() if line.startswith("# ")}
        for table, body in (
            section.split("]", 1) for section in settings_file.read_text().split("\n[")[1:]
        )
    }
    assert keys == {name: set(parameters) for name, parameters in SETTINGS.items()}
    commands = {"segment", "prepare", "train", "evaluate", "benchmark", "export", "info"}
    assert set(keys) == commands


def test_what_init_writes_changes_nothing(banet, settings_file):
    banet("init")
    assert tomllib.loads(settings_file.read_text()) == {name: {} for name in SETTINGS}
    assert "Missing argument 'SOURCE'" in banet("prepare").stderr


@pytest.mark.parametrize("table", SETTINGS)
def test_the_values_that_init_suggests_are_accepted(settings_file, banet, table):
    banet("init")
    lines = settings_file.read_text().splitlines()
    first_table = next(index for index, line in enumerate(lines) if line.startswith("["))
    settings_file.write_text("\n".join(line.removeprefix("# ") for line in lines[first_table:]))
    outcome = banet(table)
    assert "set in" not in outcome.stderr
    assert "banet.toml" not in outcome.stderr


def test_init_does_not_overwrite(banet, settings_file):
    settings_file.write_text("# mine\n")
    outcome = banet("init")
    assert outcome.exit_code == 2
    assert "--force" in outcome.stderr
    assert settings_file.read_text() == "# mine\n"


def test_init_overwrites_when_forced(banet, settings_file):
    settings_file.write_text("# mine\n")
    assert banet("init", "--force").exit_code == 0
    assert "[segment]" in settings_file.read_text()
