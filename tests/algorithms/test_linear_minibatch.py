from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tradewind.algorithms.linear.minibatch import Distinct


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_distinct_features_are_those_of_a_sort_batch_after_batch(data):
    features = data.draw(st.sampled_from([1, 63, 64, 65, 4096, 4097, 300_000]))
    distinct = Distinct(features)
    for _ in range(3):
        near = st.one_of(st.integers(0, features - 1), st.just(features - 1), st.just(0))
        indices = np.array(data.draw(st.lists(near, max_size=200)), np.int32)
        rows, local = distinct(indices)
        expected, places = np.unique(indices, return_inverse=True)
        np.testing.assert_array_equal(rows, expected)
        np.testing.assert_array_equal(local, places)
        assert rows.dtype == np.int64 and local.dtype == np.int32


def test_every_feature_at_once():
    indices = np.random.default_rng(7).permutation(1000).astype(np.int32)
    rows, local = Distinct(1000)(indices)
    np.testing.assert_array_equal(rows, np.arange(1000))
    np.testing.assert_array_equal(local, indices)
