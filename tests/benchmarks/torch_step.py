"""The PyTorch half of training_step.py: for each line on standard input, time some steps.

    python torch_step.py "0.7 M" eager [cuda]

On ``cuda`` products are in bfloat16, as ours are on an accelerator. It answers each line, a
number of steps, with wall and processor seconds. It needs PyTorch only, so that an interpreter
without JAX can run it.
"""

import json
import os
import sys
import time

try:
    import torch
    from torch.nn import functional
except ImportError as error:
    sys.exit(f"no PyTorch in {sys.executable}: {error}")

from sizes import LENGTH, OUTCOMES, SIZES, VOCABULARY

SIZE = SIZES[sys.argv[1] if len(sys.argv) > 1 else "0.15 M"]
COMPILE = sys.argv[2:3] == ["compile"]
DEVICE = sys.argv[3] if len(sys.argv) > 3 else "cpu"
BATCH, WIDTH, HEADS = SIZE.batch_size, SIZE.model_size, SIZE.num_heads
HIDDEN, LAYERS = SIZE.mlp_size, SIZE.num_layers
ASKED = slice(0, LENGTH, 2)


class RMSNorm(torch.nn.Module):
    """Root mean square normalisation."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(WIDTH))

    def forward(self, x):
        return functional.rms_norm(x, (WIDTH,), self.scale, 1e-6)


class Block(torch.nn.Module):
    """Pre-norm attention and feed-forward part, with the biases that ours has."""

    def __init__(self):
        super().__init__()
        self.attn_norm, self.mlp_norm = RMSNorm(), RMSNorm()
        self.qkv = torch.nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.out = torch.nn.Linear(WIDTH, WIDTH, bias=False)
        self.up = torch.nn.Linear(WIDTH, HIDDEN)
        self.down = torch.nn.Linear(HIDDEN, WIDTH, bias=False)
        self.future = torch.ones(LENGTH, LENGTH, dtype=torch.bool).triu(1)

    def forward(self, x):
        qkv = self.qkv(self.attn_norm(x)).view(BATCH, LENGTH, 3, HEADS, -1)
        queries, keys, values = qkv.permute(2, 0, 3, 1, 4)
        # Two products were faster than scaled_dot_product_attention at this size.
        scores = queries @ keys.transpose(-1, -2) / (WIDTH / HEADS) ** 0.5
        mixed = scores.masked_fill(self.future, -torch.inf).softmax(-1) @ values
        x = x + self.out(mixed.transpose(1, 2).reshape(BATCH, LENGTH, WIDTH))
        return x + self.down(functional.gelu(self.up(self.mlp_norm(x)), approximate="tanh"))


class Transformer(torch.nn.Module):
    """The transformer of a default network."""

    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(VOCABULARY, WIDTH)
        self.positions = torch.nn.Parameter(0.5 * torch.randn(LENGTH, WIDTH))
        self.blocks = torch.nn.Sequential(*(Block() for _ in range(LAYERS)))
        self.final_norm = RMSNorm()
        self.unembedding = torch.nn.Linear(WIDTH, OUTCOMES, bias=False)

    def forward(self, tokens):
        stream = self.blocks(self.embedding(tokens) + self.positions)
        return self.unembedding(self.final_norm(stream))


def main() -> None:
    """Announce the set-up, then time steps on request."""
    torch.manual_seed(0)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.set_default_device(DEVICE)
    network = Transformer()
    optimiser = torch.optim.AdamW(network.parameters(), 1e-3, betas=(0.9, 0.99), fused=True)
    tokens = torch.randint(VOCABULARY, (BATCH, LENGTH))
    law = torch.rand(BATCH, len(range(LENGTH)[ASKED]), OUTCOMES).softmax(-1)

    forward = torch.compile(network) if COMPILE else network

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(DEVICE, torch.bfloat16, enabled=DEVICE == "cuda"):
            logits = forward(tokens)[:, ASKED].float()
        loss = functional.cross_entropy(logits.reshape(-1, OUTCOMES), law.reshape(-1, OUTCOMES))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()

    count = sum(parameter.numel() for parameter in network.parameters())
    about = {
        "torch": torch.__version__,
        "device": DEVICE,
        "threads": torch.get_num_threads(),
        "parameters": count,
        "tokens": BATCH * LENGTH,
    }
    print(json.dumps(about), flush=True)
    for line in sys.stdin:
        wall, processor = time.perf_counter(), time.process_time()
        for _ in range(int(line)):
            step()
        if DEVICE == "cuda":
            torch.cuda.synchronize()
        seconds = (time.perf_counter() - wall, time.process_time() - processor)
        print(json.dumps(seconds), flush=True)


if __name__ == "__main__":
    main()
