"""A run that was stopped, by Ctrl-C or by kill -9, goes on as if nothing had happened."""

import dataclasses
import os
import re
import signal
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
import pytest
import resumed_run
from resumed_run import MODEL, TRAINING
from small_networks import Table, small_config, transformer_for

import bayescmp as bc
from bayescmp.models import beta_bernoulli
from bayescmp.training import TrainingDivergedError, loop
from bayescmp.training.checkpoints.checkpoint import read_header
from bayescmp.training.checkpoints.stored_network import load_network, load_training
from bayescmp.training.interrupt import listen_for_stop

# 23 steps in chunks of 5, so that the last chunk is shorter; checkpoints at 10, 20 and 23.
SHORT = dataclasses.replace(TRAINING, num_steps=23, optimiser=bc.Muon())


@pytest.fixture(scope="module")
def uninterrupted() -> bc.Fit:
    return resumed_run.run(None, training=SHORT)


def assert_same_run(left: bc.Fit, right: bc.Fit) -> None:
    """Every bit of the result, apart from the clock."""
    assert eqx.tree_equal(left.network, right.network)
    np.testing.assert_array_equal(left.loss, right.loss)
    np.testing.assert_array_equal(left.excess, right.excess)
    assert left.flops_per_step == right.flops_per_step


def interrupt_after(monkeypatch: pytest.MonkeyPatch, num_chunks: int) -> None:
    """Press Ctrl-C while a chunk is being computed."""
    advance, count = loop.advance, 0

    def pressed(*args, **settings):
        nonlocal count
        count += 1
        if count == num_chunks:
            signal.raise_signal(signal.SIGINT)
        return advance(*args, **settings)

    monkeypatch.setattr(loop, "advance", pressed)


# --------------------------------------------------------------------- Ctrl-C


@pytest.mark.parametrize("num_chunks", [1, 2, 3, 4, 5])
def test_ctrl_c_leaves_a_checkpoint_that_resumes_bit_for_bit(
    num_chunks: int, uninterrupted: bc.Fit, tmp_path: Path
):
    path = tmp_path / "run" / "seed_0.ckpt"
    step = min(5 * num_chunks, 23)
    with pytest.MonkeyPatch.context() as patch:
        interrupt_after(patch, num_chunks)
        with pytest.raises(KeyboardInterrupt) as caught:
            resumed_run.run(path, training=SHORT)
    expected = f"stopped after step {step}; the checkpoint {str(path)!r} can be resumed"
    assert str(caught.value) == expected
    assert read_header(path)["step"] == step
    assert_same_run(resumed_run.run(path, training=SHORT), uninterrupted)


def test_a_run_may_be_stopped_again_and_again(
    uninterrupted: bc.Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "seed_0.ckpt"
    for _ in range(4):
        with pytest.MonkeyPatch.context() as patch:
            interrupt_after(patch, 1)
            with pytest.raises(KeyboardInterrupt):
                resumed_run.run(str(path), training=SHORT)
    assert_same_run(resumed_run.run(str(path), training=SHORT), uninterrupted)


def test_ctrl_c_without_a_checkpoint_says_that_nothing_was_saved(monkeypatch: pytest.MonkeyPatch):
    interrupt_after(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt, match=r"^stopped after step 10; nothing was saved"):
        resumed_run.run(None, training=SHORT)


def test_the_second_ctrl_c_interrupts_at_once_and_the_handler_goes_away():
    before = signal.getsignal(signal.SIGINT)
    with listen_for_stop() as stop:
        assert not stop
        signal.raise_signal(signal.SIGINT)
        assert stop
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_outside_the_main_thread_nothing_listens():
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def listen() -> None:
        with listen_for_stop() as stop:
            seen.append((bool(stop), signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert seen == [(False, before)]


# -------------------------------------------------------------------- kill -9


@pytest.mark.parametrize("moment", ["writing", "training"])
def test_kill_9_then_resume_equals_the_uninterrupted_run(moment: str, tmp_path: Path):
    path = tmp_path / "seed_0.ckpt"
    tests = Path(__file__).parent
    paths = [str(tests.parent), str(tests), os.environ.get("PYTHONPATH", "")]
    child = subprocess.run(
        [sys.executable, tests / "resumed_run.py", path, moment],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert child.returncode == -signal.SIGKILL, child.stderr
    step = read_header(path)["step"]
    assert 0 < step < TRAINING.num_steps, "it was killed in the middle"
    leftovers = [name for name in os.listdir(tmp_path) if name != path.name]
    assert leftovers == [] if moment == "training" else len(leftovers) == 1
    resumed = resumed_run.run(path)
    assert_same_run(resumed, resumed_run.run(None))
    assert read_header(path)["step"] == TRAINING.num_steps


# ------------------------------------------------------- what may be resumed


@pytest.fixture
def finished(tmp_path: Path, uninterrupted: bc.Fit) -> Path:
    path = tmp_path / "seed_0.ckpt"
    assert_same_run(resumed_run.run(path, training=SHORT), uninterrupted)
    return path


def test_a_finished_run_comes_back_without_a_step(
    finished: Path, uninterrupted: bc.Fit, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("a finished run needs neither compilation nor steps")

    monkeypatch.setattr(loop, "advance", fail)
    monkeypatch.setattr(loop, "compile_chunk", fail)
    again = resumed_run.run(finished, training=SHORT)
    assert_same_run(again, uninterrupted)
    # Summed again from the differences of the clock.
    assert again.seconds == pytest.approx(read_header(finished)["progress"]["seconds"], rel=1e-12)


def test_without_resume_a_run_starts_over(finished: Path, uninterrupted: bc.Fit):
    before = finished.read_bytes()
    again = resumed_run.run(finished, training=SHORT, resume=False)
    assert_same_run(again, uninterrupted)
    assert finished.read_bytes() != before, "the seconds, if nothing else"


def test_the_checkpoint_of_another_run_is_refused_and_the_differences_are_listed(finished: Path):
    other = dataclasses.replace(SHORT, num_steps=24, optimiser=bc.AdamW())
    with pytest.raises(ValueError, match="belongs to another run") as caught:
        resumed_run.run(finished, training=other, key=jax.random.key(6))
    told = str(caught.value)
    assert "\n" not in told
    assert told.endswith(
        "another run: training.num_steps is 23 there and 24 here; training.optimiser is Muon "
        "there and AdamW here; key.words is [[0, 5]] there and [[0, 6]] here"
    )


def test_the_checkpoint_of_another_network_or_model_is_refused(finished: Path):
    def resume(model, config: bc.TransformerConfig) -> None:
        network = transformer_for(model, config)
        bc.fit(network, model, key=jax.random.key(5), checkpoint=finished, resume=True)

    with pytest.raises(ValueError, match=r"run: network.num_layers is 1 there and 2 here;"):
        resume(MODEL, small_config(2, 1, 4, 6))
    with pytest.raises(ValueError, match=r"model is Bijection there and GenerativeModel here"):
        resume(beta_bernoulli(2), small_config(1, 1, 4, 6))


def test_a_run_is_recognised_in_another_process(finished: Path):
    # No address in memory may be part of what a checkpoint remembers.
    header = read_header(finished)
    assert not re.search("0x[0-9a-f]{6}", str(header))


def test_a_checkpoint_says_what_it_holds(finished: Path, uninterrupted: bc.Fit):
    run = read_header(finished)["run"]
    assert run["network"]["type"] == "TransformerConfig"
    assert run["network"]["head"] == {"type": "FiniteHead"}
    assert run["shape"]["num_outcomes"] == MODEL.num_outcomes
    assert run["model"] == {"type": "Bijection", "size": 3, "num_pairs": 2}
    assert run["training"]["optimiser"]["type"] == "Muon"
    assert load_training(finished) == SHORT
    assert eqx.tree_equal(load_network(finished), uninterrupted.network)


def test_a_checkpoint_of_the_first_format_is_refused(tmp_path: Path):
    path = tmp_path / "seed_0.ckpt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header.json", '{"format": 1, "step": 20}')
    with pytest.raises(ValueError, match=r"has another format; expected 2, got 1; read it with"):
        resumed_run.run(path, training=SHORT)


def test_a_damaged_checkpoint_is_refused(finished: Path):
    finished.write_bytes(finished.read_bytes()[:-100])
    with pytest.raises(ValueError, match="is damaged or no checkpoint"):
        resumed_run.run(finished, training=SHORT)


def test_a_diverged_run_keeps_its_last_good_checkpoint(tmp_path: Path):
    path = tmp_path / "seed_0.ckpt"
    wild = dataclasses.replace(
        SHORT, chunk_size=1, checkpoint_every=1, optimiser=bc.AdamW(learning_rate=1e38, warmup=0.0)
    )
    with pytest.raises(TrainingDivergedError, match=r"the checkpoint of step \d is kept$"):
        bc.fit(Table.zeros(MODEL), MODEL, key=jax.random.key(0), training=wild, checkpoint=path)
    assert 1 <= read_header(path)["step"] < 9
