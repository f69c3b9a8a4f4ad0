"""Timings beside plain references; run by hand."""
