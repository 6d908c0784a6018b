"""Inside the network, as pure functions on arrays."""

from bayescmp.layers.key_frame import mean_abs_cosine as mean_abs_cosine
from bayescmp.layers.key_frame import random_cosine as random_cosine
from bayescmp.layers.lens import attention_entropy as attention_entropy
from bayescmp.layers.lens import logit_lens as logit_lens
from bayescmp.layers.lens import read_streams as read_streams
from bayescmp.layers.lens import sublayer_lens as sublayer_lens
from bayescmp.layers.manifold import describe_manifold as describe_manifold
from bayescmp.layers.manifold import participation_ratio as participation_ratio
from bayescmp.layers.moments import Moments as Moments
from bayescmp.layers.moments import gather_moments as gather_moments
from bayescmp.layers.ridge import fit_ridge as fit_ridge
from bayescmp.layers.similarity import debiased_cka as debiased_cka
from bayescmp.layers.similarity import linear_cka as linear_cka
from bayescmp.layers.similarity import principal_directions as principal_directions
from bayescmp.layers.similarity import subspace_overlap as subspace_overlap
from bayescmp.layers.streams import all_streams as all_streams
from bayescmp.layers.streams import stream_names as stream_names
from bayescmp.layers.weight_distance import WeightDistance as WeightDistance
from bayescmp.layers.weight_distance import random_distances as random_distances
from bayescmp.layers.weight_distance import weight_distance as weight_distance
