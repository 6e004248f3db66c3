"""Figures over seeds, as summary.json has them."""

import numpy as np


def spread(values):
    """Returns the mean of one figure over seeds, with its standard deviation, None of a single seed."""
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"value": float(np.mean(values)), "sd": sd, "seeds": len(values)}
