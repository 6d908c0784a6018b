"""Sums and messages over graphs of variables."""
