"""Instruments that look inside a network, each with its controls, as groups of the results."""

from bayescmp.inspection.cross_network import compare_networks as compare_networks
from bayescmp.inspection.domain_restriction import compare_domains as compare_domains
from bayescmp.inspection.dynamics import dynamics_group as dynamics_group
from bayescmp.inspection.dynamics import follow_training as follow_training
from bayescmp.inspection.effect import Effect as Effect
from bayescmp.inspection.examine import INSTRUMENTS as INSTRUMENTS
from bayescmp.inspection.examine import examine as examine
from bayescmp.inspection.geometry import measure_geometry as measure_geometry
from bayescmp.inspection.geometry_tables import geometry_group as geometry_group
from bayescmp.inspection.gradients import check_gradients as check_gradients
from bayescmp.inspection.gradients import gradients_group as gradients_group
from bayescmp.inspection.history import over_checkpoints as over_checkpoints
from bayescmp.inspection.interventions import intervene as intervene
from bayescmp.inspection.interventions import interventions_group as interventions_group
from bayescmp.inspection.lenses import lenses_group as lenses_group
from bayescmp.inspection.lenses import read_lenses as read_lenses
from bayescmp.inspection.probes import fit_probes as fit_probes
from bayescmp.inspection.probes import probes_group as probes_group
from bayescmp.inspection.recording import Recording as Recording
from bayescmp.inspection.recording import record as record
from bayescmp.inspection.removal import remove_directions as remove_directions
from bayescmp.inspection.walkthrough import Walkthrough as Walkthrough
from bayescmp.inspection.walkthrough import walk_through as walk_through
from bayescmp.inspection.walkthrough import walkthrough_group as walkthrough_group
