"""The kernels that the conformance cases dispatch.

Enters: nothing. Leaves: for each name an executable file. `executables()` serialises them; where the package
`flatbuffers` is missing (Pyodide), the bytes are made outside and handed to `provide`.
"""

from __future__ import annotations

from collections.abc import Mapping

from webree.module.executable import ExecutableExport, ExecutableFile, ShaderModule

READ, WRITE, READ_THEN_SHARED = 1, 0, 3
"""Binding flags: declared `read`; written; only read, but declared `read_write` (it may share a buffer)."""


def _word(index: int, access: str) -> str:
    return f"@group(0) @binding({index}) var<storage, {access}> b{index}: array<u32>;\n"


def _constants(vectors: int) -> str:
    return f"@group(1) @binding(0) var<uniform> constants: array<vec4<u32>, {vectors}>;\n"


_ID = "@builtin(global_invocation_id) id: vec3<u32>"

AFFINE = (
    _word(0, "read")
    + _word(1, "read_write")
    + _constants(1)
    + f"""@compute @workgroup_size(64)
fn affine({_ID}) {{
  if (id.x < constants[0].z) {{
    b1[id.x] = b0[id.x] * constants[0].x + constants[0].y;
  }}
}}
"""
)
"""b1[i] = b0[i] * constants[0] + constants[1] for i < constants[2]."""

NEGATE = (
    _word(0, "read_write")
    + _word(1, "read")
    + f"""@compute @workgroup_size(64)
fn negate({_ID}) {{
  if (id.x < min(arrayLength(&b0), arrayLength(&b1))) {{
    b0[id.x] = ~b1[id.x];
  }}
}}
"""
)
"""b0[i] = ~b1[i]: the written binding comes first."""

MIX = (
    _word(0, "read_write")
    + _word(1, "read_write")
    + f"""@compute @workgroup_size(64)
fn mix_into({_ID}) {{
  if (id.x < min(arrayLength(&b0), arrayLength(&b1))) {{
    b1[id.x] = b0[id.x] * 3u + b1[id.x];
  }}
}}
"""
)
"""b1[i] = b0[i] * 3 + b1[i]; binding 0 is only read, but may share a buffer with binding 1."""

TAIL = """@group(0) @binding(0) var<storage, read> b0: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> b1: array<u32>;
@group(1) @binding(0) var<uniform> constants: array<vec4<u32>, 1>;
@compute @workgroup_size(1)
fn tail() {
  for (var i = 0u; i < constants[0].x; i++) {
    b1[i] = b0[i / 4u][i % 4u];
  }
}
"""
"""b1 = the first constants[0] words of b0, read through a vec4 view."""

COUNT = (
    "@group(0) @binding(0) var<storage, read_write> b0: array<atomic<u32>>;\n"
    + """@compute @workgroup_size(1)
fn count() {
  atomicAdd(&b0[0], 1u);
}
"""
)
"""Adds the number of workgroups to b0[0]."""

F16 = """enable f16;
@group(0) @binding(0) var<storage, read_write> b0: array<vec2<f16>>;
@compute @workgroup_size(1)
fn double_f16(@builtin(global_invocation_id) id: vec3<u32>) {
  b0[id.x] = b0[id.x] * 2h;
}
"""

BAD_LINE = 4
BAD = """@group(0) @binding(0) var<storage, read_write> b0: array<u32>;
@compute @workgroup_size(1)
fn broken() {
  b0[0] = 1.5 + undefined_name;
}
"""


def _sum(binding_count: int) -> str:
    """The last binding's word i becomes the sum of all bindings' words i (its own included)."""
    last = binding_count - 1
    declarations = "".join(_word(i, "read_write" if i == last else "read") for i in range(binding_count))
    terms = " + ".join(f"b{i}[id.x]" for i in range(binding_count))
    body = f"  b{last}[id.x] = {terms};\n" if binding_count else ""
    return f"{declarations}@compute @workgroup_size(1)\nfn sum{binding_count}({_ID}) {{\n{body}}}\n"


def _echo(constant_count: int) -> str:
    """Writes every push constant to b0."""
    vectors = -(-constant_count // 4)
    declaration = _constants(vectors) if constant_count else ""
    lines = "".join(f"  b0[{k}] = constants[{k // 4}][{k % 4}];\n" for k in range(constant_count))
    body = lines or "  b0[0] = 77u;\n"
    head = _word(0, "read_write") + declaration
    return f"{head}@compute @workgroup_size(1)\nfn echo{constant_count}() {{\n{body}}}\n"


ECHO_COUNTS = (0, 1, 3, 4, 5, 16, 64, 65, 130)
BINDING_COUNTS = range(9)


def _file(
    name: str, wgsl: str, flags: tuple[int, ...], constant_count: int = 0, size: int = 1, **fields: object
) -> ExecutableFile:
    export = ExecutableExport(f"{name}$dispatch", name, 0, (size, 1, 1), constant_count, flags, flops=10, byte_count=20)
    return ExecutableFile((export,), (ShaderModule.from_text(wgsl),), **fields)  # type: ignore[arg-type]


def files() -> dict[str, ExecutableFile]:
    """All kernels by name; each file's only export is `<name>$dispatch`."""
    found = {
        "affine": _file("affine", AFFINE, (READ, WRITE), 3, 64),
        "negate": _file("negate", NEGATE, (WRITE, READ), 0, 64),
        "mix_into": _file("mix_into", MIX, (READ_THEN_SHARED, WRITE), 0, 64),
        "mix_written": _file("mix_into", MIX, (WRITE, WRITE), 0, 64),
        "tail": _file("tail", TAIL, (READ, WRITE), 1),
        "count": _file("count", COUNT, (WRITE,)),
        "double_f16": _file("double_f16", F16, (WRITE,), required_features=("shader-f16",)),
        "broken": _file("broken", BAD, (WRITE,)),
        "hungry": _file(
            "count",
            COUNT,
            (WRITE,),
            profile="giant",
            required_limits=(("max_compute_invocations_per_workgroup", 1 << 20),),
        ),
        "featured": _file("count", COUNT, (WRITE,), required_features=("time-travel",)),
        "wide": _file("count", COUNT, (WRITE,), 0, 1 << 20),
    }
    for n in BINDING_COUNTS:
        found[f"sum{n}"] = _file(f"sum{n}", _sum(n), (READ,) * (n - 1) + (WRITE,) * min(n, 1))
    for n in ECHO_COUNTS:
        found[f"echo{n}"] = _file(f"echo{n}", _echo(n), (WRITE,), n)
    return found


_bytes: dict[str, bytes] = {}


def provide(executables: Mapping[str, bytes]) -> None:
    """Use these bytes instead of serialising here."""
    _bytes.update(executables)


def executables() -> dict[str, bytes]:
    """The bytes of every kernel's executable."""
    if not _bytes:
        from webree.module.executable import write_executable

        _bytes.update({name: write_executable(file) for name, file in files().items()})
    return _bytes
