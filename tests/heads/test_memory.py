"""What heads take for all pairs: stated in their docstrings."""

import os
import subprocess
import sys

import pytest

# Peaks of the process, in MiB, over what two small steps take.
MEASURE = """
import resource, torch
from skfsl.heads import DenseSigmoidHead, LearnedNormsHead, MixedNormsHead

def step(part, n):
    head = part.build(512)
    a, b = (torch.randn(n, 512, requires_grad=True) for _ in range(2))
    head.scores(a, b).logsumexp(1).sum().backward()

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

parts = [
    (MixedNormsHead(), 64),
    (DenseSigmoidHead(), 512),
    (DenseSigmoidHead(non_negative=False), 512),
    (LearnedNormsHead(), 512),
]
for part, _ in parts:
    step(part, 4)
base = peak()
for part, n in parts:
    step(part, n)
    print(peak() - base)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux only")
def test_a_batch_of_512_stays_below_64_mib():
    # A tensor of all pairs and components has 512 MiB, the hidden layer of 64 mixed
    # ones 256.
    done = subprocess.run(
        [sys.executable, "-c", MEASURE],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    peaks = [float(line) for line in done.stdout.split()]
    assert len(peaks) == 4
    assert max(peaks) < 64
