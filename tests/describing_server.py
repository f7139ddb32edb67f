"""A vision server on loopback that can misbehave in every way that servers do."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HIGH, LOW = "A stone bridge over a river.", "Blurred, with strong noise."


class Server(ThreadingHTTPServer):
    """Answers well until `mood` is changed; what it was asked lies in `asked` and `headers`."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.mood, self.seconds = "well", 0.0
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.failures = 0  # so many requests get error 503 first
        self.at_once = self.thinking = self.most_at_once = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away in the middle are part of the tests."""


@contextmanager
def serving() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def chunk(text: str | None, end: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": end}
    body = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return f"data: {json.dumps({**body, 'choices': [choice]})}\n\n".encode()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.server.headers.append({k.lower(): v for k, v in self.headers.items()})
        if self.server.mood == "no models":
            return self.send({"object": "list", "data": []})
        if self.server.mood in ("html", "unauthorised", "models are rubbish"):
            return self.misbehave()
        return self.send({"object": "list", "data": [{"id": "first"}, {"id": "second"}]})

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.asked.append(request)
            self.server.headers.append({k.lower(): v for k, v in self.headers.items()})
            self.server.at_once += 1
            self.server.thinking += 1
            self.server.most_at_once = max(self.server.most_at_once, self.server.thinking)
            failing, self.server.failures = self.server.failures > 0, self.server.failures - 1
        try:
            time.sleep(self.server.seconds)
            with self.server.lock:  # before the answer: after it the client may ask again at once
                self.server.thinking -= 1
            if failing:
                self.send({"error": {"message": "warming up"}}, 503)
            elif self.server.mood == "well":
                self.stream_answer(request)
            else:
                self.misbehave()
        finally:
            with self.server.lock:
                self.server.at_once -= 1

    def stream_answer(self, request: dict[str, Any]) -> None:
        self.begin("text/event-stream")
        for word in answer_to(request).split(" "):
            self.wfile.write(chunk(word + " "))
        self.wfile.write(chunk(None, "stop") + b"data: [DONE]\n\n")

    def begin(self, kind: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.end_headers()

    def send(self, body: Any, status: int = 200) -> None:
        self.begin("application/json", status)
        self.wfile.write(json.dumps(body).encode())

    def misbehave(self) -> None:
        key = self.headers.get("Authorization", "")
        match self.server.mood:
            case "whole":  # does not stream, which is no fault
                message = {"role": "assistant", "content": "An answer in one piece."}
                self.send({"choices": [{"message": message}]})
            case "unauthorised":
                self.send({"error": {"message": f"Incorrect API key: {key}"}}, 401)
            case "cannot see":
                self.send({"error": {"message": f"no images, {key}"}}, 400)
            case "excuses":
                self.begin("text/event-stream")
                self.wfile.write(chunk("I'm sorry, but I cannot see any image.", "stop"))
            case "no such model":
                self.send({"detail": "not found"}, 404)
            case "overloaded":
                self.send({"error": "busy"}, 429)
            case "broken":
                self.begin("text/html", 502)
                self.wfile.write(b"<html><script>alert(1)</script></html>")
            case "empty":
                self.begin("text/event-stream")
                self.wfile.write(chunk("", "stop"))
            case "nothing":
                self.begin("application/json")
            case "html" | "models are rubbish":
                self.begin("text/html")
                self.wfile.write(b"<!doctype html><h1>Welcome</h1>")
            case "not json":
                self.begin("text/event-stream")
                self.wfile.write(b"data: {not json}\n\n")
            case "wrong schema":
                self.begin("text/event-stream")
                self.wfile.write(b'data: {"text": "hello"}\n\ndata: [DONE]\n\n')
            case "wrong whole":
                self.send({"choices": [{"message": {"content": {"a": 1}}}]})
            case "error in the stream":
                self.begin("text/event-stream")
                self.wfile.write(chunk("A stone") + b'data: {"error": "out of memory"}\n\n')
            case "cut off":
                self.begin("text/event-stream")
                self.wfile.write(chunk("A stone bridge"))
            case "cut in the middle":
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", "1000")
                self.end_headers()
                self.wfile.write(b'{"choices": [')
            case "enormous":
                self.begin("text/event-stream")
                for _ in range(10_000):
                    self.wfile.write(chunk("word " * 100))
            case "enormous line":
                self.begin("text/event-stream")
                for _ in range(100):
                    self.wfile.write(b"x" * 1_000_000)
            case "compressed":
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Encoding", "gzip")
                self.end_headers()
                self.wfile.write(b"\x1f\x8b" + bytes(100))
            case "silent":
                time.sleep(30)
            case "dripping":
                self.begin("text/event-stream")
                for _ in range(300):
                    self.wfile.write(b": still there\n\n")
                    self.wfile.flush()
                    time.sleep(0.1)
            case "elsewhere":
                self.send_response(307)
                self.send_header("Location", "http://127.0.0.1:9/v1/chat/completions")
                self.send_header("Content-Length", "0")
                self.end_headers()
            case "error and well":
                self.send({"error": {"message": "model not loaded"}})
            case "hangs up":
                pass
            case "silent in the middle":
                self.begin("text/event-stream")
                self.wfile.write(chunk("A stone"))
                self.wfile.flush()
                time.sleep(30)
            case "dripping bytes":
                self.begin("application/json")
                for letter in json.dumps({"choices": [{"message": {"content": "word " * 60}}]}):
                    self.wfile.write(letter.encode())
                    self.wfile.flush()
                    time.sleep(0.1)
            case "word by word":
                self.begin("text/event-stream")
                for number in range(600):
                    self.wfile.write(chunk("word ") if number < 10 else b": still there\n\n")
                    self.wfile.flush()
                    time.sleep(0.1)
            case mood:
                raise AssertionError(f"no mood {mood}")


def answer_to(request: dict[str, Any]) -> str:
    (message,) = request["messages"]
    question = next(part["text"] for part in message["content"] if part["type"] == "text")
    return LOW if "quality" in question else HIGH
