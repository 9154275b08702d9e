"""`banet benchmark`."""

import pytest

QUICK = ("--size", "32", "--repeats", "1", "--precision", "fp32", "--device", "cpu")
NAMED_IN_THE_CONTRACT = {
    "name",
    "parameters",
    "gflops",
    "latency_ms",
    "fps",
    "peak_memory_mb",
    "fps_ratio",
}


def test_json_has_an_object_for_each_network(banet):
    outcome = banet("benchmark", *QUICK, "--models", "banet-64,banet-64-base", "--json")
    assert outcome.exit_code == 0, outcome.stderr
    names = [figures["name"] for figures in outcome.summary["models"]]
    assert names == ["banet-64", "banet-64-base"]
    assert all(set(figures) >= NAMED_IN_THE_CONTRACT for figures in outcome.summary["models"])
    assert {"device", "threads", "precision", "size", "batch_size"} <= set(outcome.summary)


def test_people_get_a_table(banet):
    outcome = banet("benchmark", *QUICK, "--models", "banet-64")
    assert outcome.exit_code == 0, outcome.stderr
    assert outcome.stdout == ""
    for text in ("banet-64", "param M", "0.6125", "GFLOP", "fp32", "latency ms"):
        assert text in outcome.stderr
    assert "versions" not in outcome.stderr


@pytest.mark.parametrize(
    "arguments",
    [["--models", "banet-8,banet-9"], ["--models", "banet-8", "--models", "banet-9"]],
)
def test_names_may_be_repeated_or_stand_together(banet, arguments):
    outcome = banet("benchmark", *arguments)
    assert outcome.exit_code == 2
    assert "--models banet-8: use" in outcome.stderr
    assert "--models banet-9: use" in outcome.stderr


def test_names_come_from_the_environment(banet, monkeypatch):
    monkeypatch.setenv("BANET_BENCHMARK_MODELS", "banet-8 banet-9")
    stderr = banet("benchmark").stderr
    assert "--models banet-8: use" in stderr
    assert "--models banet-9: use" in stderr


def test_a_precision_that_the_device_cannot_compute_in_exits_2(banet):
    outcome = banet("benchmark", "--precision", "fp16", "--device", "cpu")
    assert outcome.exit_code == 2
    assert "--precision fp16: on a CPU use bf16 or fp32" in outcome.stderr


def test_photos_that_no_memory_can_hold_exit_1(banet):
    outcome = banet("benchmark", "--models", "banet-64", "--size", "10000000", "--device", "cpu")
    assert outcome.exit_code == 1
    assert "banet-64: not enough memory on cpu" in outcome.stderr
    assert "Traceback" not in outcome.stderr
