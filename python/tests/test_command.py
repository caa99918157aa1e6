"""The command `manycast` that the package brings along: as a script and as `python -m manycast`."""

import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest

import manycast

SCRIPT = pathlib.Path(sys.executable).with_name("manycast")
WAYS = {"script": [str(SCRIPT)], "module": [sys.executable, "-m", "manycast"]}
each_way = pytest.mark.parametrize("command", WAYS.values(), ids=WAYS.keys())


def run(command, *arguments, **how):
    return subprocess.run(
        [*command, *arguments], capture_output=True, text=True, timeout=30, **how
    )


@each_way
def test_it_says_what_it_is(command):
    told = run(command, "--version")
    assert (told.returncode, told.stdout) == (0, f"manycast {manycast.__version__}\n")
    helped = run(command, "--help")
    assert helped.returncode == 0 and "Usage: manycast" in helped.stdout
    helped = run(command, "send", "--help")
    assert helped.returncode == 0 and "manycast send 239." in helped.stdout


@each_way
def test_it_sends(command, listener, group):
    sent = run(command, "send", str(group), "Hello, world!")
    assert sent.returncode == 0, sent.stderr
    assert listener.recv().payload == b"Hello, world!"


@each_way
def test_mistakes_are_explained(command):
    wrong = run(command, "send", "239.1.1.1:99999", "x")
    assert wrong.returncode == 2 and "port 99999" in wrong.stderr
    assert "for example: manycast send" in wrong.stderr


@each_way
def test_control_c_ends_it_in_good_order(command, group):
    with subprocess.Popen(
        [*command, "listen", str(group), "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        first = json.loads(child.stdout.readline())
        child.send_signal(signal.SIGINT)
        output, errors = child.communicate(timeout=30)
    assert first["event"] in {"joined", "listening"}
    assert json.loads(output.splitlines()[-1])["event"] == "summary"
    assert child.returncode in (0, 1) and "Traceback" not in errors, errors


@each_way
def test_a_reader_that_has_enough_is_no_error(command):
    read, write = os.pipe()
    os.close(read)
    with subprocess.Popen([*command, "interfaces"], stdout=write, stderr=subprocess.PIPE) as child:
        os.close(write)
        errors = child.communicate(timeout=30)[1]
    assert child.returncode == 0
    assert b"Traceback" not in errors and b"cannot write" not in errors, errors


def test_a_report_prints_as_the_command_does(group):
    report = manycast.doctor()
    shown = run(WAYS["module"], "doctor")
    assert shown.stdout == f"{report}\n"
    told = run(WAYS["module"], "doctor", "--json")
    ours, theirs = json.loads(report.json()), json.loads(told.stdout)
    assert ours["verdict"] == theirs["verdict"] == report.verdict
    assert ours["steps"] == theirs["steps"] and ours.keys() == theirs.keys()


def test_two_ends(group):
    """The far end is this host too: the command serves, and the package asks."""
    with subprocess.Popen(
        [*WAYS["module"], "doctor", "serve", "127.0.0.1:49399", "--key", "k"],
        stderr=subprocess.PIPE, text=True,
    ) as far:  # fmt: skip
        assert "serving on" in far.stderr.readline()
        report = manycast.doctor(group, duration=2, with_="127.0.0.1:49399", key="k")
        far.send_signal(signal.SIGINT)
        far.communicate(timeout=30)
    assert json.loads(report.json())["trials"]
    assert report.far_steps and "127.0.0.1" in json.loads(report.json())["far"]["host"]
    with pytest.raises(manycast.Error):
        manycast.doctor("127.0.0.1:1", duration=2, with_="127.0.0.1:49399")
