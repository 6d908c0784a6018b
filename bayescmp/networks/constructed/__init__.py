"""Networks whose weights are set by hand: belief propagation as a transformer."""

from bayescmp.networks.constructed.departures import Departure as Departure
from bayescmp.networks.constructed.departures import measure_departure as measure_departure
from bayescmp.networks.constructed.fitted_forms import fit_softplus as fit_softplus
from bayescmp.networks.constructed.fitted_forms import (
    fitted_message_passing as fitted_message_passing,
)
from bayescmp.networks.constructed.gates import build_gate as build_gate
from bayescmp.networks.constructed.gates import gate_rows as gate_rows
from bayescmp.networks.constructed.gates import gate_table as gate_table
from bayescmp.networks.constructed.gates import watch_gate as watch_gate
from bayescmp.networks.constructed.gathering import count_heads as count_heads
from bayescmp.networks.constructed.message_passing import message_passing as message_passing
from bayescmp.networks.constructed.published import (
    PublishedConstruction as PublishedConstruction,
)
from bayescmp.networks.constructed.published import (
    published_construction as published_construction,
)
from bayescmp.networks.constructed.published_tokens import REPAIRS as REPAIRS
from bayescmp.networks.constructed.reading import read_cavities as read_cavities
from bayescmp.networks.constructed.reading import read_messages as read_messages
from bayescmp.networks.constructed.stream_layout import StreamLayout as StreamLayout
