"""Optimisers from Optax, as frozen records that a report can print."""

from bayescmp.training.optimisers.adam import Adam, AdamW
from bayescmp.training.optimisers.groups import ParameterGroup as ParameterGroup
from bayescmp.training.optimisers.groups import name_parameters as name_parameters
from bayescmp.training.optimisers.lion import Lion
from bayescmp.training.optimisers.muon import Muon
from bayescmp.training.optimisers.optimiser import AbstractOptimiser as AbstractOptimiser
from bayescmp.training.optimisers.optimiser import rate as rate
from bayescmp.training.optimisers.schedule_free import ScheduleFree
from bayescmp.training.optimisers.schedules import Schedule as Schedule
from bayescmp.training.optimisers.sgd import SGD
from bayescmp.training.optimisers.timescales import two_timescale as two_timescale
from bayescmp.training.optimisers.timescales import (
    two_timescale_controls as two_timescale_controls,
)

Optimiser = SGD | Adam | AdamW | Lion | Muon | ScheduleFree
"""One of the toolkit's optimisers."""
