"""`aws`: EC2 as a provider that is ready to open, with a folder that `tradewind clean` knows of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from tradewind.data.catalogs import aws_catalog, read_catalog
from tradewind.data.runs import new_run_directory
from tradewind.errors import Misuse, suggestion
from tradewind.providers.aws.provider import AwsProvider
from tradewind.providers.aws.requests import Settings, check
from tradewind.providers.ledger import LEDGER, Ledger
from tradewind.session.cleaning import driver_name


def aws(
    region: str,
    *,
    types: tuple[str, ...] | list[str],
    image: str,
    name: str = "aws",
    out: str | Path = "runs",
    prices: str | Path | None = None,
    dry_run: bool = False,
    **settings: Any,
) -> AwsProvider:
    """EC2 in a region. Open it under `tradewind.clock.run`, and close it when all is done.

    What it rents is noted in a new folder under `out`, so that `tradewind clean` ends it whatever becomes of
    this process. `prices` is a price list (CSV, see `data.catalogs`) with the types that the package's own
    lacks; `settings` are further fields of `providers.aws.requests.Settings`, such as `subnets` or
    `user_data`. With `dry_run` EC2 checks every request and does none; the provider's `plan` has them.
    """
    fields = Settings.__struct_fields__
    for field in settings:
        if field not in fields:
            raise Misuse("is no setting", source="aws()", field=field, fix=suggestion(field, fields))
    given = {"region": region, "types": types, "image": image, **settings}
    try:
        whole = msgspec.convert(given, Settings)
    except msgspec.ValidationError as problem:
        told, _, path = str(problem).partition(" - at `$.")
        raise Misuse(told, source="aws()", field=path.rstrip("`"), fix="Mend the value.") from problem
    check(whole)
    catalog = aws_catalog() if prices is None else read_catalog(prices)
    for type in whole.types:
        catalog.type(type)
    ledger, run = None, "dry-run"
    if not dry_run:
        folder = new_run_directory(out, name)
        ledger, run = Ledger(folder / LEDGER), folder.name
    return AwsProvider(whole, catalog, driver=driver_name(), run=run, ledger=ledger, dry_run=dry_run)
