"""A model hub on loopback that serves folders to the real huggingface_hub client."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def _tree(folder: Path) -> list[dict]:
    return [
        {
            "type": "file",
            "path": path.relative_to(folder).as_posix(),
            "size": path.stat().st_size,
            "oid": hashlib.sha1(path.read_bytes()).hexdigest(),
        }
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]


@contextmanager
def hub(repositories: dict[str, Path]) -> Iterator[tuple[str, set[str]]]:
    """Serve {"owner/name": folder}; gives the address and, filled as they are fetched, the files.

    What the client asks for is all it knows: the list of a repository's files, and each file's
    size, digest and bytes.
    """
    fetched: set[str] = set()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def _answer(self, with_body: bool) -> None:
            path = unquote(self.path.split("?")[0]).strip("/")
            for name, folder in repositories.items():
                if path.startswith(f"api/models/{name}"):
                    body = _tree(folder) if "/tree/" in path else {"id": name, "sha": COMMIT}
                    if isinstance(body, dict):
                        body["siblings"] = [
                            {"rfilename": file["path"], "size": file["size"]}
                            for file in _tree(folder)
                        ]
                    return self._send(json.dumps(body).encode(), {}, with_body)
                if path.startswith(f"{name}/resolve/"):
                    file = folder / path.removeprefix(f"{name}/resolve/").partition("/")[2]
                    if not file.is_file():
                        break
                    if with_body:
                        fetched.add(f"{name}/{file.relative_to(folder).as_posix()}")
                    data = file.read_bytes()
                    marks = {
                        "ETag": f'"{hashlib.sha256(data).hexdigest()}"',
                        "X-Repo-Commit": COMMIT,
                    }
                    return self._send(data, marks, with_body)
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None

        def _send(self, body: bytes, headers: dict[str, str], with_body: bool) -> None:
            self.send_response(200)
            for key, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(key, value)
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", fetched
    finally:
        server.shutdown()
        server.server_close()
