"""Inside the network: what each layer would answer, and where attention goes."""

from bayescmp.layers.lens import attention_entropy as attention_entropy
from bayescmp.layers.lens import logit_lens as logit_lens
from bayescmp.layers.streams import all_streams as all_streams
from bayescmp.layers.streams import stream_names as stream_names
