//! Names for addresses of the kernel's code, from `/proc/kallsyms`, and stacks as psn shows them.
