"""JavaScript values in Python and back: byte sources, typed arrays, fetching, waits."""

from __future__ import annotations

import numpy as np
import pytest

from webree.errors import InvocationError, ModuleError, StatusCode
from webree.tools.browser_session import BrowserError, BrowserSession

pytestmark = pytest.mark.browser

ELEMENTS = {
    "int8": np.array([-128, 127], np.int8),
    "uint8": np.array([0, 255], np.uint8),
    "int16": np.array([-32768, 32767], np.int16),
    "uint16": np.array([1, 65535], np.uint16),
    "int32": np.array([-(2**31), 2**31 - 1], np.int32),
    "uint32": np.array([0, 2**32 - 1], np.uint32),
    "int64": np.array([-(2**63), 2**63 - 1], np.int64),
    "uint64": np.array([0, 2**64 - 1], np.uint64),
    "float32": np.array([1.5, -np.inf], np.float32),
    "float64": np.array([1e300, 5e-324], np.float64),
}


@pytest.mark.parametrize("dtype", ELEMENTS)
def test_typed_arrays_keep_type_and_bits(session: BrowserSession, dtype: str) -> None:
    code = """
from webree.browser.values import from_js, is_js_array, typed_array
source, name, count = from_js(x)
(is_js_array(x), is_js_array(1), is_js_array([]), name, count, typed_array(source, name))
"""
    is_array, *are_arrays, name, count, back = session.run(code, x=ELEMENTS[dtype])
    assert is_array
    assert are_arrays == [False, False]
    assert (name, count) == (dtype, 2)
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, ELEMENTS[dtype])


def test_plain_values_cross_both_ways(session: BrowserSession) -> None:
    values = [None, True, -1, 2**40, 1.5, "text", [1, [2]], {"a": {"b": [None, False]}}]
    for value in values:
        assert session.run("value", value=value) == value
        assert session.run("value is None", value=value) is (value is None)


def test_slices_of_a_js_source_are_views_and_reads_are_counted(session: BrowserSession) -> None:
    data = np.random.default_rng().integers(0, 256, 1000, dtype=np.uint8)
    code = """
from webree.browser.values import JsByteSource, from_js
source = from_js(x)[0]
before = JsByteSource.read_bytes
part = source.slice(100, 500).slice(50, 100)
shared = part.js_bytes.buffer == source.js_bytes.buffer
copied = bytes(part.read(10, 5))
(part.size, shared, copied, JsByteSource.read_bytes - before)
"""
    size, shared, copied, read_bytes = session.run(code, x=data)
    assert size == 100
    assert shared
    assert bytes(copied) == data[160:165].tobytes()
    assert read_bytes == 5


@pytest.mark.parametrize(("offset", "length"), [(-1, 1), (0, 9), (8, 1), (3, -1)])
def test_ranges_outside_a_source_are_refused(session: BrowserSession, offset: int, length: int) -> None:
    for use in ("read", "slice"):
        code = f"""
from webree.browser.values import from_js
from_js(x)[0].{use}(offset, length)
"""
        with pytest.raises(
            BrowserError, match=rf"IndexError: bytes {offset}\.\.{offset + length} lie outside a source of 8"
        ):
            session.run(code, x=bytes(8), offset=offset, length=length)


def test_blob_is_read_by_ranges(session: BrowserSession) -> None:
    code = """
import js
from webree.browser.values import BlobSource, plain
blob = BlobSource(js.Blob.new(plain([x])))
(blob.size, bytes(blob.read(2, 3)), bytes(blob.slice(4, 4).read(1, 2)))
"""
    size, first, second = session.run(code, x=bytes(range(10)))
    assert (size, bytes(first), bytes(second)) == (10, b"\2\3\4", b"\5\6")


def test_fetch_keeps_bytes_in_javascript_and_tells_progress(session: BrowserSession) -> None:
    data = np.random.default_rng().integers(0, 256, 3_000_000, dtype=np.uint8).tobytes()
    url = session.serve("data.bin", data)
    code = """
import js
from webree.browser.promises import fetch
from webree.browser.values import JsByteSource
from webree.waiting import run_async
before, seen = JsByteSource.read_bytes, []
source = await run_async(fetch(url, lambda *progress: seen.append(progress)))
digest = js.Uint8Array.new(await js.crypto.subtle.digest("SHA-256", source.js_bytes)).to_bytes()
(source.size, seen[-1], all(a <= b for a, b in zip(seen, seen[1:])), digest.hex(), JsByteSource.read_bytes - before)
"""
    import hashlib

    assert session.run(code, url=url) == [
        len(data),
        [len(data), len(data)],
        True,
        hashlib.sha256(data).hexdigest(),
        0,
    ]


@pytest.mark.parametrize(
    ("url", "reason"),
    [("missing.vmfb", "the server answered 404"), ("http://127.0.0.1:9/x", "Failed to fetch")],
)
def test_fetch_says_what_went_wrong(session: BrowserSession, url: str, reason: str) -> None:
    url = url if "://" in url else session.server.url + url
    code = """
from webree.browser.promises import fetch
from webree.waiting import run_async
await run_async(fetch(url))
"""
    with pytest.raises(ModuleError) as caught:
        session.run(code, url=url)
    assert f"cannot fetch {url}: {reason}" in str(caught.value)
    assert caught.value.status == StatusCode.NOT_FOUND


def test_waits_block_through_jspi(session: BrowserSession) -> None:
    code = """
import js
from webree.browser.promises import PromiseWait
blocked = PromiseWait(js.Promise.resolve(7), lambda value: value + 1).block()
awaited = await PromiseWait(js.Promise.resolve(7), lambda value: value + 1).wait()
(blocked, awaited)
"""
    assert session.run(code) == [8, 8]


def test_rejections_become_errors(session: BrowserSession) -> None:
    code = """
import js
from webree.browser.promises import PromiseWait
from webree.errors import InvocationError
await PromiseWait(js.Promise.reject(js.Error.new("no such thing")), failed=InvocationError).wait()
"""
    with pytest.raises(InvocationError, match="no such thing"):
        session.run(code)
