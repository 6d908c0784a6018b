"""Bayes under another model: the wrong prior, the wrong parameters."""

import equinox as eqx

from bayescmp.generative import AbstractGenerativeModel
from bayescmp.layout import Layout
from bayescmp.oracle import AbstractOracle
from bayescmp.predictors.predictor import AbstractPredictor, Predictive
from bayescmp.program import Site
from bayescmp.records import Batch


class OtherOracle(AbstractPredictor):
    """Exact inference in a model that did not make the sequences.

    Both models show and ask the same sites, and may differ in everything else: the prior,
    the parameters, the latents. Where a sequence is impossible under the other model its
    posterior does not exist, and the answer is an error or NaN, as the other oracle gives it.

    Example:
        >>> fair, bent = (bc.models.beta_bernoulli(4, heads, 1.0) for heads in (1.0, 3.0))
        >>> rung = OtherOracle(bc.derive_oracle(bent), fair, name="bent prior")
        >>> batch = fair.batch_from_sites({"token": jnp.array([[1, 1, 1, 1]])})
        >>> np.exp(rung.log_predictive(batch)[0, :, 1]).round(3)
        array([0.75 , 0.8  , 0.833, 0.857], dtype=float32)
    """

    oracle: AbstractOracle
    """Oracle of the other model."""
    model: AbstractGenerativeModel
    """Model of the sequences."""
    name: str = eqx.field(static=True)

    def __init__(
        self, oracle: AbstractOracle, model: AbstractGenerativeModel, *, name: str | None = None
    ) -> None:
        """Ask another model's oracle about a model's sequences.

        Args:
            oracle: Oracle of the other model.
            model: Model of the sequences.
            name: Name in tables; "Bayes under" and the other model's name by default.

        Raises:
            ValueError: If the two models do not show and ask the same sites.
        """
        ours, theirs = (_describe(layout) for layout in (model.layout, oracle.model.layout))
        for part, value in ours.items():
            if theirs[part] != value:
                raise ValueError(
                    f"oracle: expected one whose {part} is {value}, as in {model.title()}, got "
                    f"{theirs[part]}"
                )
        self.oracle = oracle
        self.model = model
        self.name = name or f"Bayes under {oracle.model.title()}"

    def log_predictive(self, batch: Batch) -> Predictive:
        """Answer the other model's questions about the same values."""
        theirs = self.oracle.model.batch_from_sites(self.model.engine_sites(batch))
        theirs = eqx.tree_at(lambda b: b.supervised, theirs, batch.supervised)
        return self.oracle(theirs).log_predictive


def _describe(layout: Layout) -> dict[str, object]:
    """Return what two layouts must share, part by part."""
    return {
        "asked site": _site(layout.outcome),
        "sites in the prompt": [_site(site) for site in layout.given],
        "sites shown before a question": [_site(site) for site in layout.query],
        "reveal": layout.reveal,
        "edges": layout.edges,
    }


def _site(site: Site) -> str:
    """Describe a site's values in a few words."""
    if site.num_values is None:
        return f"{site.name}{list(site.shape)}, continuous"
    highest = site.lowest + site.num_values - 1
    return f"{site.name}{list(site.shape)} from {site.lowest} to {highest}"
