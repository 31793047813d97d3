#!/usr/bin/env python3
"""The workloads of throughput.cc in PyTorch, eager, as one would write them by hand: fused kernels where PyTorch has
them (scaled_dot_product_attention, AdamW(fused=True)), the whole batch at once. Prints the same line of JSON.

    peer_pytorch.py [--model 10m|laptop] [--threads N] [--steps N] [--compile]
"""
import argparse
import json
import resource
import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn

WORKLOADS = {
    "10m": dict(vocab=8192, hidden=256, inter=688, layers=8, heads=8, tied=False, batch=4, length=512, lr=1e-3),
    "laptop": dict(vocab=4096, hidden=128, inter=352, layers=2, heads=2, tied=True, batch=8, length=128, lr=4e-3),
}


class Layer(nn.Module):
    def __init__(self, w):
        super().__init__()
        h, self.heads = w["hidden"], w["heads"]
        self.norm1, self.norm2 = nn.RMSNorm(h, eps=1e-6), nn.RMSNorm(h, eps=1e-6)
        self.q, self.k, self.v, self.o = (nn.Linear(h, h, bias=False) for _ in range(4))
        self.gate, self.up = (nn.Linear(h, w["inter"], bias=False) for _ in range(2))
        self.down = nn.Linear(w["inter"], h, bias=False)

    def forward(self, x, cos, sin):
        b, t, h = x.shape
        n = self.norm1(x)

        def heads(y):
            return y.view(b, t, self.heads, -1).transpose(1, 2)

        def rotate(y):
            first, second = y.chunk(2, -1)
            return y * cos + torch.cat((-second, first), -1) * sin

        a = F.scaled_dot_product_attention(rotate(heads(self.q(n))), rotate(heads(self.k(n))), heads(self.v(n)), is_causal=True)
        x = x + self.o(a.transpose(1, 2).reshape(b, t, h))
        n = self.norm2(x)
        return x + self.down(F.silu(self.gate(n)) * self.up(n))


class Model(nn.Module):
    def __init__(self, w):
        super().__init__()
        self.embed = nn.Embedding(w["vocab"], w["hidden"])
        self.layers = nn.ModuleList(Layer(w) for _ in range(w["layers"]))
        self.norm = nn.RMSNorm(w["hidden"], eps=1e-6)
        self.head = nn.Linear(w["hidden"], w["vocab"], bias=False)
        if w["tied"]:
            self.head.weight = self.embed.weight
        dim = w["hidden"] // w["heads"]
        angle = torch.outer(torch.arange(w["length"]).float(), 1 / 10000 ** (torch.arange(0, dim, 2).float() / dim))
        angle = torch.cat((angle, angle), -1)
        self.register_buffer("cos", angle.cos())
        self.register_buffer("sin", angle.sin())
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.normal_(p, std=0.02)

    def forward(self, ids, targets):
        x = self.embed(ids)
        for layer in self.layers:
            x = layer(x, self.cos, self.sin)
        return F.cross_entropy(self.head(self.norm(x)).flatten(0, 1), targets.flatten())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="10m", choices=WORKLOADS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    w = WORKLOADS[args.model]
    model = Model(w)
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW([dict(params=matrices, weight_decay=0.1), dict(params=vectors, weight_decay=0.0)], lr=w["lr"], betas=(0.9, 0.95), fused=True)
    loss_of = torch.compile(model) if args.compile else model
    seconds = []
    for step in range(2 + args.steps):
        if step == 2:
            cpu_start = time.process_time()
        ids = torch.randint(0, w["vocab"], (w["batch"], w["length"] + 1))
        start = time.perf_counter()
        loss = loss_of(ids[:, :-1], ids[:, 1:])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        value = loss.item()
        if step >= 2:
            seconds.append(time.perf_counter() - start)
    median = statistics.median(seconds)
    cpu_s = (time.process_time() - cpu_start) / args.steps
    print(json.dumps(dict(tok_s=w["batch"] * w["length"] / median, step_s=median, cpu_s=cpu_s, peak_rss_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, loss=value)))


if __name__ == "__main__":
    main()
