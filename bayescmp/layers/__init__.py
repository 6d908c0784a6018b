"""Inside the network: what each layer would answer, and where attention goes."""

from bayescmp.layers.lens import attention_entropy as attention_entropy
from bayescmp.layers.lens import logit_lens as logit_lens
