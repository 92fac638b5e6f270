"""CPU time per request, JSON in and out: ours, MLServer, LitServe, KServe Python, BentoML and Ray Serve.

One row for a small network, so that what is left is the server. Counted is the CPU time, user and system, of
all of a server's processes while it answers (`server_process` says how); requests a second and latencies
stand beside it, but swing with whatever else the machine does. All servers are up through all rounds and
take turns; what they use when nobody asks is the last column. Servers share a core, the client has another,
and sends the same bytes over 16 kept connections: in a closed loop, then at random moments.

MLServer and KServe take the same body as ours. LitServe, BentoML and Ray Serve speak a shorter one of their
own, which is in their favour. Their lists add uvloop and httptools where a peer can use them and does not
ask for them. What is set for each is in `peers` and `peer_servers`. Every server's answer is checked first.
"""

from __future__ import annotations

from peers import json_request
from per_request import compare

if __name__ == "__main__":
    compare(
        "serving/overhead_json",
        __doc__ or "",
        ("mlserver", "litserve", "kserve", "bentoml", "ray"),
        json_request,
    )
