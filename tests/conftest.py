"""What every test stands on: two host devices, cached compilations, keys.

The device count and the cache are set through the environment, before JAX starts, so
that commands which a test starts in processes of their own see the same.
"""

import os
import signal
import zlib
from collections.abc import Iterator

os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"
).strip()

# Laws are held to what 32 bits allow; accelerators shorten the factors of products otherwise.
os.environ.setdefault("JAX_DEFAULT_MATMUL_PRECISION", "highest")

import hypothesis
import jax
import pytest

hypothesis.settings.register_profile("bayescmp", deadline=None, max_examples=25, derandomize=True)
hypothesis.settings.load_profile("bayescmp")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--key-seed``, which varies the keys that ``getkey`` hands out."""
    parser.addoption("--key-seed", type=int, default=0, help="varies every key of getkey")


def pytest_configure(config: pytest.Config) -> None:
    """Keep what JAX compiles between runs, and listen to Ctrl-C in the background too."""
    # A shell makes what it starts in the background deaf to it, and tests interrupt processes.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    folder = str(config.cache.mkdir("jax"))
    os.environ["JAX_COMPILATION_CACHE_DIR"] = folder
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def pytest_report_header(config: pytest.Config) -> str:
    """Print the seed, so that a failure under another one can be repeated."""
    return f"key seed: {config.getoption('--key-seed')}, devices: {jax.device_count()}"


@pytest.fixture
def getkey(request: pytest.FixtureRequest):
    """Return a function that makes a fresh typed key at each call, the same in every run."""
    seed = request.config.getoption("--key-seed")
    name = zlib.crc32(request.node.nodeid.encode())
    key = jax.random.fold_in(jax.random.key(seed), name)
    count = 0

    def fresh() -> jax.Array:
        nonlocal count
        count += 1
        return jax.random.fold_in(key, count)

    return fresh


@pytest.fixture(autouse=True, scope="module")
def _forget_compiled_programs() -> Iterator[None]:
    """Let go of what a module compiled: thousands of programs exhaust a process's mappings."""
    yield
    jax.clear_caches()
