"""Code generation for the CPU: WebAssembly libraries, made by the compiler's own LLVM and linker and repaired here.

Enters: flags of a compile, and finished libraries. Leaves: the linker to use, and libraries that every WebAssembly
engine accepts. webree.codegen_cpu.schedules chooses how kernels are laid out and tiled before.
"""
