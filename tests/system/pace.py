"""How long is too long: limits of tests are seconds of a machine that has a core to spare; where it has none, they stretch.

Only limits behind which a test fails are taken from here, never how long a test waits for nothing to happen.
"""
import os

STRETCH_MAX = 10.0


def limit(seconds):
    """As much longer as programs now wait for a core (the load of the last minute over the cores)."""
    return seconds * min(STRETCH_MAX, max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)))
