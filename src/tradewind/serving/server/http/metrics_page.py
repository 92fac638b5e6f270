"""GET /metrics: what a server counts, in the text formats of Prometheus and OpenMetrics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

from tradewind.errors import MissingExtra
from tradewind.serving.server.http.messages import Request, Response
from tradewind.serving.server.metrics.aliases import mlserver_families, triton_families
from tradewind.serving.server.metrics.families import Family, own_families
from tradewind.serving.server.metrics.meters import Gauges, Meters


class Metrics:
    """Tells what `meters` count and how the server stands, which `gauges` says at every scrape.

    With them come this process's CPU time, memory and open files, under Prometheus' own names `process_...`;
    with `aliases` the names of Triton and MLServer as well. Nothing is registered with prometheus_client's
    global registry, so that two servers in one process do not mix. Raises MissingExtra without that package.
    """

    def __init__(
        self,
        meters: Meters,
        gauges: Callable[[], Gauges] = Gauges,
        *,
        aliases: bool = True,
        more: Callable[[], list[Family]] = list,
    ) -> None:
        try:
            import prometheus_client  # noqa: PLC0415 -- an extra
            from prometheus_client.exposition import choose_encoder  # noqa: PLC0415
        except ImportError:
            raise MissingExtra("prometheus-client", "serving", "Telling metrics") from None
        self._meters, self._gauges, self._aliases, self._more = meters, gauges, aliases, more
        self._metric: Any = prometheus_client.Metric
        self._choose_encoder: Any = choose_encoder
        self._process: Any = prometheus_client.ProcessCollector(registry=None)

    async def answer(self, request: Request) -> Response:
        """The handler of GET /metrics: OpenMetrics where `Accept` asks for it, else Prometheus' text.

        It is written in a thread, for with hundreds of models that takes a tenth of a second.
        """
        accept = request.headers.get("accept", "")
        body, content_type = await asyncio.to_thread(self.text, accept, self._gauges(), self._more())
        return Response(200, body, content_type)

    def text(
        self, accept: str = "", gauges: Gauges | None = None, more: list[Family] | None = None
    ) -> tuple[bytes, str]:
        """All metrics in the format that the header `accept` asks for, and its content type."""
        encode, content_type = self._choose_encoder(accept)
        stand = self._gauges() if gauges is None else gauges
        besides = self._more() if more is None else more
        scrape = _Scrape(lambda: self._collect(stand, besides))
        return encode(scrape), content_type

    def _collect(self, gauges: Gauges, more: list[Family]) -> Iterator[Any]:
        yield from self._process.collect()
        families = own_families(self._meters, gauges) + more
        if self._aliases:
            families += triton_families(self._meters, gauges)
            families += mlserver_families(self._meters)
        for family in families:
            yield self._written(family)

    def _written(self, family: Family) -> Any:
        metric = self._metric(family.name, family.help, family.kind)
        for sample in family.samples:
            metric.add_sample(family.name + sample.suffix, sample.labels, sample.value)
        return metric


class _Scrape:
    """What an encoder of prometheus_client takes for a registry."""

    def __init__(self, collect: Callable[[], Iterator[Any]]) -> None:
        self.collect = collect
