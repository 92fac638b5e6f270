"""EC2 acted out, with instances that really run: each is a process group here that boots its user data.

What it stands for: cloud-init, which runs the script once, as root; `shutdown`, which ends the instance; and
EC2, which takes instances back or ends them, and everything on them with them. There is no other machine, no
boot time, and no network between: nothing here was recorded from a real account.
"""

import base64
import os
import signal
import subprocess
import threading
from pathlib import Path

from ec2_stage import Stage, iso, listed
from tradewind import clock
from tradewind.market.catalog import Catalog, ListPrice
from tradewind.market.histories import CapacityHistory, MarketHistory, PriceHistory
from tradewind.market.instances import InstanceType, Pool
from tradewind.market.leases import Ending
from tradewind.market.recorded import RecordedMarket
from tradewind.market.resources import Resources
from tradewind.providers.local_leftovers import leftovers, marked

REGION, TYPES = "xx-north-1", {"c9.large": (2, 4, 3.0), "c9.xlarge": (4, 8, 6.0)}
"""vCPUs, GiB and US dollars an hour on demand; spot is a third of that."""
CATALOG = Catalog(
    "acted",
    [
        ListPrice(
            InstanceType(name, Resources(vcpus=cpus, memory_gib=gib)), REGION, price, "2020-01-01", "acted"
        )
        for name, (cpus, gib, price) in TYPES.items()
    ],
)
SHUTDOWN = """#!/bin/sh
echo "$@" >> "$TRADEWIND_ROOM/shutdowns"
if [ "$2" = now ]; then touch "$TRADEWIND_ROOM/off"; fi
"""


def market():
    """From now on: room for many instances of each type in two zones."""
    start = float(int(clock.wall()))
    prices, capacities = {}, {}
    for name, (_, _, price) in TYPES.items():
        for zone, more in (("a", 0.1), ("b", 0.0)):
            pool = Pool(name, REGION + zone)
            prices[pool] = PriceHistory(pool, [start - 9000.0], [price / 3 + more], end=start + 1e6)
            slots = [(str(n), start - 9, start + 9e5) for n in range(40)]
            capacities[pool] = CapacityHistory.from_lifetimes(pool, slots, start=start - 100, end=start + 1e6)
    return RecordedMarket(MarketHistory("acted", prices, capacities, notice=0.0), CATALOG, boot=0.0)


class Machines(Stage):
    """A region whose instances run below `folder`; `boots` says whether user data is run at all."""

    def __init__(self, folder, *, boots=True):
        super().__init__(market(), clock.wall, notices="none")
        self.folder, self.boots = Path(folder), boots
        self.folder.mkdir()
        self.waiting = []

    def __exit__(self, *_):
        super().__exit__()
        for id in self.machines:
            self.halt(id)
        for each in self.waiting:
            each.join()

    def room(self, id):
        return self.folder / id

    def rent(self, form):
        made = super().rent(form)
        if self.boots:
            for id in made:
                self.boot(id, base64.b64decode(form.get("UserData", "")))
        return made

    def boot(self, id, script):
        room = self.room(id)
        room.mkdir()
        for name, text in (("shutdown", SHUTDOWN.encode()), ("script", script)):
            (room / name).write_bytes(text)
            (room / name).chmod(0o755)
        environment = {"PATH": f"{room}:/usr/local/bin:/usr/bin:/bin", "TRADEWIND_ROOM": str(room)}
        with (room / "console").open("wb") as console:
            process = subprocess.Popen(
                [str(room / "script")], env=marked(environment, self.folder, id), cwd="/", stdout=console,
                stderr=console, stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        waiting = threading.Thread(target=self.wait_for, args=(id, process), daemon=True)
        self.waiting.append(waiting)
        waiting.start()

    def wait_for(self, id, process):
        process.wait()
        if not (self.room(id) / "off").exists():
            return
        self.halt(id)
        with self.lock:
            machine = self.machines[id]
            if machine.state == "running" and self.holdings.end(machine.lease, self.now(), Ending.RELEASED):
                machine.state, machine.reason = "terminated", "Client.InstanceInitiatedShutdown"
                machine.transition = f"User initiated ({iso(self.now())[:19].replace('T', ' ')} GMT)"
                machine.status, machine.updated = "instance-terminated-by-user", self.now()

    def halt(self, id):
        """End everything that runs on an instance."""
        while left := [each.pid for each in leftovers(self.folder) if each.lease == id]:
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue

    def take_back(self, id):
        """As EC2 does by its own wish, without notice."""
        with self.lock:
            machine = self.machines[id]
            if machine.state != "running":
                return
            self.halt(id)
            self.holdings.end(machine.lease, self.now(), Ending.REVOKED)
            machine.state, machine.reason = "terminated", "Server.SpotInstanceTermination"
            machine.status, machine.updated = "instance-terminated-no-capacity", self.now()

    def advance(self):
        before = {id for id, each in self.machines.items() if each.state == "running"}
        super().advance()
        for id in before:
            if self.machines[id].state != "running":
                self.halt(id)

    def TerminateInstances(self, form):
        found = super().TerminateInstances(form)
        for id in listed(form, "InstanceId"):
            self.halt(id)
        return found

    def rented(self):
        """How many requests to rent were granted."""
        return len(self.machines)

    def made(self, name):
        """A file that the command of the newest instance makes in its working directory."""
        found = [path for id in self.machines for path in self.room(id).glob(f"tmp.*/files/{name}")]
        return found[-1] if found else self.folder / "none" / name
