"""Recurrences, filters and tables in plain NumPy: one sequence, one position at a time.

It imports nothing that it judges: weights are read off a network's fields.
"""

import itertools

import numpy as np


def double(array) -> np.ndarray:
    """Read an array in double precision."""
    return np.asarray(array, np.complex128 if np.iscomplexobj(array) else np.float64)


def logistic(x: np.ndarray) -> np.ndarray:
    """The logistic function."""
    return 1.0 / (1.0 + np.exp(-x))


def silu(x: np.ndarray) -> np.ndarray:
    """Hendrycks and Gimpel, arXiv 1606.08415."""
    return x * logistic(x)


def tanh_gelu(x: np.ndarray) -> np.ndarray:
    """Hendrycks and Gimpel, arXiv 1606.08415: the approximation by tanh."""
    return 0.5 * x * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (x + 0.044715 * x**3)))


def affine(layer, x: np.ndarray) -> np.ndarray:
    """A dense layer with or without a bias."""
    mapped = x @ double(layer.weight)
    return mapped if layer.bias is None else mapped + double(layer.bias)


# ---------------------------------------------------------------- recurrences


def lstm(mixer, x: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """Hochreiter and Schmidhuber with forget gates, gate by gate."""
    inward, across = double(mixer.input_weight), double(mixer.state_weight)
    bias = double(mixer.gate_bias)
    size = len(across)
    part = {name: slice(i * size, (i + 1) * size) for i, name in enumerate("ifgo")}
    hidden, cell, outputs = np.zeros(size), np.zeros(size), []
    for row in x:
        raw = {
            name: row @ inward[:, at] + hidden @ across[:, at] + bias[at]
            for name, at in part.items()
        }
        cell = logistic(raw["f"]) * cell + logistic(raw["i"]) * np.tanh(raw["g"])
        hidden = logistic(raw["o"]) * np.tanh(cell)
        outputs.append(affine(mixer.out, scale * hidden))
    return np.array(outputs)


def gru(mixer, x: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """Cho et al., first version, gate by gate."""
    inward, across = double(mixer.input_weight), double(mixer.state_weight)
    bias, reset_bias = double(mixer.gate_bias), double(mixer.reset_bias)
    size = len(across)
    at_r, at_z, at_n = (slice(i * size, (i + 1) * size) for i in range(3))
    hidden, outputs = np.zeros(size), []
    for row in x:
        r = logistic(row @ inward[:, at_r] + bias[at_r] + hidden @ across[:, at_r])
        z = logistic(row @ inward[:, at_z] + bias[at_z] + hidden @ across[:, at_z])
        past = r * (hidden @ across[:, at_n] + reset_bias)
        candidate = np.tanh(row @ inward[:, at_n] + bias[at_n] + past)
        hidden = z * hidden + (1.0 - z) * candidate
        outputs.append(affine(mixer.out, scale * hidden))
    return np.array(outputs)


def linear_ssm(mixer, x: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """Orvieto et al., state by state, as complex numbers."""
    size = len(mixer.rate)
    decay = np.exp(-np.exp(double(mixer.rate)) + 1j * double(mixer.phase))
    gain = np.sqrt(1.0 - np.abs(decay) ** 2)
    drive, leave = double(mixer.drive_weight), double(mixer.out.weight)
    enter = drive[:, :size] + 1j * drive[:, size:]
    leave = leave[:size] - 1j * leave[size:]
    state, outputs = np.zeros(size, complex), []
    for row in x:
        state = decay * state + gain * (row @ enter)
        output = scale * ((state @ leave).real + double(mixer.skip) * row)
        outputs.append(output if mixer.out.bias is None else output + double(mixer.out.bias))
    return np.array(outputs)


def selective_ssm(mixer, x: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """Gu and Dao, channel by channel and state by state."""
    raised = x @ double(mixer.inward)
    num_channels = raised.shape[1] // 2
    u = silu(depthwise(mixer.short, raised[:, :num_channels]) + double(mixer.short_bias))
    y = selective_states(mixer, u) + double(mixer.skip) * u
    return affine(mixer.out, scale * y * silu(raised[:, num_channels:]))


def selective_states(mixer, u: np.ndarray) -> np.ndarray:
    """What the states of each channel give."""
    rates, given = np.exp(double(mixer.log_rate)).T, np.zeros_like(u)
    step, enter, leave = selection(mixer, u)
    for channel, state_rates in enumerate(rates):
        for number, rate in enumerate(state_rates):
            state = 0.0
            for t in range(len(u)):
                here = step[t, channel]
                state = np.exp(-here * rate) * state + here * enter[t, number] * u[t, channel]
                given[t, channel] += leave[t, number] * state
    return given


def selection(mixer, u: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Step of each channel, entry and exit of each state, position by position."""
    rank, size = len(mixer.step_weight), len(mixer.log_rate)
    selected = u @ double(mixer.select)
    raw = selected[..., :rank] @ double(mixer.step_weight) + double(mixer.step_bias)
    entry, leave = selected[..., rank : rank + size], selected[..., rank + size :]
    return np.log1p(np.exp(raw)), entry, leave


# -------------------------------------------------------------------- windows


def depthwise(window, x: np.ndarray) -> np.ndarray:
    """Sum over the lags that exist, feature by feature."""
    weight, output = double(window.weight), np.zeros_like(x, float)
    for t in range(len(x)):
        for lag in range(min(len(weight), t + 1)):
            for feature in range(x.shape[1]):
                output[t, feature] += weight[lag, feature] * x[t - lag, feature]
    return output


def full(window, x: np.ndarray) -> np.ndarray:
    """Pad the prefix of each position by zeros, flatten it, and multiply."""
    width, num_inputs, num_outputs = window.weight.shape
    matrix = double(window.weight).reshape(width * num_inputs, num_outputs)
    outputs = []
    for t in range(len(x)):
        seen = [x[t - lag] if t >= lag else np.zeros(num_inputs) for lag in range(width)]
        outputs.append(np.concatenate(seen) @ matrix)
    return np.array(outputs)


def full_convolution(mixer, x: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """A matrix for each lag."""
    output = scale * full(mixer.filter, x)
    return output if mixer.bias is None else output + double(mixer.bias)


def depthwise_convolution(mixer, x: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """Filters, then a matrix."""
    return affine(mixer.out, scale * depthwise(mixer.filter, x))


def ngram(network, tokens: np.ndarray) -> np.ndarray:
    """Look runs up in a dictionary; the oldest token varies slowest."""
    padding, order = network.shape.input_size, network.config.order
    runs = itertools.product(range(padding + 1), repeat=order)
    table = dict(zip(runs, double(network.table), strict=True))
    padded = [padding] * (order - 1) + list(tokens)
    return np.array([table[tuple(padded[t : t + order])] for t in range(len(tokens))])


# --------------------------------------------------------------- hypernetwork


def hypernetwork(network, inputs: np.ndarray) -> np.ndarray:
    """Write the main network's weights anew for every position."""
    size, width = network.shape.input_size, network.config.main_size
    num_outcomes = network.shape.num_outcomes
    codes = np.eye(size)
    vectors = np.array([codes[x] if np.ndim(x) == 0 else x for x in inputs], np.float64)
    features = hypernetwork_features(network, vectors @ double(network.embedding))
    logits = []
    for t, x in enumerate(vectors):
        mean = features[:t].mean(axis=0) if t else np.zeros(features.shape[1])
        code = tanh_gelu(affine(network.lift, np.append(mean, 1.0 / (t + 1))))
        written = list(double(network.base) + code @ double(network.writer))
        first = np.reshape([written.pop(0) for _ in range(size * width)], (size, width))
        first_bias = np.array([written.pop(0) for _ in range(width)])
        second = [written.pop(0) for _ in range(width * num_outcomes)]
        hidden = tanh_gelu(x @ first + first_bias)
        logits.append(hidden @ np.reshape(second, (width, num_outcomes)) + np.array(written))
    return np.array(logits)


def hypernetwork_features(network, embedded: np.ndarray) -> np.ndarray:
    """What an MLP makes of the last inputs."""
    joined, mlp = full(network.join, embedded), network.features
    hidden = tanh_gelu(joined @ double(mlp.up) + double(mlp.up_bias))
    return hidden @ double(mlp.down) + double(mlp.down_bias)
