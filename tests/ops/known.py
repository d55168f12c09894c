"""What is refused or wrong, by target or device, each with its reason; the tests hold these lists to be exact.

Names are those of the table, with `*` and `?` as wildcards and `{a,b}` for alternatives. A row that is refused or wrong
and not listed fails, and one that is listed and works fails too.
"""

from __future__ import annotations

import fnmatch
import re

__all__ = ["REFUSED", "WRONG", "reason"]

_EXPANSION = "MLIR writes the function out in others that do not know this limit"

# target -> names -> why the compiler refuses them.
REFUSED: dict[str, dict[str, str]] = {
    "webgpu": {
        "{mulsi,mului}_extended.i64": "128-bit products are not written out",
    },
    "cpu": {
        "{mulsi,mului}_extended.i64": "128-bit products need a function of the compiler's run-time library",
        "{cbrt,erf,erfc}.f64": "not lowered to wasm in 64 bits",
    },
}
# target or device -> names -> why results differ from the reference.
WRONG: dict[str, dict[str, str]] = {
    "webgpu": {
        "{maximumf,minimumf}.zeros.*": "WGSL's max and min do not say which zero they give",
        "{sin,cos,tan}.*.huge": "WGSL's functions are for moderate numbers",
        "cbrt.f32.edges": f"the root of infinity is NaN: {_EXPANSION}",
        "acosh.f32.edges": f"numbers out of the domain give numbers: {_EXPANSION}",
        "asinh.f32.edges": f"-inf gives NaN, and the square of large numbers is infinite: {_EXPANSION}",
        "atan2.f32.edges": f"zeros and infinities beside each other: {_EXPANSION}",
    },
    "lavapipe": {
        "{log,log2,log10,powf}.f32.edges": "lavapipe takes denormals for the smallest normal number",
        "acos.f32.edges": f"numbers out of the domain give numbers: {_EXPANSION}",
        "remf.f32.edges": "WGSL's remainder is a - b * trunc(a / b), where the quotient may be infinite",
        "sitofp.i1.*": "lavapipe makes -x of a choice between -1 and 0, which is -0",
    },
    "swiftshader": {
        "{log10,powf}.f32.edges": "logarithms of zero, of denormals and of negative numbers are some finite number",
    },
    "cpu": {
        "{sin,cos,tan}.*.huge": f"reduced by one product with 1/pi in f32: {_EXPANSION}",
        "{cbrt,log,log2,powf}.f32.edges": "denormals are taken for the smallest normal number; cbrt(inf) is NaN",
        "{asinh,acosh}.f32.edges": f"-inf gives NaN, and the square of large numbers is infinite: {_EXPANSION}",
        "atan2.f32.edges": f"zeros and infinities beside each other: {_EXPANSION}",
    },
}


def reason(listed: dict[str, str], name: str) -> str | None:
    """Why a row is listed, or None."""
    for names, why in listed.items():
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in _alternatives(names)):
            return why
    return None


def _alternatives(names: str) -> list[str]:
    found = re.search(r"\{([^{}]*)\}", names)
    if found is None:
        return [names]
    before, after = names[: found.start()], names[found.end() :]
    return [whole for part in found[1].split(",") for whole in _alternatives(before + part + after)]
