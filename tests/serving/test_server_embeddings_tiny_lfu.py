"""W-TinyLFU: what it counts, and what a scan does to it."""

from tradewind.serving.server.embeddings.least_recent import LeastRecent
from tradewind.serving.server.embeddings.tiny_lfu import Sketch, TinyLfu


def test_a_scan_does_not_drive_out_what_is_asked_for_often():
    kept = {}
    for made in (LeastRecent, TinyLfu):
        policy = made(30)
        for turn in range(6000):
            # Half the requests go to 25 keys, the others to keys that come once.
            key = turn % 50 if turn % 2 else 1000 + turn
            if policy.touch(key) < 0:
                policy.admit(key)
        kept[made.name] = sum(policy.touch(key) >= 0 for key in range(1, 50, 2))
    # Fifty others come between two requests for one of them: more than are kept.
    assert kept["least_recent"] <= 15 and kept["tiny_lfu"] >= 24


def test_the_sketch_counts_and_forgets():
    sketch = Sketch(10)
    for _ in range(7):
        sketch.add(3)
    sketch.add(4)
    assert (sketch(3), sketch(4), sketch(5)) == (7, 1, 0)
    for _ in range(60):
        sketch.add(4)
    # At a hundred requests of ten places' worth every count is halved; a count stops at fifteen.
    assert sketch(4) == 15 and sketch(3) == 7
    for _ in range(32):
        sketch.add(4)
    assert sketch(3) == 3
