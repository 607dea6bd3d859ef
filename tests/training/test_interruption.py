"""Signals wait for the update under way; a second one does not wait."""

from __future__ import annotations

import os
import signal

import pytest

from sharpvae.distributed.processes import VARIABLES
from sharpvae.training.run import SIGNALS, put_off


@pytest.fixture(autouse=True)
def terminal():
    """Handlers as in a terminal, whatever started the tests."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        signal.signal(number, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_is_noted_and_the_second_interrupts(number: signal.Signals) -> None:
    with put_off() as signals:
        assert not signals
        os.kill(os.getpid(), number)
        assert signals, "and the block went on"
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is signal.default_int_handler


def test_what_is_ignored_stays_so() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with put_off() as signals:
        os.kill(os.getpid(), signal.SIGHUP)
        assert not signals


def test_one_of_several_processes_only_ever_notes(monkeypatch) -> None:
    """SLURM tells all processes to end, and the launcher tells them once more."""
    for name in VARIABLES:
        monkeypatch.setenv(name, "0")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited, from a background job
    with put_off() as signals:
        os.kill(os.getpid(), signal.SIGINT)
        assert signals
        os.kill(os.getpid(), signal.SIGTERM)
