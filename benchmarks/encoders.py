"""Speed of the encoders, beside the same networks as they stand in the papers.

    OMP_NUM_THREADS=1 python benchmarks/encoders.py

Each network is written a second time from plain layers of torch: convolution, batch
normalisation, activation, pooling, in that order and without channels_last. The two
take turns in training steps (forward and backward) and in inference. On CPUs the time
is that of the process, which other work on the machine disturbs less than the clock's.
"""

import argparse
import time
from itertools import pairwise

import torch
from _report import machine, spread
from torch import nn

from skfsl.encoders import Conv4, Darknet, ResNet, ResNet12


def layers(channels, width, size=3, stride=1, activation=None):
    """Convolution, normalisation and activation."""
    convolution = nn.Conv2d(
        channels, width, size, stride=stride, padding=size // 2, bias=False
    )
    found = [convolution, nn.BatchNorm2d(width)]
    return nn.Sequential(*found, *([] if activation is None else [activation]))


class Sum(nn.Module):
    """Two ways side by side, summed."""

    def __init__(self, one, other):
        super().__init__()
        self.one, self.other = one, other

    def forward(self, x):
        """Go both ways."""
        return self.one(x) + self.other(x)


def average():
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten()]


def plain_conv4(channels):
    blocks = []
    for c, w in pairwise((channels, 64, 64, 64, 64)):
        blocks += [*layers(c, w, activation=nn.ReLU()), nn.MaxPool2d(2)]
    return nn.Sequential(*blocks, nn.Flatten())


def plain_res_net(channels, widths, n, stem=None):
    found, c = [], channels
    if stem:
        found, c = [layers(c, stem, activation=nn.LeakyReLU(0.1))], stem
    for w in widths:
        inner = [
            layers(
                w if i else c, w, activation=nn.LeakyReLU(0.1) if i < n - 1 else None
            )
            for i in range(n)
        ]
        block = Sum(nn.Sequential(*inner), layers(c, w, 1))
        found += [block, nn.LeakyReLU(0.1), nn.MaxPool2d(2)]
        c = w
    return nn.Sequential(*found, *average())


def plain_darknet(channels, widths=(64, 128, 256), stem=32):
    def leaky(*sizes):
        return layers(*sizes, activation=nn.LeakyReLU(0.1))

    found = [leaky(channels, stem)]
    for c, w in pairwise((stem, *widths)):
        unit = nn.Sequential(leaky(w, w // 2, 1), leaky(w // 2, w, 3))
        found += [leaky(c, w, 3, 2), Sum(nn.Identity(), unit)]
    return nn.Sequential(*found, *average())


# encoder, its twin, images in a step of training
CASES = [
    (Conv4(), plain_conv4, 300),
    (Darknet(pooling="average"), plain_darknet, 300),
    (
        ResNet(pooling="average"),
        lambda c: plain_res_net(c, (64, 128, 256), 2, stem=64),
        100,
    ),
    (ResNet12(), lambda c: plain_res_net(c, (64, 160, 320, 640), 3), 50),
]


def measure(run, n_images, device, seconds):
    """Return images a second of a function, called for so many seconds."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    run()
    n, start = 0, clock()
    while clock() - start < seconds:
        run()
        n += 1
    return n * n_images / (clock() - start)


def training(net, x, dtype):
    net.train()

    def step():
        with torch.autocast(x.device.type, dtype, enabled=dtype != torch.float32):
            e = net(x)
        net.zero_grad()
        e.float().square().sum().backward()
        return e[0, 0].item()

    return step


def inference(net, x, dtype):
    net.eval()

    @torch.inference_mode()
    def step():
        with torch.autocast(x.device.type, dtype, enabled=dtype != torch.float32):
            return net(x)[0, 0].item()

    return step


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[28, 84])
    parser.add_argument("--seconds", type=float, default=1.0, help="of each figure")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    device = torch.device(args.device)
    print(machine())
    print("images/s: median [least, most]; x: times the speed of the plain twin")
    for part, twin, n in CASES:
        for size in args.sizes:
            shape = (1 if size < 64 else 3, size, size)
            ours, plain = part.build(shape).to(device), twin(shape[0]).to(device)
            n_weights = sum(p.numel() for p in ours.parameters())
            if n_weights != sum(p.numel() for p in plain.parameters()):
                raise ValueError(f"{part} and its twin are different networks.")
            # As many pixels in a step, and as the estimator takes at inference.
            few = max(4, n * 28 * 28 // size**2)
            batch = torch.rand(few, *shape, device=device)
            queries = torch.rand(max(4, 64 * 28 * 28 // size**2), *shape, device=device)
            print(f"{type(part).__name__}, {n_weights:,} weights, {shape}", flush=True)
            for dtype in (torch.float32, torch.bfloat16):
                for do, x in ((training, batch), (inference, queries)):
                    found = {ours: [], plain: []}
                    for _ in range(args.repeats):
                        for net, speeds in found.items():
                            run = do(net, x, dtype)
                            speeds.append(measure(run, len(x), device, args.seconds))
                    ratios = [a / b for a, b in zip(*found.values(), strict=True)]
                    print(
                        f"  {do.__name__:9s} {str(dtype)[6:]:8s} in batches of "
                        f"{len(x):3d}: {spread(found[ours])}, x {spread(ratios)}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
