"""The hot set: files that are mapped, and what is put into them."""

import numpy as np
import pytest

from tradewind.errors import Corrupt, Misuse
from tradewind.serving.server.embeddings.cached import CachedEmbeddings
from tradewind.serving.server.embeddings.hot_set import HotSet, most_asked, write_hot_set

WIDTH = 3


class Memory:
    """A table in memory."""

    width = WIDTH

    def __init__(self):
        self.reads = []

    def read(self, ids):
        self.reads.append(list(ids))
        return {key: np.full(WIDTH, key, np.float32) for key in ids}


def test_a_hot_set_is_mapped_and_never_asked_for(tmp_path):
    folder = tmp_path / "hot"
    write_hot_set(folder, [7, 3, 50], np.array([[7] * 3, [3] * 3, [50] * 3], np.float32))
    hot = HotSet.open(folder)
    assert isinstance(hot.vectors, np.memmap) and not hot.vectors.flags.writeable
    table = Memory()
    cached = CachedEmbeddings(table, 0, hot=hot)
    assert cached.vectors([3, 7, 50, 3, 4])[:, 0].tolist() == [3, 7, 50, 3, 4]
    assert table.reads == [[4]] and cached.hits == 3 and cached.hit_rate == 0.75
    with pytest.raises(Misuse, match="already"):
        write_hot_set(folder, [1], np.ones((1, 3), np.float32))
    with pytest.raises(Misuse, match="no hot set"):
        HotSet.open(tmp_path / "absent")
    np.save(folder / "ids.npy", np.array([3, 2, 1]))
    with pytest.raises(Corrupt, match="ascending"):
        HotSet.open(folder)
    (folder / "ids.npy").write_bytes(b"nothing")
    with pytest.raises(Corrupt):
        HotSet.open(folder)


def test_the_most_asked_are_by_count_then_by_id():
    assert most_asked(np.array([5, 5, 1, 2, 2, 9]), 3).tolist() == [1, 2, 5]
