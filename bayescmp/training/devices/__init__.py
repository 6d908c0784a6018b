"""Devices and hosts that share the work of training."""
