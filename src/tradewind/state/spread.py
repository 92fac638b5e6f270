"""A table over several servers: which of them is asked for which rows, and the answers put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tradewind.state.partition import Routing, partitions_of, range_bounds, share_of
from tradewind.state.table import Layout, Rows

Mask = NDArray[np.bool_]


class Spread(Struct, frozen=True):
    """How the rows of all tables lie at `servers` servers, one of which may own nothing."""

    routing: Routing
    servers: int

    def masks(self, layout: Layout, rows: Rows | None) -> list[Mask | None]:
        """For each server, which of `rows` it has; None for all of those that are asked for."""
        if rows is None or self.servers == 1:
            return [None] * self.servers
        owners = np.asarray(self.routing.owners)
        owner = owners[partitions_of(rows, layout.rows, len(owners), layout.sparse)]
        return [owner == server for server in range(self.servers)]

    def share(self, whole: NDArray[Any], server: int) -> NDArray[Any]:
        """Of all rows of a dense table, those that lie at the server, partition after partition."""
        if self.servers == 1:
            return whole
        return share_of(whole, len(self.routing.owners), self.routing.owned(server))

    def gathered(
        self, layout: Layout, rows: Rows | None, masks: Sequence[Mask | None], answers: Sequence[NDArray[Any]]
    ) -> NDArray[Any]:
        """The table, or `rows` of it in the order asked, from what every server gave for its mask.

        The answer of a server whose mask is empty is not read. The array may be written to.
        """
        if self.servers == 1:
            whole = answers[0]
            if not whole.flags.writeable:
                whole = whole.copy()
        elif rows is None:
            whole = np.empty((layout.rows, layout.width), layout.dtype)
            bounds = range_bounds(layout.rows, len(self.routing.owners))
            taken = [0] * self.servers
            for partition, server in enumerate(self.routing.owners):
                first, last = int(bounds[partition]), int(bounds[partition + 1])
                at, taken[server] = taken[server], taken[server] + last - first
                whole[first:last] = answers[server][at : taken[server]]
        else:
            whole = np.empty((len(rows), layout.width), layout.dtype)
            for mask, answer in zip(masks, answers, strict=True):
                if mask is not None and mask.any():
                    whole[mask] = answer
        return whole.reshape(layout.shape if rows is None else (len(rows), *layout.shape[1:]))
