"""`webree serve`: a local web server with the headers that WebGPU, Pyodide and worker threads need.

Enters: a folder (a site made by `webree bundle`), or, from the other tools, a set of mounted folders, files in memory
and a place to receive posted results. Leaves: HTTP on 127.0.0.1, cross-origin isolated (COOP and COEP), with exact MIME
types, no caching of what may change, and no access outside the mounted folders.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlsplit

from webree.errors import UsageError

__all__ = ["MIME_TYPES", "SiteServer", "add_arguments", "run"]

MIME_TYPES: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json; charset=utf-8",
    ".map": "application/json; charset=utf-8",
    ".wasm": "application/wasm",
    ".py": "text/x-python; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".txt": "text/plain; charset=utf-8",
}

ISOLATION: Mapping[str, str] = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}
"""What lets a page share memory between threads (`crossOriginIsolated`)."""

HEADERS: Mapping[str, str] = {
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}

_CHUNK_BYTES = 1 << 18


class SiteServer:
    """A web server on 127.0.0.1 in a thread of its own; a context manager.

    Attributes:
        mounts: URL prefix ("/" or "/name/") -> folder, or a single file for a prefix without a final slash. The longest
            prefix wins.
        files: URL path -> bytes in memory; looked at before the mounts.
        posted: URL path -> body of the last POST there. Paths must be listed in `accepts` first.
        requests: how many requests came in, by path.
        headers: sent with every answer; `isolated` adds those of `ISOLATION`.
    """

    def __init__(self, mounts: Mapping[str, Path], *, port: int = 0, quiet: bool = True, isolated: bool = True) -> None:
        self.mounts = {prefix: Path(root).resolve() for prefix, root in mounts.items()}
        self.files: dict[str, bytes | memoryview] = {}
        self.posted: dict[str, bytes] = {}
        self.accepts: set[str] = set()
        self.requests: dict[str, int] = {}
        self.quiet = quiet
        self.headers = {**HEADERS, **(ISOLATION if isolated else {})}
        try:
            self._http = _Server(("127.0.0.1", port), _Handler)
        except OSError as error:
            raise UsageError(
                f"cannot listen on 127.0.0.1:{port}: {error.strerror or error}; choose another with --port"
            ) from error
        self._http.site = self
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """Address of the root, with a final slash."""
        return f"http://127.0.0.1:{self._http.server_address[1]}/"

    def start(self) -> SiteServer:
        self._thread.start()
        return self

    def close(self) -> None:
        """Stop serving and free the port. Safe to call twice."""
        if self._thread.is_alive():
            self._http.shutdown()
            self._thread.join()
        self._http.server_close()

    def serve_until_interrupted(self) -> None:
        """Serve in this thread until Ctrl-C."""
        try:
            self._http.serve_forever(0.2)
        except KeyboardInterrupt:
            pass
        finally:
            self._http.server_close()

    def __enter__(self) -> SiteServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def find(self, url_path: str) -> Path | None:
        """The file that a URL path names, or None; never one outside the mounted folder."""
        for prefix in sorted(self.mounts, key=len, reverse=True):
            root = self.mounts[prefix]
            if not prefix.endswith("/"):
                if url_path == prefix and root.is_file():
                    return root
                continue
            if not url_path.startswith(prefix):
                continue
            parts = PurePosixPath(url_path[len(prefix) :]).parts
            if ".." in parts or "/" in parts:
                return None
            path = root.joinpath(*parts)
            if path.is_dir():
                path = path / "index.html"
            if path.is_file() and path.resolve().is_relative_to(root):
                return path
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    site: SiteServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in the middle of an answer is no news; anything else is."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_POST(self) -> None:
        path = unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if path not in self.server.site.accepts:
            self._send(HTTPStatus.METHOD_NOT_ALLOWED, b"", ".txt")
            return
        self.server.site.posted[path] = body
        self._send(HTTPStatus.OK, b"{}", ".json")

    def _answer(self, *, with_body: bool) -> None:
        site = self.server.site
        path = unquote(urlsplit(self.path).path)
        site.requests[path] = site.requests.get(path, 0) + 1
        data = site.files.get(path)
        if data is not None:
            self._send(HTTPStatus.OK, data, PurePosixPath(path).suffix, with_body=with_body)
            return
        file = site.find(path)
        if file is None:
            message = json.dumps({"error": f"no file at {path}"}).encode()
            self._send(HTTPStatus.NOT_FOUND, message, ".json", with_body=with_body)
            return
        with file.open("rb") as stream:
            self._head(HTTPStatus.OK, file.stat().st_size, file.suffix)
            while with_body and (chunk := stream.read(_CHUNK_BYTES)):
                self.wfile.write(chunk)

    def _send(self, status: HTTPStatus, data: bytes | memoryview, suffix: str, *, with_body: bool = True) -> None:
        self._head(status, len(data), suffix)
        if with_body:
            self.wfile.write(data)

    def _head(self, status: HTTPStatus, byte_length: int, suffix: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", MIME_TYPES.get(suffix, "application/octet-stream"))
        self.send_header("Content-Length", str(byte_length))
        for name, value in self.server.site.headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        if not self.server.site.quiet:
            super().log_message(format, *args)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `webree serve`."""
    parser.add_argument("site", metavar="SITE", type=Path, help="folder to serve, as written by `webree bundle`")
    parser.add_argument("--port", type=int, default=8000, help="port on 127.0.0.1 (default 8000; 0 chooses a free one)")
    parser.add_argument("--verbose", action="store_true", help="print every request")


def run(arguments: argparse.Namespace) -> int:
    """Serve until Ctrl-C. Raises `UsageError` if the folder has no index.html or the port is taken."""
    site: Path = arguments.site
    if not (site / "index.html").is_file():
        raise UsageError(f"{site} holds no index.html; make a site with `webree bundle MODULE -o {site}`")
    server = SiteServer({"/": site}, port=arguments.port, quiet=not arguments.verbose)
    print(f"Serving {site} at {server.url} (Ctrl-C stops)", flush=True)
    server.serve_until_interrupted()
    return 0
