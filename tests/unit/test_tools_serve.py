"""The local web server: headers, MIME types, and no way out of the folder."""

from __future__ import annotations

import argparse
import http.client
from collections.abc import Iterator
from pathlib import Path

import pytest

from webree.errors import UsageError
from webree.tools import serve
from webree.tools.serve import SiteServer


@pytest.fixture
def site(tmp_path: Path) -> Iterator[SiteServer]:
    root = tmp_path / "site"
    (root / "sub").mkdir(parents=True)
    (root / "index.html").write_text("<p>hello")
    (root / "code.wasm").write_bytes(b"\0asm" * 200_000)
    (root / "sub" / "index.html").write_text("<p>below")
    (tmp_path / "secret.txt").write_text("not served")
    (root / "link.txt").symlink_to(tmp_path / "secret.txt")
    with SiteServer({"/": root, "/single.js": root / "index.html"}) as server:
        yield server


def ask(
    site: SiteServer, path: str, method: str = "GET", body: bytes | None = None
) -> tuple[int, dict[str, str], bytes]:
    host, port = site.url.removeprefix("http://").rstrip("/").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, dict(response.headers), response.read()
    finally:
        connection.close()


def test_listens_on_this_machine_only(site: SiteServer) -> None:
    assert site.url.startswith("http://127.0.0.1:")


def test_pages_are_cross_origin_isolated(site: SiteServer) -> None:
    status, headers, body = ask(site, "/")
    assert (status, body) == (200, b"<p>hello")
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Type"] == "text/html; charset=utf-8"


def test_wasm_is_wasm_and_whole(site: SiteServer) -> None:
    status, headers, body = ask(site, "/code.wasm")
    assert (status, headers["Content-Type"], headers["Content-Length"]) == (200, "application/wasm", "800000")
    assert body == b"\0asm" * 200_000


def test_heads_have_no_body(site: SiteServer) -> None:
    status, headers, body = ask(site, "/code.wasm", "HEAD")
    assert (status, headers["Content-Length"], body) == (200, "800000", b"")


def test_folders_give_their_index_and_queries_do_not_matter(site: SiteServer) -> None:
    assert ask(site, "/sub")[2] == ask(site, "/sub/")[2] == ask(site, "/sub/index.html?x=1")[2] == b"<p>below"


def test_single_files_can_be_mounted(site: SiteServer) -> None:
    assert ask(site, "/single.js")[2] == b"<p>hello"


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/sub/../../secret.txt",
        "//etc/passwd",
        "/link.txt",
        "/missing",
        "/single.js/x",
    ],
)
def test_nothing_else_is_served(site: SiteServer, path: str) -> None:
    status, _, body = ask(site, path)
    assert status == 404
    assert b"not served" not in body


def test_posts_are_taken_where_they_are_expected(site: SiteServer) -> None:
    site.accepts.add("/result")
    assert ask(site, "/result", "POST", b"data")[0] == 200
    assert site.posted == {"/result": b"data"}
    assert ask(site, "/other", "POST", b"data")[0] == 405
    assert site.posted == {"/result": b"data"}


def test_memory_comes_before_folders(site: SiteServer) -> None:
    site.files["/index.html"] = b"from memory"
    assert ask(site, "/index.html")[2] == b"from memory"


def test_taken_ports_and_empty_folders_are_explained(site: SiteServer, tmp_path: Path) -> None:
    port = int(site.url.rstrip("/").rpartition(":")[2])
    with pytest.raises(UsageError, match=rf"cannot listen on 127\.0\.0\.1:{port}.*--port"):
        SiteServer({"/": tmp_path}, port=port)
    with pytest.raises(UsageError, match=r"holds no index\.html; make a site with `webree bundle"):
        serve.run(argparse.Namespace(site=tmp_path, port=0, verbose=False))
