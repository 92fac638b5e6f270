"""The laws of providers over real HTTP, on EC2 acted out on a recorded market (see `ec2_stage`)."""

from collections.abc import Coroutine
from typing import Any, ClassVar

import pytest

from ec2_stage import Stage
from tradewind import clock
from tradewind.market.recorded import RecordedMarket
from tradewind.providers.aws.provider import AwsProvider
from tradewind.providers.aws.requests import Settings
from tradewind.testing.providers import CATALOG, START, ProviderLaws

SPEED = 80.0

EXEMPT = {
    "test_clause_2_grants_no_more_than_asked_nor_than_there_is": "EC2 does not say how many can be had",
    "test_clause_4_a_pool_that_was_revoked_comes_back": "nor when room comes back",
    "test_clause_4_all_markets_may_revoke_at_once": "a revoked pool is offered until it refuses",
    "test_offers_are_ordered_and_carry_the_price_of_the_moment": "a price is seen at the next look",
}
"""The laws that do not apply, each with its reason."""


class TestAwsProvider(ProviderLaws):
    late: ClassVar[float] = 0.6 * SPEED

    @pytest.fixture(autouse=True)
    def _stages(self, monkeypatch):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        self.stages: list[Stage] = []
        yield
        for stage in self.stages:
            left = stage.running()
            stage.__exit__()
            assert not left, "a closed provider leaves nothing"

    def provider(self, market: RecordedMarket) -> AwsProvider:
        passed, began = clock.stopwatch(), clock.now()
        stage = Stage(market, lambda: began + passed() * SPEED).__enter__()
        self.stages.append(stage)
        settings = Settings(
            region="xx-north-1", types=("c9.large",), image="ami-1", endpoint_url=stage.url, boot=market.boot
        )
        return AwsProvider(
            settings, CATALOG, driver="laws", look_every=0.02 * SPEED, prices_every=0.05 * SPEED, settle=0.1
        )

    def execute(self, main: Coroutine[Any, Any, Any]) -> Any:
        return clock.run(main, start=START, speed=SPEED)


for name in EXEMPT:
    assert hasattr(ProviderLaws, name), f"there is no law {name} any more"
    setattr(TestAwsProvider, name, None)
