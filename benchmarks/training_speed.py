"""Training and embedding speed against raw torch loops over staged tensors.

    python benchmarks/training_speed.py --data omniglot.npz

Both loops run the same network at the same precision and memory format, on the same
batches: Conv4 with channels_last and max-pool before ReLU. They take turns, and the
ratio is taken pair by pair.
"""

import argparse
import time

import numpy as np
import torch
from _report import machine, spread
from torch.nn import functional as F

from skfsl import SiameseTransformer
from skfsl.datasets import load_omniglot
from skfsl.encoders import Conv4
from skfsl.samplers import ClassBalancedSampler
from skfsl.siamese._device import resolve_device, training_dtype

N_WAY, N_SHOT = 60, 5


def raw_training(X, y, n_batches, dtype, device):
    """Train by a plain loop; answer images a second."""
    torch.manual_seed(0)
    net = Conv4().build(tuple(X.shape[1:])).to(device)
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3)
    sampler = ClassBalancedSampler(N_WAY, n_shot=N_SHOT, n_batches=n_batches).build(y)
    staged = torch.from_numpy(X).to(device)
    own = torch.arange(N_WAY, device=device).repeat_interleave(N_SHOT)
    start = time.perf_counter()
    for indices in sampler.epoch(np.random.RandomState(0)):
        x = staged[torch.from_numpy(indices).to(device)].float() / 255
        with torch.autocast(
            device.type, torch.bfloat16, enabled=dtype != torch.float32
        ):
            e = net(x)
        e = e.float()
        mu = e.view(N_WAY, N_SHOT, -1).mean(1)
        left_out = (N_SHOT * mu[own] - e) / (N_SHOT - 1)
        logits = -torch.cdist(e, mu).square()
        nearest = -(e - left_out).square().sum(1, keepdim=True)
        loss = F.cross_entropy(logits.scatter(1, own[:, None], nearest), own)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    loss.item()
    return n_batches * N_WAY * N_SHOT / (time.perf_counter() - start)


def our_training(X, y, n_batches, device):
    """Train the estimator; answer images a second of its epoch."""
    sampler = ClassBalancedSampler(N_WAY, n_shot=N_SHOT, n_batches=n_batches)
    siamese = SiameseTransformer(
        "conv4", sampler=sampler, max_epochs=1, validation_fraction=0, device=device,
        random_state=0,
    ).fit(X, y)  # fmt: skip
    return n_batches * N_WAY * N_SHOT / siamese.history_[0]["dur"], siamese


def raw_embedding(net, X, device, size):
    """Embed by a plain loop; answer images a second."""
    staged = torch.from_numpy(X)
    out = []
    start = time.perf_counter()
    with torch.inference_mode():
        for i in range(0, len(X), size):
            out.append(net(staged[i : i + size].to(device).float() / 255))
        torch.cat(out).cpu()
    return len(X) / (time.perf_counter() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--n-batches", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    device = resolve_device(args.device)
    X, y = load_omniglot(args.data, image_size=28, return_X_y=True)
    X = X[:, None]
    dtype = training_dtype("auto", device, Conv4().build((1, 28, 28)))
    print(machine())
    print(f"Conv4, 28x28, batches of {N_WAY} x {N_SHOT}, {dtype}, {device}")
    raw_training(X, y, 10, dtype, device)
    raw, ours = [], []
    for _ in range(args.repeats):
        raw.append(raw_training(X, y, args.n_batches, dtype, device))
        speed, siamese = our_training(X, y, args.n_batches, device)
        ours.append(speed)
    print(f"training, images/s: raw loop {spread(raw)}, skfsl {spread(ours)}")
    print(f"  ratio {spread([b / a for a, b in zip(raw, ours, strict=True)])}")

    queries = np.concatenate([X, X])[:20_000]
    net = siamese.net_.module_
    for size in (64, 256):
        raw_embedding(net, queries[:2000], device, size)
        raw, ours = [], []
        for _ in range(args.repeats):
            raw.append(raw_embedding(net, queries, device, size))
            start = time.perf_counter()
            siamese.transform(queries)
            ours.append(len(queries) / (time.perf_counter() - start))
        print(
            f"transform of 20,000, images/s: raw loop in batches of {size} "
            f"{spread(raw)}, skfsl {spread(ours)}"
        )
        print(f"  ratio {spread([b / a for a, b in zip(raw, ours, strict=True)])}")


if __name__ == "__main__":
    main()
