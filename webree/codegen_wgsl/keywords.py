"""Words that WGSL keeps for itself: keywords, reserved words, and the predeclared names that our code relies on.

A name may legally shadow a predeclared type or function, but the shadowed one would then be out of reach.
Spec: https://www.w3.org/TR/WGSL/#keyword-summary, #reserved-words, #predeclared
"""

from __future__ import annotations

__all__ = ["TAKEN"]

_KEYWORDS = """
alias break case const const_assert continue continuing default diagnostic discard else enable false fn for if let loop
override requires return struct switch true var while
"""

_RESERVED = """
NULL Self abstract active alignas alignof as asm asm_fragment async attribute auto await become cast catch class
co_await co_return co_yield coherent column_major common compile compile_fragment concept const_cast consteval
constexpr constinit crate debugger decltype delete demote demote_to_helper do dynamic_cast enum explicit export extends
extern external fallthrough filter final finally friend from fxgroup get goto groupshared highp impl implements import
inline instanceof interface layout lowp macro macro_rules match mediump meta mod module move mut mutable namespace new
nil noexcept noinline nointerpolation non_coherent noncoherent noperspective null nullptr of operator package
packoffset partition pass patch pixelfragment precise precision premerge priv protected pub public readonly ref
regardless register reinterpret_cast require resource restrict self set shared sizeof smooth snorm static static_assert
static_cast std subroutine super target template this thread_local throw trait try type typedef typeid typename typeof
union unless unorm unsafe unsized use using varying virtual volatile wgsl where with writeonly yield
"""

_PREDECLARED = """
array atomic bool f16 f32 i32 mat2x2 mat3x3 mat4x4 ptr u32 vec2 vec3 vec4 read read_write write function private
storage uniform workgroup abs acos acosh all any arrayLength asin asinh atan atan2 atanh bitcast ceil clamp cos cosh
countLeadingZeros countOneBits countTrailingZeros cross degrees distance dot dot4I8Packed dot4U8Packed exp exp2
extractBits faceForward firstLeadingBit firstTrailingBit floor fma fract frexp insertBits inverseSqrt ldexp length log
log2 max min mix modf normalize pow quantizeToF16 radians reflect refract reverseBits round saturate select sign sin
sinh smoothstep sqrt step storageBarrier tan tanh transpose trunc unpack2x16float pack2x16float workgroupBarrier
workgroupUniformLoad
"""

TAKEN = frozenset((_KEYWORDS + _RESERVED + _PREDECLARED).split())
