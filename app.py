"""XPSR Studio in the browser: `python app.py`, then open http://127.0.0.1:7860.

`demo` is the page itself, for Hugging Face Spaces and for `gradio app.py`; importing this file
loads no model and serves nothing.
"""

from __future__ import annotations

import argparse
import atexit
import logging
import os
import signal
import socket
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from studio.api import tools
from studio.build import Where, build, serving
from studio.models import zerogpu
from studio.models.choice import ALLOW, LastChoice, ModelChoice, Permission
from studio.models.engine import Engine, EngineOptions
from studio.models.work import MOST_ON_A_SPACE, MOST_WITHOUT_GPU, most_on_a_space
from studio.results.shelf import KEEP_SECONDS
from xpsr.errors import XPSRError
from xpsr.prompts.describer import make_describer

PORT = 7860
IS_SPACE = "SPACE_ID" in os.environ


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options of `python app.py`."""
    parser = argparse.ArgumentParser(prog="python app.py", description="Serve XPSR Studio.")
    add = parser.add_argument
    add(
        "--model",
        default=os.environ.get("XPSR_MODEL"),
        metavar="mini|FOLDER|HUB_ID",
        help="default: XPSR_MODEL, or the one last chosen on the page, or mini",
    )
    add(
        "--base",
        default=os.environ.get("XPSR_BASE"),
        metavar="FOLDER|HUB_ID",
        help="for official checkpoints: Stable Diffusion 1.5, for SeeSR's 2 (base); default: "
        "XPSR_BASE",
    )
    add(
        "--describer",
        default=os.environ.get("XPSR_DESCRIBER", "auto"),
        metavar="auto|measured|dalpsr|tags:FOLDER|llava|llava:ID_OR_FOLDER|URL",
        help="who describes; auto: LLaVA where a GPU and its weights are, else measured; for "
        "SeeSR its own tagger. llava and "
        'the URL of a vision server take options: "llava?bits=4&questions=q-instruct", '
        '"http://localhost:8000/v1?model=NAME". Default: XPSR_DESCRIBER, or auto',
    )
    add("--host", default=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"))
    add("--port", type=int, help=f"default: GRADIO_SERVER_PORT, or {PORT}")
    add("--share", action="store_true", help="make a public link through Gradio's servers")
    add("--auth", type=_account, metavar="USER:PASSWORD", help="ask for this name and password")
    add(
        "--outputs",
        default=os.environ.get("XPSR_OUTPUTS", "outputs"),
        metavar="FOLDER",
        help="where every result is kept; default: XPSR_OUTPUTS, or outputs",
    )
    add(
        "--outputs-limit",
        type=_amount,
        default=2.0,
        metavar="GIGABYTES",
        help="beyond so many the oldest results are removed; what is made of them for the page may "
        "take as much again, among the temporary files; default: 2",
    )
    add(
        "--work-limit",
        type=_amount,
        default=os.environ.get("XPSR_WORK_LIMIT", most_on_a_space() if IS_SPACE else None),
        metavar="MILLIONS",
        help="of one result: million pixels times steps, twice that with guidance; default: "
        f"XPSR_WORK_LIMIT, or {MOST_ON_A_SPACE:.0f} on a Space, {MOST_WITHOUT_GPU:.0f} on one "
        "without a GPU, none elsewhere",
    )
    add(
        "--allow-model-change",
        action="store_true",
        help=f"let visitors choose the model, and name folders of this machine, also where others "
        f"can reach the page; so does {ALLOW}=1",
    )
    add(
        "--mcp",
        action="store_true",
        default=os.environ.get("GRADIO_MCP_SERVER", "").lower() == "true",
        help="offer the four endpoints as MCP tools as well",
    )
    add("--device", help="cpu, cuda, cuda:1, mps; default: the best there is")
    add("--dtype", help="float32, float16 or bfloat16; default: what suits the device")
    return parser.parse_args(arguments)


def _account(text: str) -> tuple[str, str]:
    user, colon, password = text.partition(":")
    if not (user and colon and password):
        raise argparse.ArgumentTypeError("write a name, a colon and a password")
    return user, password


def _amount(text: str) -> float:
    """A limit: one below zero would remove every result, or refuse every run."""
    try:
        amount = float(text)
    except ValueError:
        amount = 0.0
    if not 0 < amount < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return amount


def _port(asked: int | None) -> int:
    text = str(asked) if asked is not None else os.environ.get("GRADIO_SERVER_PORT") or str(PORT)
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        sys.exit(f"The port {text!r} is not one: choose a whole number from 1 to 65535.")
    return int(text)


def check_host(host: str) -> None:
    """End where nothing can be served on `host`, whatever the port."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.bind(address)
    except OSError:
        sys.exit(f"{host!r} is no address of this machine: choose another one with --host.")


def choose_model(options: argparse.Namespace, allowed: Permission) -> ModelChoice:
    """The model of the options, or the one that was last chosen on a page of this kind."""
    if options.model or not allowed.granted:
        return ModelChoice(options.model or "mini", options.base)
    last = LastChoice(options.outputs).read()
    if last is None:
        return ModelChoice("mini", options.base)
    told, chosen = f"With the model last chosen on the page: {last.model}.", last
    if gone := _gone(last):
        told, chosen = f"The model last chosen on the page is gone. {gone}", ModelChoice("mini")
    if __name__ == "__main__":
        print(told, "--model mini has the own one." if chosen is last else "With mini instead.")
    return chosen


def _gone(choice: ModelChoice) -> str | None:
    """Why a model cannot be loaded, as far as this disk tells it; hubs are not asked."""
    if choice == ModelChoice("mini"):
        return None  # it is a part of this program; what would look takes seconds to be imported
    from xpsr.finding import is_hub_id
    from xpsr.inspection import inspect_model

    names = [name for name in (choice.model, choice.base) if name is not None]
    away = [name for name in names if is_hub_id(name) and not Path(name).is_dir()]
    try:
        if not away:
            inspect_model(choice.model, choice.base)
        elif choice.model not in away and not Path(choice.model).expanduser().is_dir():
            inspect_model(choice.model)
    except XPSRError as error:
        return str(error)
    return None


def why_not(choice: ModelChoice, options: argparse.Namespace) -> str | None:
    """Why nothing could be restored or described with these options, in a sentence."""
    from xpsr.placement import choose_device, choose_dtype

    try:
        choose_dtype(choose_device(options.device), options.dtype)
        if options.describer != "auto":
            make_describer(options.describer)
    except XPSRError as error:
        return str(error)
    return _gone(choice)


def _end(code: int = 0) -> NoReturn:
    """End as a normal exit does, which removes the temporary files that are served. Threads that
    compute are not taken apart while they are at it, by which the process would be aborted."""
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def serve(options: argparse.Namespace) -> None:
    """Serve the page until it is stopped; the model is loaded meanwhile."""
    if os.environ.get("GRADIO_VIBE_MODE"):
        sys.exit("GRADIO_VIBE_MODE lets visitors run programs here: unset it and start again.")
    open_to_others = options.share or options.host not in ("127.0.0.1", "localhost", "::1")
    if open_to_others and not options.auth and not IS_SPACE:
        print("Anybody who can reach this machine can use the page; --auth asks for a password.")
    if options.mcp and options.auth:
        sys.exit("--mcp and --auth do not go together: an MCP client cannot log in. Leave one out.")
    if options.mcp and find_spec("mcp") is None:
        sys.exit('--mcp needs a package that is not installed: pip install "gradio[mcp]".')
    if options.mcp:
        tools.offer()
    port = _port(options.port)
    if reason := why_not(chosen, options):
        sys.exit(reason)
    signal.signal(signal.SIGTERM, lambda *_: _end())
    engine.warm_up()
    try:
        demo.launch(
            server_name=options.host,
            server_port=port,
            share=options.share,
            auth=options.auth,
            mcp_server=options.mcp,
            **serving(),
        )
    except OSError as error:
        if "port" not in str(error).lower():
            raise
        check_host(options.host)
        sys.exit(f"Port {port} is in use: stop the other program, or choose one with --port.")


options = parse() if __name__ == "__main__" else parse([])
allowed = Permission.for_page(options.host, options.share, options.allow_model_change)
chosen = choose_model(options, allowed)
engine = Engine(
    EngineOptions(
        model=chosen.model,
        base=chosen.base,
        describer=options.describer,
        device=options.device,
        dtype=options.dtype,
        most_work=options.work_limit,
    )
)
demo = build(
    engine,
    Where(
        options.outputs,
        options.outputs_limit,
        # The disk of a Space is everybody's: nobody's pictures stay there for long.
        keep_seconds=KEEP_SECONDS if IS_SPACE else None,
    ),
    allowed,
)
if zerogpu.is_here():
    engine.pipeline()  # from here it is moved to the GPU that each call is lent

if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        serve(options)
    except SystemExit as ending:
        print(ending, file=sys.stderr)
        _end(1)
    _end()  # after Ctrl-C
