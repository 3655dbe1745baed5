"""Servers that benchmarks compare, each in a process of its own; `running` starts them."""
