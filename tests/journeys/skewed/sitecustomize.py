"""Puts the clocks of every process that starts with this on its path wrong, by up to an hour."""

import os
import time


def _skew(read):
    return lambda: read() + (os.getpid() * 7919) % 7200 - 3600


for _name in ("time", "monotonic", "perf_counter"):
    setattr(time, _name, _skew(getattr(time, _name)))
