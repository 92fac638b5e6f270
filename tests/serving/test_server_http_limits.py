"""What one client may take."""

import pytest

from tradewind.errors import Misuse
from tradewind.serving.server.http.limits import Limits


@pytest.mark.parametrize("name", Limits.__struct_fields__)
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_every_limit_is_positive(name, value):
    assert getattr(Limits(), name) > 0
    with pytest.raises(Misuse, match=name):
        Limits(**{name: value})
