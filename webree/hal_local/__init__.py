"""The CPU device: WebAssembly kernels and VMVX programs, from pip alone. See docs/architecture.md."""
