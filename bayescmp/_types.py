"""Array types, with one glossary of the words that name their axes.

==================  ==========================================================
axis                what it counts
==================  ==========================================================
``sequence``        draws from the generative model
``position``        outcomes that are asked for, in the order of asking
``input_position``  tokens or vectors that the network reads
``source_position`` input positions that an input position attends to
``outcome``         values that the asked site can take
``state``           values that a latent site can take
``layer``           blocks of the network, or residual streams between them
``head``            attention heads
``feature``         components of a vector
==================  ==========================================================

A leading ``*sequence`` marks arrays that may carry any number of batch axes,
none for one example.
"""

from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

LogProbs = Float[Array, "*sequence outcome"]
"""Normalised log probabilities over outcomes, in nats; minus infinity is allowed."""

PerPosition = Float[Array, "*sequence position"]
"""One number for each asked outcome."""

Outcomes = Int[Array, "*sequence position"]
"""Asked outcomes as indices 0 .. num_outcomes - 1."""

Supervised = Bool[Array, "*sequence position"]
"""True where a question counts."""

Inputs = Int[Array, "*sequence input_position"] | Float[Array, "*sequence input_position feature"]
"""What a network reads: tokens, or vectors where a shown site is continuous."""

Key = PRNGKeyArray
"""A typed key, as ``jax.random.key`` makes it."""
