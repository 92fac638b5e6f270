"""A driver that rents at EC2, as a program: for every folder that it reads from its input it forks a child,
which rents, releases, rents again and closes, and is there to be killed. The parent tells how each ended.

Not a test; `test_cleaning` starts it. The libraries are loaded once, so that a kill takes no second.
"""

import os
import sys
from pathlib import Path

from tradewind import clock
from tradewind.data.catalogs import aws_catalog
from tradewind.market.instances import Pool
from tradewind.market.offers import Bid, Terms
from tradewind.providers.aws.client import Ec2
from tradewind.providers.aws.provider import AwsProvider
from tradewind.providers.aws.requests import Settings
from tradewind.providers.ledger import LEDGER, Ledger
from tradewind.session.cleaning import driver_name

POOL = Pool("c5.large", "us-east-1b")


async def drive(url: str, folder: Path) -> None:
    settings = Settings(
        region="us-east-1", types=("c5.large",), zones=("us-east-1b",), image="ami-12c6146b", endpoint_url=url
    )
    provider = AwsProvider(
        settings,
        aws_catalog(),
        driver=driver_name(),
        run=folder.name,
        ledger=Ledger(folder / LEDGER),
        ec2=Ec2("us-east-1", endpoint_url=url, patience=5.0),
        look_every=600.0,  # so that the requests come in a fixed order
        prices_every=600.0,
    )
    await provider.open()
    (first,) = await provider.take(Bid(POOL, Terms.SPOT))
    await provider.take(Bid(POOL, Terms.ON_DEMAND))
    await provider.release(first.id)
    await provider.take(Bid(POOL, Terms.SPOT))
    await provider.close()


def main(url: str) -> None:
    Ec2("us-east-1", endpoint_url=url)._method("DescribeInstances")  # boto3 reads its model of EC2 once
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                clock.run(drive(url, Path(line.strip())))
                os._exit(0)
            finally:
                os._exit(1)
        for number in (child, None):
            told = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) if number is None else number
            sys.stdout.write(f"{told}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
