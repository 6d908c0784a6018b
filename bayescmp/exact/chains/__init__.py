"""Filtering and smoothing of Markov chains."""
