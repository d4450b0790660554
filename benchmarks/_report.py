"""What every benchmark prints: the machine, the versions, medians with spread."""

import platform
import statistics
from pathlib import Path


def processor() -> str:
    """Name the processor, with what matters to half precision."""
    cpuinfo = Path("/proc/cpuinfo")
    name, flags = platform.processor() or platform.machine(), ""
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
            if line.startswith("flags"):
                flags = line.partition(":")[2]
    extras = [x for x in ("amx_bf16", "avx512_bf16") if x in flags.split()]
    return f"{name} ({', '.join(extras) or 'no bf16 instructions'})"


def machine() -> str:
    """Describe processor, threads and versions in one line."""
    import numpy
    import sklearn
    import torch

    import skfsl

    parts = [
        processor(),
        f"{torch.get_num_threads()} threads",
        f"Python {platform.python_version()}",
        f"numpy {numpy.__version__}",
        f"scikit-learn {sklearn.__version__}",
        f"torch {torch.__version__}",
        f"skfsl {skfsl.__version__}",
    ]
    if torch.cuda.is_available():
        parts.insert(1, torch.cuda.get_device_name())
    return ", ".join(parts)


def spread(values: list[float]) -> str:
    """Show the median with the smallest and the largest value."""
    low, mid, high = min(values), statistics.median(values), max(values)
    return f"{mid:.3g} [{low:.3g}, {high:.3g}]"
