import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import two_ranks
from safetensors.torch import load_file

from pipelines.errors import ConfigError
from pipelines.interrupts import interrupts_deferred
from pipelines.ranks import Ranks, launched_ranks, second_signal_heeded
from pipelines.recipes import recipe_from_table
from pipelines.runlog import RunLog
from pipelines.train import _free_memory, _open
from pipelines.trainingdata import load_training_data

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[2]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
}
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]


@pytest.fixture(scope="module")
def folder(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes found out and trained together."""
    path = tmp_path_factory.mktemp("ranks")
    command = [*TORCHRUN, two_ranks.__file__, str(prepared), str(path)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return path


def test_all_processes_end_with_the_same_parameters(folder: Path) -> None:
    first, second = (load_file(folder / f"trained-{rank}.safetensors") for rank in range(2))
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor, rtol=0, atol=0)


def test_gradients_are_those_of_the_whole_batch(folder: Path) -> None:
    whole = two_ranks.gradients(two_ranks.random_batch(), Ranks(device=CPU))
    for rank in range(2):
        found = load_file(folder / f"gradients-{rank}.safetensors")
        torch.testing.assert_close(found, whole, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("batch_size", [2, 5])
def test_batches_that_cannot_be_shared_are_refused(batch_size: int) -> None:
    recipe = recipe_from_table({"iterations": 1, "batch_size": batch_size}, where="test")
    with pytest.raises(ConfigError, match="2 processes share a batch; use a multiple of 2, at le"):
        Ranks(device=CPU, count=2).refuse_uneven(recipe)


def test_one_device_for_several_processes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("RANK", "1"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ConfigError, match="2 processes cannot share it; use --device cuda"):
        launched_ranks("cuda:1")


@pytest.mark.parametrize(
    ("variables", "mistake"),
    [
        ({"WORLD_SIZE": "many", "RANK": "0"}, "WORLD_SIZE is 'many', which is no number"),
        ({"WORLD_SIZE": "2", "RANK": "1"}, "LOCAL_RANK is not set"),
    ],
)
def test_other_launchers_are_refused(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], mistake: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=f"{mistake}.* with torchrun"):
        launched_ranks("cpu")


def test_processes_find_out_whether_they_agree(folder: Path) -> None:
    for rank in range(2):
        assert json.loads((folder / f"agreed-{rank}.json").read_text()) == [True, False, False]


class OneOfTwo(Ranks):
    """The first of two processes, the other of which stands at iteration 0."""

    def greatest(self, number: int) -> int:
        return max(number, 0)


def test_processes_that_find_different_states_are_refused(tmp_path: Path) -> None:
    log, state = RunLog(tmp_path, {}), two_ranks.new_state()
    log.open(resume=False)
    state.iteration = 2
    state.save(log.last)
    ranks = OneOfTwo(device=CPU, count=2)
    with pytest.raises(ConfigError, match=r"last: not all processes .* iteration 2; .*--out that"):
        _open(log, two_ranks.new_state(), ranks, resume=True)


def test_folders_that_are_not_the_same_are_refused_in_all_processes(folder: Path) -> None:
    for rank in range(2):
        told = (folder / f"refused-{rank}.txt").read_text()
        assert f"apart-{rank}: not all processes find there what the first one wrote" in told


def test_first_process_alone_reads_what_it_validates_with(prepared: Path) -> None:
    others = load_training_data([prepared], validates=False)
    assert others.validation == {}
    assert others.facts == load_training_data([prepared]).facts


def test_processes_of_a_machine_share_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.train.free_memory", lambda: 1000)
    assert _free_memory(Ranks(device=CPU)) == 1000
    assert _free_memory(OneOfTwo(device=CPU, count=8, local_count=4)) == 250


def test_number_of_processes_cannot_change(tmp_path: Path) -> None:
    RunLog(tmp_path, {"seed": 0, "processes": 1}).open(resume=False)
    with pytest.raises(ConfigError, match=r"cannot resume, .* other values of processes"):
        RunLog(tmp_path, {"seed": 0, "processes": 2}).open(resume=True)
    RunLog(tmp_path, {"seed": 0, "processes": 1}).open(resume=True)


WAITING = """
import ctypes, signal
from pipelines import ranks
ranks.SAME_INTERRUPT = 0.5
signal.signal(signal.SIGTERM, lambda *_: None)
with ranks.second_signal_heeded():
    mutex, lock = ctypes.create_string_buffer(64), ctypes.CDLL(None).pthread_mutex_lock
    lock(mutex)
    print("waiting", flush=True)
    lock(mutex)  # for ever in foreign code, as those that wait for other processes
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_interrupt_that_is_raised_anew_after_saving_ends_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pipelines.ranks.SAME_INTERRUPT", 0.05)

    def save_after_an_interrupt() -> None:
        with second_signal_heeded(), interrupts_deferred():
            signal.raise_signal(signal.SIGINT)
            time.sleep(0.2)

    with pytest.raises(KeyboardInterrupt):
        save_after_an_interrupt()


@pytest.mark.skipif(sys.platform != "linux", reason="waits for a mutex as Linux has them")
def test_second_interrupt_ends_even_what_waits_in_foreign_code() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WAITING],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        for _ in range(2):  # the second one is taken for the first that torchrun passes on
            process.send_signal(signal.SIGTERM)
            time.sleep(0.1)
        time.sleep(0.9)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 128 + signal.SIGTERM


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes in /proc")
def test_interrupt_of_one_process_ends_all_after_saving(prepared: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    arguments = ["train", str(prepared), "--out", str(run), "--iterations", "100000"]
    arguments += ["--batch-size", "4", "--size", "32", "--device", "cpu", "--json"]
    with subprocess.Popen(
        [*TORCHRUN, "-m", "banet_cli", *arguments],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while process.poll() is None and not (run / "metrics.jsonl").exists():
            time.sleep(0.05)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[-1]), signal.SIGTERM)
        try:
            output, messages = process.communicate(timeout=120)
        finally:
            process.terminate()  # does nothing but where the processes hang
    assert process.returncode != 0
    assert messages.count("add --resume to go on from there") == 1, messages
    assert not output
