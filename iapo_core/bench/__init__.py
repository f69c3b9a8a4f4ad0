"""Benchmarks: environments and algorithms by their spelling, cells of a sweep, and what the results say."""
