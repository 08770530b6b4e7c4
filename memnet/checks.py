"""Arguments of public functions that are numbers: what is out of range, or no number, is refused in one sentence."""

from numbers import Integral, Real

import numpy as np


def number(name: str, value: object, low: float, high: float, *, whole: bool = False):
    """`value` as a number of Python; ValueError unless it is one, with `whole` a whole one, from `low` to `high`.

    Python's and NumPy's numbers are taken; True and False, texts, lists and arrays are not.
    """
    kind = Integral if whole else Real
    if isinstance(value, bool) or not isinstance(value, kind) or not low <= value <= high:
        wanted = "a whole number" if whole else "a number"
        raise ValueError(f"{name} is {wanted} from {low:g} to {high:g}, got {value!r:.80}")
    return value.item() if isinstance(value, np.generic) else value  # those of NumPy overflow
