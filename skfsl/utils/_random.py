"""Random state: everything from `random_state`, nothing from the global generators."""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sklearn.utils import check_random_state

if TYPE_CHECKING:
    import torch

__all__ = ["draw_seed", "seeded"]

# torch's generators belong to the process: two seeded blocks in two threads would
# draw from one another.
_LOCK = threading.RLock()


def draw_seed(random_state: object) -> int:
    """Draw a seed in [0, 2**31 - 1) from `random_state`."""
    return int(check_random_state(random_state).randint(2**31 - 1))


@contextmanager
def seeded(seed: int, device: "torch.device") -> Iterator[None]:
    """Run a block under generators of its own and put the user's back after it.

    The global generators of torch (the CPU's and `device`'s), NumPy and Python are
    seeded with `seed` on entry and have their former states after the block, also
    where it raises. Blocks of different threads run one after the other.

    Parameters
    ----------
    seed : int
        Seed of all the generators.
    device : torch.device
        The device whose generator is kept apart beside the CPU's.

    Yields
    ------
    None
    """
    import torch

    numpy_global = check_random_state(None)
    with _LOCK:
        python_state, numpy_state = random.getstate(), numpy_global.get_state()
        cpu_state = torch.get_rng_state()
        accelerator = {"cuda": torch.cuda, "mps": torch.mps}.get(device.type)
        where = (device,) if device.type == "cuda" else ()
        if accelerator is not None:
            accelerator_state = accelerator.get_rng_state(*where)
        try:
            random.seed(seed)
            numpy_global.seed(seed)
            # torch.manual_seed would seed every device of the machine.
            torch.default_generator.manual_seed(seed)
            if accelerator is torch.cuda:
                torch.cuda.default_generators[device.index or 0].manual_seed(seed)
            elif accelerator is not None:
                accelerator.manual_seed(seed)
            yield
        finally:
            random.setstate(python_state)
            numpy_global.set_state(numpy_state)
            torch.set_rng_state(cpu_state)
            if accelerator is not None:
                accelerator.set_rng_state(accelerator_state, *where)
