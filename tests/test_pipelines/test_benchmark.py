from types import SimpleNamespace

import pytest
import torch

from models import MODELS, build_model, count_parameters
from pipelines import benchmark as module
from pipelines.benchmark import BenchmarkOptions, BenchmarkSummary, benchmark
from pipelines.errors import ConfigError, DeviceError


@pytest.fixture(scope="module")
def summary() -> BenchmarkSummary:
    return benchmark(
        BenchmarkOptions(
            models=("banet-512", "banet-64"), size=64, batch_size=3, repeats=2, device="cpu"
        )
    )


@pytest.fixture
def unmeasured_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare a test the processes that memory is measured in."""
    monkeypatch.setattr(module, "peak_memory", lambda _build, **_: None)


def test_every_network_of_the_registry_is_measured_by_default() -> None:
    assert BenchmarkOptions().names == tuple(MODELS)


def test_networks_come_once_and_in_the_order_of_the_registry(summary: BenchmarkSummary) -> None:
    assert [figures.name for figures in summary.models] == ["banet-64", "banet-512"]
    assert BenchmarkOptions(models=("banet-64", "banet-64")).names == ("banet-64",)


def test_json_tells_scripts_what_they_rely_on(summary: BenchmarkSummary) -> None:
    content = summary.as_json()
    assert (content["device"], content["size"], content["batch_size"]) == ("cpu", 64, 3)
    assert (content["repeats"], content["precision"]) == (2, "auto")
    assert content["threads"] == torch.get_num_threads()
    assert content["device_name"]
    assert content["versions"]["torch"] == torch.__version__
    for figures in content["models"]:
        assert {"gflops", "peak_memory_mb", "precision"} <= set(figures)


def test_parameters_are_those_of_the_network_as_it_is_trained(summary: BenchmarkSummary) -> None:
    for figures in summary.models:
        assert figures.parameters == count_parameters(build_model(figures.name))


def test_frames_per_second_and_ratio_follow_from_the_latency(summary: BenchmarkSummary) -> None:
    reference, other = summary.models
    for figures in summary.models:
        assert figures.fps == pytest.approx(3 / (figures.latency_ms / 1e3))
        assert figures.latency_ms_p10 <= figures.latency_ms <= figures.latency_ms_p90
    assert reference.fps_ratio == 1
    assert other.fps_ratio == pytest.approx(other.fps / reference.fps)


@pytest.mark.usefixtures("unmeasured_memory")
def test_without_the_reference_there_is_no_ratio() -> None:
    options = BenchmarkOptions(models=("banet-64-base",), size=32, repeats=1, device="cpu")
    (figures,) = benchmark(options).models
    assert figures.fps_ratio is None
    assert figures.peak_memory_mb is None


@pytest.mark.usefixtures("unmeasured_memory")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_precision_that_was_asked_for_is_kept_to(precision: str) -> None:
    options = BenchmarkOptions(
        models=("banet-64",), size=33, repeats=1, precision=precision, device="cpu"
    )
    summary = benchmark(options)
    assert summary.precision == summary.models[0].precision == precision


def test_auto_compares_single_and_half_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr(module, "half_precision", lambda _device: torch.bfloat16)
    assert module._dtypes_to_try("auto", cpu) == (torch.float32, torch.bfloat16)
    monkeypatch.setattr(module, "half_precision", lambda _device: None)
    assert module._dtypes_to_try("auto", cpu) == (torch.float32,)


@pytest.mark.parametrize("faster", [0, 1])
def test_every_network_is_kept_in_its_faster_precision(faster: int) -> None:
    candidates = [SimpleNamespace(name=name) for name in ("one", "one", "other")]
    latencies = [[0.5, 2.0, 2.0], [0.5, 2.0, 2.0], [1.0, 1.0, 1.0]]
    latencies[faster] = [9.0, 1.0, 1.0]
    kept, samples = module._fastest(candidates, latencies)
    assert kept == [candidates[faster], candidates[2]]
    assert samples == [latencies[faster], latencies[2]]


def test_threads_are_what_they_were_afterwards() -> None:
    before = torch.get_num_threads()
    with module._threads(before + 1) as count:
        assert count == torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with module._threads(None) as count:
        assert count == before


def test_bad_options_are_named_together() -> None:
    expected = (
        r"--models banet-9: use .*banet-64, .*--size 3: at least 32.*--batch-size 0.*--repeats 0"
        r".*--threads 0.*--precision fp8: use auto, fp32"
    )
    with pytest.raises(ConfigError, match=expected):
        BenchmarkOptions(
            models=("banet-9",), size=3, batch_size=0, repeats=0, threads=0, precision="fp8"
        )


def test_no_network_at_all_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match="--models: name at least one"):
        BenchmarkOptions(models=())


def test_a_precision_that_the_device_cannot_compute_in_is_refused() -> None:
    with pytest.raises(ConfigError, match="--precision fp16"):
        benchmark(BenchmarkOptions(precision="fp16", device="cpu"))


def test_a_missing_device_is_no_reason_to_take_another() -> None:
    with pytest.raises(DeviceError, match="--device cuda:99"):
        benchmark(BenchmarkOptions(device="cuda:99"))


@pytest.mark.slow
@pytest.mark.usefixtures("unmeasured_memory")
@pytest.mark.parametrize("name", MODELS)
def test_every_network_can_be_measured(name: str) -> None:
    options = BenchmarkOptions(models=(name,), size=64, repeats=1, device="cpu")
    (figures,) = benchmark(options).models
    assert figures.gflops > 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_gpu_is_measured_by_its_own_clock_and_counter() -> None:
    options = BenchmarkOptions(models=("banet-64", "banet-512"), size=64, repeats=2, device="cuda")
    small, large = benchmark(options).models
    assert small.latency_ms > 0
    assert small.peak_memory_mb < large.peak_memory_mb
