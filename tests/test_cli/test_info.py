"""`banet info`."""

from foreign_networks import NORMAL, Network

from pipelines import __version__


def test_info_holds_what_a_bug_report_needs(banet):
    outcome = banet("info", "--json")
    assert outcome.exit_code == 0
    assert outcome.summary["versions"]["banet"] == __version__
    assert {"torch", "zarr", "python", "onnxruntime"} <= set(outcome.summary["versions"])
    assert outcome.summary["devices"][0]["device"] == "cpu"
    assert ".jpg" in outcome.summary["photos"]


def test_info_knows_the_hash_of_the_shipped_weights(banet):
    (weights,) = banet("info", "--json").summary["weights"]
    assert weights["name"] == "banet-64"
    assert len(weights["sha256"]) == 64
    assert weights["licence"]


def test_info_says_how_a_network_of_others_is_used(banet, tmp_path):
    weights = Network().write(tmp_path / "theirs.onnx", **NORMAL, licence="MIT")

    summary = banet("info", "--weights", weights, "--json").summary

    shipped, theirs = summary["weights"]
    assert shipped["name"] == "banet-64"
    assert (theirs["name"], theirs["model"], theirs["licence"]) == (weights, "theirs", "MIT")
    assert summary["use"][weights]["mean"] == [0, 0, 0]


def test_info_asks_for_what_is_not_stated_about_a_network_of_others(banet, tmp_path):
    outcome = banet("info", "--weights", Network().write(tmp_path / "theirs.onnx"))

    assert outcome.exit_code == 2
    assert "theirs.toml: colour_order (" in " ".join(outcome.stderr.split())


def test_info_for_people_leaves_standard_output_alone(banet):
    outcome = banet("info")
    assert outcome.stdout == ""
    assert "banet-64" in outcome.stderr
