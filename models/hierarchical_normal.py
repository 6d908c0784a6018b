"""Groups whose means have a common mean: partial pooling, from no data to much."""

import numpyro
import numpyro.distributions as dist

from bayescmp.generative import GenerativeModel
from bayescmp.models.arguments import require_at_least, require_positive
from bayescmp.models.binning import normal_edges


def grouped_numbers(
    length: int, num_groups: int, common: float, between: float, within: float
) -> None:
    """Draw a common mean, a mean for each group, and numbers from groups that are shown."""
    mean = numpyro.sample("mean", dist.Normal(0.0, common))
    with numpyro.plate("each_group", num_groups):
        group_mean = numpyro.sample("group_mean", dist.Normal(mean, between))
    with numpyro.plate("position", length):
        group = numpyro.sample("group", dist.DiscreteUniform(0, num_groups - 1))
        numpyro.sample("y", dist.Normal(group_mean[group], within))


def hierarchical_normal(
    num_groups: int = 4,
    length: int = 24,
    common: float = 1.0,
    between: float = 0.5,
    within: float = 0.5,
    num_bins: int = 16,
) -> GenerativeModel:
    """Ask for the bin of the next number of a group, which borrows from the other groups.

    ``mean ~ N(0, common^2)``, ``group_mean_g ~ N(mean, between^2)``,
    ``y_t ~ N(group_mean_{group_t}, within^2)``. With ``n`` numbers of a group and the common
    mean known, the group's mean is expected at ``w ybar + (1 - w) mean`` where
    ``w = n between^2 / (n between^2 + within^2)``: pooled where data are few. Bins are
    equally likely before anything is shown.

    Source: Gelman, Carlin, Stern, Dunson, Vehtari and Rubin, "Bayesian Data Analysis",
    chapter on hierarchical models.

    Args:
        num_groups: Number of groups, at least one.
        length: Number of numbers in a sequence, at least one.
        common: Standard deviation of the common mean, in the unit of ``y``, positive.
        between: Standard deviation of group means around it, positive.
        within: Standard deviation of numbers around their group's mean, positive.
        num_bins: Number of bins of the outcome, at least two.

    Returns:
        The model.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> sorted(hierarchical_normal(num_groups=2, length=4).sites)
        ['group', 'group_mean', 'mean', 'y']
    """
    require_at_least("num_groups", num_groups, 1)
    for name, value in (("common", common), ("between", between), ("within", within)):
        require_positive(name, value)
    return GenerativeModel(
        grouped_numbers,
        outcome="y",
        query=("group",),
        length=length,
        edges=normal_edges(num_bins, common**2 + between**2 + within**2),
        arguments={
            "num_groups": num_groups,
            "common": float(common),
            "between": float(between),
            "within": float(within),
        },
        name=f"hierarchical normal, {num_groups} groups, {num_bins} bins",
    )
