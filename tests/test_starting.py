"""What `python app.py` needs in order to start, and what it says where it cannot."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from studio_server import ROOT, app_environment

# One process for all of it: to start one takes longer than what is asked here. The last start is as
# that of `python app.py`, with the model on its way when there turns out to be no port.
PROGRAM = """
import json, runpy, socket, sys

def refuse(*_):
    raise OSError("no network")

def ending(of, given):
    try:
        of(given)
    except SystemExit as ended:
        return ended.code

def said(*arguments):
    return ending(app.serve, app.parse(arguments))

socket.socket.connect = refuse
sys.modules["mcp"] = None  # as if it were not installed
import app, gradio
print(json.dumps({
    "page": isinstance(app.demo, gradio.Blocks),
    "model": app.engine.ready,
    "wrong": app.why_not(app.ModelChoice("mini"), app.parse([])),
    "slow": "diffusers" in sys.modules,
    "mcp": said("--mcp"),
    "host": [ending(app.check_host, host) for host in ("192.0.2.1", "127.0.0.1")],
    "limits": [
        ending(app.parse, [limit, amount])
        for limit in ("--outputs-limit", "--work-limit")
        for amount in ("-1", "0", "nan", "inf", "many", "0.5")
    ],
    "password": said("--mcp", "--auth", "me:secret"),
}), flush=True)
sys.argv = ["app.py"]
runpy.run_path("app.py", run_name="__main__")
"""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """One that another program listens at."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


@pytest.fixture(scope="module")
def ended(port, tmp_path_factory) -> subprocess.CompletedProcess[str]:
    outputs = tmp_path_factory.mktemp("outputs")  # where no model was ever chosen
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, "--not-an-option-of-ours"],
        cwd=ROOT,
        env=app_environment(GRADIO_SERVER_PORT=str(port), XPSR_OUTPUTS=str(outputs)),
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def told(ended) -> dict:
    assert ended.stdout, ended.stderr
    return json.loads(ended.stdout)


def test_importing_the_app_needs_no_network_and_no_weights(told):
    assert told["page"] and not told["model"]


def test_the_page_of_the_built_in_model_opens_before_what_it_needs_is_imported(told):
    assert told["wrong"] is None and not told["slow"]


def test_mcp_without_its_package_says_what_to_install(told):
    assert 'pip install "gradio[mcp]"' in told["mcp"]


def test_mcp_does_not_go_with_a_password(told):
    assert "an MCP client cannot log in" in told["password"]


def test_a_host_of_another_machine_is_not_taken_for_a_port_in_use(told):
    assert "'192.0.2.1' is no address of this machine" in told["host"][0] and not told["host"][1]


def test_limits_are_numbers_above_zero(told, ended):
    assert told["limits"] == [2, 2, 2, 2, 2, None] * 2
    assert "--outputs-limit: '-1' is not a number above 0" in ended.stderr


def test_a_taken_port_gives_a_sentence(ended, port):
    assert ended.returncode == 1
    assert f"Port {port} is in use" in ended.stderr
    assert "Traceback" not in ended.stderr
