"""Use every local device: accelerators as they are, CPU cores as one device each."""

import os

import jax


def use_all_cores() -> None:
    """Give JAX one CPU device for each core, so that a sharded batch uses them all.

    XLA runs a training step inside a scan on one core; two host devices with half of
    the batch each make it nearly twice as fast. On a machine with an accelerator the
    setting concerns only the unused CPU backend.

    Call it before anything is computed. Later it has no effect, and neither has it
    where the number of devices was set by ``XLA_FLAGS`` or by JAX's own option.
    """
    if "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", ""):
        return
    if jax.config.jax_num_cpu_devices > 0:
        return
    try:
        jax.config.update("jax_num_cpu_devices", _num_cores())
    except RuntimeError:  # A backend is running already and keeps the devices it has.
        return


def _num_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
