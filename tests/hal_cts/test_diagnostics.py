"""Error texts of shaders, from messages as naga and Tint write them."""

from __future__ import annotations

from webree.errors import StatusCode
from webree.hal_webgpu.diagnostics import numbered_lines, shader_error

SOURCE = "\n".join(f"line {number}" for number in range(1, 13))

NAGA = """Validation Error

Caused by:
  In wgpuDeviceCreateShaderModule, label = 'foo'

Shader 'foo' parsing error: the operand of the `*` operator must be a pointer
  ┌─ wgsl:10:13
  │
5 │   x[0] = y +* 2;
  │             ^^^ expression is not a pointer

"""


def test_naga_messages() -> None:
    error = shader_error("foo", SOURCE, NAGA)
    assert str(error) == (
        "the WebGPU driver rejects kernel 'foo' at WGSL line 10: Shader 'foo' parsing error: the operand of the `*` "
        "operator must be a pointer\n"
        "   7 | line 7\n   8 | line 8\n   9 | line 9\n> 10 | line 10\n  11 | line 11\n  12 | line 12"
    )
    assert error.status == StatusCode.INTERNAL


def test_tint_messages_come_with_their_line() -> None:
    text = str(shader_error("bar", SOURCE, "unresolved value 'y'", line=2))
    assert text.startswith(
        "the WebGPU driver rejects kernel 'bar' at WGSL line 2: unresolved value 'y'\n  1 | line 1\n> 2"
    )


def test_messages_without_a_line_have_no_excerpt() -> None:
    text = str(shader_error("baz", SOURCE, "Validation Error\n\nCaused by:\n  Unable to find entry point 'nope'"))
    assert text == "the WebGPU driver rejects kernel 'baz': Unable to find entry point 'nope'"


def test_excerpts_end_with_the_source() -> None:
    assert numbered_lines("a\nb", 1) == "> 1 | a\n  2 | b"
    assert numbered_lines("a\nb", 2) == "  1 | a\n> 2 | b"
