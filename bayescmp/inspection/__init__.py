"""Instruments that look inside a network, each with its controls, as groups of the results."""

from bayescmp.inspection.recording import Recording as Recording
from bayescmp.inspection.recording import record as record
