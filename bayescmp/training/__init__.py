"""Training: objectives, optimisers, the compiled loop, checkpoints and devices."""

from bayescmp.training.devices import use_all_cores as use_all_cores
from bayescmp.training.loop import Fit as Fit
from bayescmp.training.loop import Training as Training
from bayescmp.training.loop import TrainingDivergedError as TrainingDivergedError
from bayescmp.training.loop import fit as fit
from bayescmp.training.optimisers import AdamW as AdamW
from bayescmp.training.optimisers import Muon as Muon
