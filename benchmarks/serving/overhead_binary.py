"""CPU time per request, binary tensors in and out: ours, and those peers that take them.

As `overhead_json`, with the Open Inference Protocol's binary tensors, the form in which Triton's client
sends by default. KServe takes them. MLServer is asked and refuses; the others do not speak the protocol.
"""

from __future__ import annotations

from peers import binary_request
from per_request import compare

if __name__ == "__main__":
    compare("serving/overhead_binary", __doc__ or "", ("mlserver", "kserve"), binary_request)
