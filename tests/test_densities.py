"""Densities on the real line, against SciPy and quadrature."""

import math
from functools import cache, partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from bayescmp.networks.heads import (
    AbstractDensity,
    BinnedDensity,
    MixtureDensity,
)
from bayescmp.networks.heads.standard_laws import STANDARD_LAWS

# ---------------------------------------------------------------------- table

WEIGHTS, LOCATIONS, SCALES = (0.2, 0.5, 0.3), (-2.0, 0.5, 4.0), (0.3, 1.0, 2.5)
EDGES, PROBS = (-1.5, -0.2, 0.0, 2.0), (0.1, 0.3, 0.0, 0.2, 0.4)
SCIPY = {"normal": stats.norm, "logistic": stats.logistic}


def mixture(family: str, dtype=np.float64) -> MixtureDensity:
    parts = np.log(WEIGHTS), np.asarray(LOCATIONS), np.log(SCALES)
    return MixtureDensity(*(jnp.asarray(part, dtype) for part in parts), family)


def binned(dtype=np.float64) -> BinnedDensity:
    with np.errstate(divide="ignore"):
        return BinnedDensity(jnp.asarray(EDGES, dtype), jnp.log(jnp.asarray(PROBS, dtype)))


def single(dtype=np.float64) -> MixtureDensity:
    return MixtureDensity(*(jnp.zeros(1, dtype) for _ in range(3)))


DENSITIES = {
    "normal mixture": lambda dtype=np.float64: mixture("normal", dtype),
    "logistic mixture": lambda dtype=np.float64: mixture("logistic", dtype),
    "standard normal": single,
    "bins": binned,
}
EVERY_NAME = pytest.mark.parametrize("name", DENSITIES)
EVERY_DTYPE = pytest.mark.parametrize("dtype", [np.float32, np.float64])
GRID = np.array([-9.0, -4.0, -2.0, -1.5, -0.7, -0.2, -0.1, 0.0, 0.3, 1.1, 2.0, 3.7, 6.0, 12.0])
FAR = np.array([-1000.0, -300.0, -90.0, -75.0, -30.0, 30.0, 75.0, 80.0, 300.0, 2500.0])
EVEN = np.linspace(-60.0, 60.0, 1001)
SHARES = np.array([1e-12, 1e-4, 0.02, 0.1, 0.35, 0.5, 0.65, 0.93, 0.999])
NEAR_EDGES = np.array([-4.0, -1.7, -1.5, -0.1, 0.0, 1.0, 3.0, 9.0])
FAR_EDGES = np.array([-240.0, -239.0, 0.0, 75.0, 80.0, 81.0])


@pytest.fixture(autouse=True)
def _double_precision():
    with jax.enable_x64(True):
        yield


class Answers(NamedTuple):
    """What a density says at many numbers, with quantiles taken there and back."""

    log_prob: jax.Array
    log_cdf: jax.Array
    log_survival: jax.Array
    slope: jax.Array
    """Derivative of the distribution function."""
    quantile: jax.Array
    cdf_of_quantile: jax.Array
    quantile_of_cdf: jax.Array
    end_quantiles: jax.Array
    """At zero, one, and numbers that are no probabilities."""
    near_bins: jax.Array
    far_bins: jax.Array


@eqx.filter_jit
def compute(density: AbstractDensity, y: jax.Array) -> Answers:
    shares = jnp.asarray(SHARES, y.dtype)
    quantile = density.quantile(shares)
    _, slope = jax.jvp(density.cdf, (y,), (jnp.ones_like(y),))
    return Answers(
        density.log_prob(y),
        density.log_cdf(y),
        density.log_survival(y),
        slope,
        quantile,
        density.cdf(quantile),
        density.quantile(density.cdf(quantile)),
        density.quantile(jnp.asarray([0.0, 1.0, -0.1, 1.1, np.nan], y.dtype)),
        density.bin_log_probs(jnp.asarray(NEAR_EDGES, y.dtype)),
        density.bin_log_probs(jnp.asarray(FAR_EDGES, y.dtype)),
    )


NODES, NODE_WEIGHTS = np.polynomial.legendre.leggauss(24)
CUTS = np.unique([*GRID, *np.arange(-160.0, 161.0, 2.0)])
"""No edge of a bin lies inside a piece, and no piece is longer than two."""
INSIDE = (CUTS[1:, None] + CUTS[:-1, None] + np.diff(CUTS)[:, None] * NODES) / 2.0
PLACES = {
    "grid": GRID,
    "slopes": GRID + 0.01,
    "far": FAR,
    "even": EVEN,
    "pieces": INSIDE,
    "near edges": NEAR_EDGES,
    "far edges": FAR_EDGES,
}


@cache
def answers(name: str, dtype: type = np.float64) -> dict[str, Answers]:
    """Ask everything of one density in one compiled call; keep what it says place by place."""
    ends = np.cumsum([place.size for place in PLACES.values()])
    joined = np.concatenate([place.ravel() for place in PLACES.values()])
    with jax.enable_x64(True):
        found = compute(DENSITIES[name](dtype), jnp.asarray(joined, dtype))
    found = jax.tree.map(np.asarray, found)
    parts = [np.split(part, ends[:-1]) for part in found[:4]]
    return {
        place: Answers(*(part[k] for part in parts), *found[4:]) for k, place in enumerate(PLACES)
    }


def integrals(name: str, power: int = 0) -> np.ndarray:
    """Integrate ``y^power p(y)`` over each piece by the Gauss-Legendre rule."""
    density = np.exp(answers(name)["pieces"].log_prob.reshape(INSIDE.shape))
    return (INSIDE**power * density) @ NODE_WEIGHTS * np.diff(CUTS) / 2.0


# ------------------------------------------------------------------- the laws


@EVERY_NAME
def test_a_density_integrates_to_one_with_its_mean_and_variance(name: str):
    density = DENSITIES[name]()
    # Beyond 160 the widest tails, logistic of scale 2.5, hold exp(-62); a rule of 24 points
    # on pieces of at most 2 is exact to rounding for densities no narrower than 0.3.
    moments = [integrals(name, power).sum() for power in range(3)]
    np.testing.assert_allclose(moments[0], 1.0, rtol=1e-10)
    np.testing.assert_allclose(density.mean, moments[1], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(density.variance, moments[2] - moments[1] ** 2, rtol=1e-10)


@EVERY_NAME
def test_the_distribution_function_is_the_integral_of_the_density(name: str):
    pieces, on_grid = integrals(name), np.searchsorted(CUTS, GRID)
    below, above = np.cumsum(pieces), np.cumsum(pieces[::-1])[::-1]
    found = answers(name)["grid"]
    np.testing.assert_allclose(np.exp(found.log_cdf), below[on_grid - 1], rtol=1e-9)
    np.testing.assert_allclose(np.exp(found.log_survival), above[on_grid], rtol=1e-9)


@EVERY_NAME
def test_the_slope_of_the_distribution_function_is_the_density(name: str):
    found = answers(name)["slopes"]  # away from the edges, where slopes jump
    np.testing.assert_allclose(found.slope, np.exp(found.log_prob), rtol=1e-9)


@EVERY_NAME
@EVERY_DTYPE
def test_probabilities_rise_from_zero_to_one(name: str, dtype: type):
    found = answers(name, dtype)["even"]
    below, above = found.log_cdf, found.log_survival
    # Neighbours may be swapped by the rounding of logarithms of up to a thousand.
    slack = 4.0 * np.finfo(dtype).eps * np.abs(below).max()
    assert (np.diff(below) >= -slack).all()
    assert (np.diff(above) <= slack).all()
    assert all(part.dtype == dtype for part in found)
    whole = np.exp(below.astype(float)) + np.exp(above.astype(float))
    np.testing.assert_allclose(whole, 1.0, atol=20 * np.finfo(dtype).eps)
    assert np.exp(below[0]) < 1e-4 < 1.0 - 1e-4 < np.exp(below[-1])


@EVERY_NAME
@pytest.mark.parametrize(("dtype", "rtol"), [(np.float32, 2e-4), (np.float64, 1e-9)])
def test_quantiles_invert_the_distribution_function(name: str, dtype: type, rtol: float):
    found = answers(name, dtype)["grid"]
    assert (np.diff(found.quantile) > 0).all()
    # A number's rounding moves the probability by its density times eps |y|: in the tail of a
    # normal law that is eps z^2 of it, 49 eps at 1e-12; the sum's own rounding, 1e-16 or
    # 1e-7, counts most where little probability is left above, here 0.001.
    np.testing.assert_allclose(found.cdf_of_quantile, SHARES, rtol=rtol)
    back, there = found.quantile_of_cdf, found.quantile
    np.testing.assert_allclose(back, there, rtol=50 * rtol, atol=50 * rtol)


@EVERY_NAME
def test_quantiles_at_the_ends_and_beyond(name: str):
    found = answers(name)["grid"]
    np.testing.assert_array_equal(found.end_quantiles, [-np.inf, np.inf, np.nan, np.nan, np.nan])


# ------------------------------------------------------------------- gradients


@eqx.filter_jit
@partial(jax.grad, argnums=(0, 1))
def gradients(density: AbstractDensity, y: jax.Array) -> jax.Array:
    """Differentiate the sum of all answers that are finite."""
    told = density.log_prob(y), density.log_cdf(y), density.log_survival(y)
    finite = [jnp.where(jnp.isfinite(part), part, 0.0) for part in told]
    bins = density.bin_log_probs(jnp.asarray([-30.0, -3.0, 0.1, 0.2, 50.0], y.dtype))
    shares = jnp.asarray([1e-6, 0.1, 0.5, 0.9999], y.dtype)
    return sum(map(jnp.sum, finite)) + jnp.sum(bins) + jnp.sum(density.quantile(shares))


@EVERY_NAME
@EVERY_DTYPE
def test_gradients_are_finite_at_edges_and_far_out(name: str, dtype: type):
    # In float32, 1000 scales of 0.3 are a log density of -5e5, exact to an eighth.
    y = jnp.asarray([-300.0, -40.0, *EDGES, 0.5, 4.0, 40.0, 300.0], dtype)
    for leaf in jax.tree.leaves(gradients(DENSITIES[name](dtype), y)):
        assert np.isfinite(leaf).all(), leaf
        assert leaf.dtype == dtype


@EVERY_NAME
def test_gradients_equal_finite_differences(name: str):
    density, y = DENSITIES[name](), jnp.asarray(GRID[::3]) + 0.013
    edges, shares = jnp.asarray([-3.0, 0.1, 0.4, 5.0]), jnp.asarray([0.01, 0.3, 0.8])
    flat, unravel = jax.flatten_util.ravel_pytree(density)

    @jax.jit
    def total(flat: jax.Array) -> jax.Array:
        law = unravel(flat)
        field = "log_probs" if isinstance(law, BinnedDensity) else "log_weights"
        normalised = jax.nn.log_softmax(getattr(law, field))
        law = eqx.tree_at(lambda law: getattr(law, field), law, normalised)
        parts = law.log_prob(y), law.log_cdf(y), law.bin_log_probs(edges), law.quantile(shares)
        return sum(jnp.sum(jnp.sin(jnp.where(jnp.isfinite(part), part, 0.0))) for part in parts)

    kept = np.flatnonzero(np.isfinite(flat))  # a bin without probability stays without
    found = jax.jit(jax.grad(total))(flat)[kept]
    steps = 1e-5 * np.eye(flat.size)[kept]
    ends = jax.lax.map(total, jnp.concatenate([flat + steps, flat - steps])).reshape(2, -1)
    # Central differences: 1e-10 times third derivatives, and rounding over the step.
    np.testing.assert_allclose(found, (ends[0] - ends[1]) / 2e-5, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["normal mixture", "bins"])
def test_rows_equal_one_law_at_a_time(name: str):
    density, y = DENSITIES[name](), jnp.asarray([[-2.0, 0.7, 3.0], [0.0, 1.0, -8.0]])
    shifts = jnp.asarray([[0.0, 0.1, 0.2], [0.3, 0.4, 0.5]])

    def build(shift: jax.Array) -> AbstractDensity:
        rows = "log_probs" if name == "bins" else "log_weights"
        law = (
            density
            if name == "bins"
            else eqx.tree_at(
                lambda law: (law.locations, law.log_scales),
                density,
                (density.locations + shift[..., None], density.log_scales - shift[..., None]),
            )
        )
        moved = jax.nn.log_softmax(getattr(law, rows) * (1.0 + shift[..., None]))
        return eqx.tree_at(lambda law: getattr(law, rows), law, moved)

    @eqx.filter_jit
    def ask(law: AbstractDensity, y: jax.Array) -> list[jax.Array]:
        told = [law.log_prob(y), law.log_cdf(y), law.log_survival(y), law.mean, law.variance]
        return [*told, law.quantile(0.4 + 0.0 * y), law.bin_log_probs(jnp.asarray([-1.0, 0.0]))]

    together = ask(build(shifts), y)
    for index in np.ndindex(2, 3):
        for whole, part in zip(together, ask(build(shifts[index]), y[index]), strict=True):
            np.testing.assert_allclose(whole[index], part, rtol=1e-12)


# ---------------------------------------------------------------- known values


def test_known_values_of_the_standard_normal():
    told = answers("standard normal")
    at_zero, at_thirty = list(GRID).index(0.0), list(FAR).index(30.0)
    log_prob = told["grid"].log_prob[at_zero]
    np.testing.assert_allclose(log_prob, -0.5 * math.log(2 * math.pi), rtol=1e-15)
    np.testing.assert_allclose(told["grid"].quantile[2], -2.053748910631823, rtol=1e-14)  # of 0.02
    # Abramowitz and Stegun, table 26.2: -log10 Q(30) = 197.30921.
    survival = told["far"].log_survival[at_thirty] / math.log(10.0)
    np.testing.assert_allclose(survival, -197.30921, rtol=1e-8)


def test_known_values_of_bins():
    law = binned()
    y = jnp.array([-1.0, -0.1, 1.0, -1.5, -1.5 - 1.3, 2.0 + 3 * 2.0])
    # The widths are 1.3, 0.2 and 2; the second inner bin is empty; tails fall by e per width.
    expected = [0.3 / 1.3, 0.0, 0.1, 0.1 / 1.3, 0.1 / 1.3 / math.e, 0.2 * math.exp(-3.0)]
    np.testing.assert_allclose(jnp.exp(law.log_prob(y)), expected, rtol=1e-12)
    np.testing.assert_allclose(law.cdf(jnp.asarray(EDGES)), [0.1, 0.4, 0.4, 0.6], rtol=1e-12)
    np.testing.assert_allclose(law.log_survival(jnp.array(2.0 + 800.0)), math.log(0.4) - 400.0)
    np.testing.assert_allclose(law.log_cdf(jnp.array(-1.5 - 1300.0)), math.log(0.1) - 1000.0)
    shares = jnp.array([0.1 / math.e, 0.1, 0.25, 0.5, 1.0 - 0.4 * math.exp(-2.0)])
    np.testing.assert_allclose(law.quantile(shares), [-2.8, -1.5, -0.85, 1.0, 6.0], rtol=1e-12)


@pytest.mark.parametrize("family", SCIPY)
@pytest.mark.parametrize(("dtype", "rtol"), [(np.float32, 2e-6), (np.float64, 1e-11)])
def test_mixtures_equal_scipy_out_to_a_thousand_scales(family: str, dtype: type, rtol: float):
    law = SCIPY[family]
    for place, y in (("grid", GRID), ("far", FAR)):
        found = answers(f"{family} mixture", dtype)[place]
        z = (y.astype(dtype).astype(float)[:, None] - LOCATIONS) / np.asarray(SCALES)
        terms = law.logpdf(z) - np.log(SCALES), law.logcdf(z), law.logsf(z)
        for part, term in zip(found[:3], terms, strict=True):
            expected = special.logsumexp(term, axis=-1, b=WEIGHTS)
            # The rounding of z changes a log probability of -z^2 / 2 by twice as much; one
            # near zero is the log of a sum near one, good to its rounding.
            np.testing.assert_allclose(part, expected, rtol=rtol, atol=8 * np.finfo(dtype).eps)


# ------------------------------------------------------------------------ bins


@pytest.mark.parametrize("family", SCIPY)
@EVERY_DTYPE
def test_mass_of_intervals_of_any_width_anywhere(family: str, dtype: type):
    lows = np.array([-1e3, -50.0, -8.0, -1.0, -1e-4, 0.0, 0.3, 7.9, 40.0, 1e3], dtype)
    widths = np.array([1e-9, 1e-6, 3e-6, 1e-3, 4e-3, 6e-3, 0.02, 0.1, 1.0], dtype)
    lows, widths = (part.ravel() for part in np.meshgrid(lows, widths))
    # Further down exp(-z^2 / 2) falls too steeply for one rule of sixty points.
    lows, widths = lows[abs(lows * widths) < 99.0], widths[abs(lows * widths) < 99.0]
    found = jax.jit(STANDARD_LAWS[family].log_mass)(jnp.asarray(lows), jnp.asarray(widths))
    assert found.dtype == dtype
    lows, widths, eps = lows.astype(float), widths.astype(float), np.finfo(dtype).eps
    nodes, weights = np.polynomial.legendre.leggauss(60)
    inside = SCIPY[family].logpdf(lows[:, None] + widths[:, None] * (nodes + 1.0) / 2.0)
    expected = special.logsumexp(inside, axis=-1, b=weights / 2.0) + np.log(widths)
    # Where the two formulas meet at h = (eps |z|)^(1/3) the one errs by h^2 / 8 and the other
    # by eps |z| / h, about this much; and everywhere the result is rounded.
    meeting = 2.0 * (eps * np.maximum(1.0, np.abs(lows))) ** (2.0 / 3.0)
    assert (np.abs(found - expected) <= meeting + 4.0 * eps * np.abs(expected)).all()


@EVERY_NAME
def test_bins_are_differences_of_the_distribution_function(name: str):
    found = answers(name)["near edges"]
    bins, below = np.exp(found.near_bins), [0.0, *np.exp(found.log_cdf), 1.0]
    np.testing.assert_allclose(bins, np.diff(below), atol=1e-13)
    np.testing.assert_allclose(bins.sum(), 1.0, rtol=1e-12)


@EVERY_NAME
def test_bins_beyond_thirty_scales_keep_their_precision(name: str):
    found = answers(name)["far edges"]
    bins, above, below = found.far_bins, found.log_survival, found.log_cdf
    # log (S(a) - S(b)), which SciPy forms from logarithms.
    for k, most, least in ((4, above[3], above[4]), (5, above[4], above[5]), (1, *below[1::-1])):
        expected = special.logsumexp([most, least], b=[1.0, -1.0])
        np.testing.assert_allclose(bins[k], expected, rtol=1e-10)
    np.testing.assert_allclose([bins[0], bins[6]], [below[0], above[5]], rtol=1e-12)


def test_bins_asked_by_their_own_edges_are_themselves():
    law = binned()
    np.testing.assert_allclose(jnp.exp(law.bin_log_probs(law.edges)), PROBS, rtol=1e-12)


def test_a_component_a_million_scales_away_has_finite_gradients():
    edges = jnp.asarray([-1.0, 0.0, 1e-3, 1.0], jnp.float32)

    def loss(location: jax.Array, log_scale: jax.Array) -> jax.Array:
        law = MixtureDensity(jnp.zeros(1, jnp.float32), location[None], log_scale[None])
        return -jnp.sum(law.bin_log_probs(edges))

    both = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))
    for location, log_scale in ((0.0, -14.0), (50.0, -9.0), (0.3, 14.0), (1e6, 0.0)):
        value, slopes = both(*jnp.asarray([location, log_scale], jnp.float32))
        assert np.isfinite([value, *slopes]).all(), (location, log_scale, value, slopes)
