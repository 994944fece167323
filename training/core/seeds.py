"""Random numbers that follow from the place in a training alone, so that it resumes exactly."""

from random import Random

import numpy as np
import torch


def mixed_seed(*parts: int) -> int:
    """One 62-bit seed from several numbers, stable between runs and machines."""
    return int(np.random.SeedSequence([part % 2**32 for part in parts]).generate_state(1, np.uint64)[0] >> 2)


def seeded(*parts: int) -> Random:
    """A generator that follows from these numbers; torch's own global one is set by them too."""
    seed = mixed_seed(*parts)
    torch.manual_seed(seed)
    return Random(seed)
