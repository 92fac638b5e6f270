"""EC2 over HTTP, acted out on a recorded market: what moto does not do.

It answers in the shapes of EC2's API reference (query protocol, version 2016-11-15) and of the metadata
service's documentation, written by hand: nothing here was recorded from a real account. Spot prices come from
a recorded market, which also takes instances back, with notices. Faults are staged by the test.
"""

import json
import threading
import urllib.parse
from collections import defaultdict
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from xml.sax.saxutils import escape

from tradewind.market.instances import Pool
from tradewind.market.leases import Ending
from tradewind.market.news import Ended, Warned
from tradewind.market.offers import Bid, Terms
from tradewind.providers.holdings import Holdings

CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}
NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"


def iso(moment):
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def items(name, values):
    return f"<{name}>" + "".join(f"<item>{each}</item>" for each in values) + f"</{name}>"


class Cut(Exception):
    """The connection breaks here."""


class Refused(Exception):
    def __init__(self, code, message="staged", status=400):
        super().__init__(code)
        self.code, self.message, self.status = code, message, status


class Machine:
    def __init__(self, id, lease, form, launched):
        self.id, self.lease, self.launched = id, lease, launched
        self.state, self.reason, self.message, self.transition = "running", "", "", ""
        self.token = form.get("ClientToken", "")
        self.type, self.zone = form["InstanceType"], form["Placement.AvailabilityZone"]
        self.spot = form.get("InstanceMarketOptions.MarketType") == "spot"
        self.status, self.updated = "fulfilled", launched
        self.tags = {}
        for number in range(1, 9):
            if form.get(f"TagSpecification.{number}.ResourceType") == "instance":
                prefix = f"TagSpecification.{number}.Tag"
                self.tags |= numbered(form, prefix)

    def xml(self):
        reason = f"<stateReason><code>{self.reason}</code><message>{self.message}</message></stateReason>"
        lifecycle = "<instanceLifecycle>spot</instanceLifecycle>" if self.spot else ""
        request = f"<spotInstanceRequestId>sir-{self.id[2:]}</spotInstanceRequestId>" if self.spot else ""
        tags = (f"<key>{escape(k)}</key><value>{escape(v)}</value>" for k, v in sorted(self.tags.items()))
        return (
            f"<instanceId>{self.id}</instanceId><imageId>ami-1</imageId>"
            f"<instanceState><code>{CODES[self.state]}</code><name>{self.state}</name></instanceState>"
            f"<reason>{self.transition}</reason><amiLaunchIndex>0</amiLaunchIndex>"
            f"<instanceType>{self.type}</instanceType><launchTime>{iso(self.launched)}</launchTime>"
            f"<placement><availabilityZone>{self.zone}</availabilityZone><tenancy>default</tenancy></placement>"
            f"{reason if self.reason else ''}{lifecycle}{request}<clientToken>{self.token}</clientToken>"
            f"{items('tagSet', tags)}"
        )


def numbered(form, prefix):
    found, number = {}, 1
    while (key := form.get(f"{prefix}.{number}.Key")) is not None:
        found[key] = form.get(f"{prefix}.{number}.Value", "")
        number += 1
    return found


def listed(form, prefix):
    found, number = [], 1
    while (value := form.get(f"{prefix}.{number}")) is not None:
        found.append(value)
        number += 1
    return found


class Stage:
    """A region of EC2 and the metadata service of one instance, on a port of the loopback.

    `now` says what moment it is. `notices` says how an interruption is made known: by the instance's own
    watcher ("tag"), by the spot request's status ("status"), or not at all ("none").
    """

    def __init__(self, market, now, *, notices="tag"):
        self.market, self.now, self.notices = market, now, notices
        self.holdings = Holdings(market)
        self.machines = {}
        self.tokens = {}
        self.lock = threading.RLock()
        self.asked = []
        """(action, form) of every request."""
        self.faults = defaultdict(list)
        """By action: what happens to the next requests, instead of or after the act."""
        self.hidden = set()
        """Instances that DescribeInstances does not show, though they are there."""
        self.metadata = {}
        """Path to text, of the instance whose metadata service this is."""
        self.token_life, self.session_tokens = None, set()
        stage = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *arguments):
                pass

            def do_POST(self):
                form = dict(
                    urllib.parse.parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode())
                )
                try:
                    with stage.lock:
                        status, text = stage.answer(form)
                except Cut:
                    self.close_connection = True
                    return
                self.say(status, text, "text/xml;charset=UTF-8")

            def do_PUT(self):
                life = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds")
                if self.path != "/latest/api/token" or life is None or not 1 <= int(life) <= 21600:
                    self.say(400, "")
                    return
                token = f"token-{len(stage.session_tokens)}"
                stage.session_tokens = {token}
                self.say(200, token)

            def do_GET(self):
                if self.headers.get("X-aws-ec2-metadata-token") not in stage.session_tokens:
                    self.say(401, "")
                    return
                text = stage.metadata.get(self.path.removeprefix("/latest/meta-data/"))
                self.say(404 if text is None else 200, text or "")

            def say(self, status, text, kind="text/plain"):
                body = text.encode()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass  # a client that was killed

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    # faults

    def refuse(self, action, code, message="staged", status=400, times=1):
        self.faults[action] += [Refused(code, message, status)] * times

    def cut(self, action, *, after=False, times=1):
        """Break the connection before the act, or after it: the client sees no answer."""
        self.faults[action] += ["cut after" if after else "cut before"] * times

    def interrupt(self, moment, action="terminate"):
        """Give notice in the metadata service."""
        self.metadata["spot/instance-action"] = json.dumps({"action": action, "time": iso(moment)[:19] + "Z"})

    # the API

    def answer(self, form):
        action = form["Action"]
        self.asked.append((action, form))
        fault = self.faults[action].pop(0) if self.faults[action] else None
        if fault == "cut before":
            raise Cut
        try:
            if isinstance(fault, Refused):
                raise fault
            self.advance()
            inner = getattr(self, action)(form)
        except Refused as refusal:
            error = f"<Code>{refusal.code}</Code><Message>{escape(refusal.message)}</Message>"
            return (
                refusal.status,
                f"<Response><Errors><Error>{error}</Error></Errors><RequestID>r</RequestID></Response>",
            )
        if fault == "cut after":
            raise Cut
        return (
            200,
            f'<{action}Response xmlns="{NAMESPACE}"><requestId>r</requestId>{inner}</{action}Response>',
        )

    def advance(self):
        by_lease = {each.lease: each for each in self.machines.values()}
        for news in self.holdings.advance(self.now()):
            if isinstance(news, Warned):
                machine, told = by_lease[news.revocation.lease], news.revocation
                if self.notices == "tag":
                    due, warned = iso(told.due)[:19] + "Z", iso(told.warned)[:19] + "Z"
                    machine.tags["tradewind:notice"] = f"terminate {due} seen {warned}"
                elif self.notices == "status":
                    machine.status, machine.updated = "marked-for-termination", told.warned
            elif isinstance(news, Ended):
                machine = by_lease[news.lease]
                machine.state, machine.reason = "terminated", "Server.SpotInstanceTermination"
                machine.message = "Server.SpotInstanceTermination: Instance was terminated by EC2"
                machine.transition = (
                    f"Server.SpotInstanceTermination ({iso(news.at)[:19].replace('T', ' ')} GMT)"
                )
                machine.status, machine.updated = "instance-terminated-no-capacity", news.at

    @staticmethod
    def dry(form):
        if form.get("DryRun") == "true":
            raise Refused("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)

    def RunInstances(self, form):
        if not form["ImageId"].startswith("ami-"):
            raise Refused("InvalidAMIID.Malformed", "Invalid id")
        if form["ImageId"] == "ami-gone":
            raise Refused("InvalidAMIID.NotFound", "The image id '[ami-gone]' does not exist")
        self.dry(form)
        made = self.tokens.get(form["ClientToken"])
        if made is None:
            made = self.tokens[form["ClientToken"]] = self.rent(form)
        group = items("instancesSet", [self.machines[each].xml() for each in made])
        return f"<reservationId>r-1</reservationId><ownerId>1</ownerId><groupSet/>{group}"

    def rent(self, form):
        spot = form.get("InstanceMarketOptions.MarketType") == "spot"
        pool = Pool(form["InstanceType"], form["Placement.AvailabilityZone"])
        limit = form.get("InstanceMarketOptions.SpotOptions.MaxPrice")
        bid = Bid(
            pool,
            Terms.SPOT if spot else Terms.ON_DEMAND,
            int(form["MaxCount"]),
            None if limit is None else float(limit),
        )
        now = self.now()
        leases = self.holdings.take(bid, now)
        if not leases and limit is not None and self.market.price(pool, now) > float(limit):
            raise Refused("SpotMaxPriceTooLow", "Your Spot request price is lower than the minimum required")
        if not leases:
            raise Refused("InsufficientInstanceCapacity", f"no {pool} now", 500)
        made = []
        for lease in leases:
            machine = Machine(f"i-{len(self.machines) + 1:017x}", lease.id, form, now)
            self.machines[machine.id] = machine
            made.append(machine.id)
        self.advance()
        return made

    def TerminateInstances(self, form):
        ids = listed(form, "InstanceId")
        for id in ids:
            if id not in self.machines:
                raise Refused("InvalidInstanceID.NotFound", f"The instance ID '{id}' does not exist")
        self.dry(form)
        changes = []
        for id in ids:
            machine = self.machines[id]
            before = machine.state
            if self.holdings.end(machine.lease, self.now(), Ending.RELEASED):
                machine.state, machine.reason = "terminated", "Client.UserInitiatedShutdown"
                machine.message = "Client.UserInitiatedShutdown: User initiated shutdown"
                machine.transition = f"User initiated ({iso(self.now())[:19].replace('T', ' ')} GMT)"
                machine.status, machine.updated = "instance-terminated-by-user", self.now()
            now = f"<code>{CODES[machine.state]}</code><name>{machine.state}</name>"
            was = f"<code>{CODES[before]}</code><name>{before}</name>"
            changes.append(
                f"<instanceId>{id}</instanceId><currentState>{now}</currentState>"
                f"<previousState>{was}</previousState>"
            )
        return items("instancesSet", changes)

    def DescribeInstances(self, form):
        wanted = [each for each in self.machines.values() if each.id not in self.hidden]
        for name, values in self.filters(form).items():
            if name == "instance-state-name":
                wanted = [each for each in wanted if each.state in values]
            elif name.startswith("tag:"):
                key = name.removeprefix("tag:")
                wanted = [
                    each
                    for each in wanted
                    if key in each.tags and (values == ["*"] or each.tags[key] in values)
                ]
            else:
                raise Refused("InvalidParameterValue", f"The filter '{name}' is invalid")
        group = [
            f"<reservationId>r-1</reservationId><ownerId>1</ownerId>{items('instancesSet', [each.xml()])}"
            for each in wanted
        ]
        return items("reservationSet", group)

    @staticmethod
    def filters(form):
        found, number = {}, 1
        while (name := form.get(f"Filter.{number}.Name")) is not None:
            found[name] = listed(form, f"Filter.{number}.Value")
            number += 1
        return found

    def DescribeSpotInstanceRequests(self, form):
        wanted = self.filters(form)["instance-id"]
        rows = [
            f"<spotInstanceRequestId>sir-{each.id[2:]}</spotInstanceRequestId><type>one-time</type>"
            f"<state>active</state><status><code>{each.status}</code><updateTime>{iso(each.updated)}</updateTime>"
            f"<message>staged</message></status><instanceId>{each.id}</instanceId>"
            for each in self.machines.values()
            if each.spot and each.id in wanted
        ]
        return items("spotInstanceRequestSet", rows)

    def DescribeSpotPriceHistory(self, form):
        """Newest first, the price in force at StartTime included, two a page."""
        start = datetime.fromisoformat(form["StartTime"]).timestamp()
        types, rows = listed(form, "InstanceType"), []
        for pool, prices in self.market.history.prices.items():
            if pool.instance_type not in types:
                continue
            known = [
                (when, price)
                for when, price in zip(prices.times.tolist(), prices.prices.tolist(), strict=True)
                if when <= self.now()
            ]
            first = max((n for n, (when, _) in enumerate(known) if when <= start), default=0)
            rows += [(when, pool, price) for when, price in known[first:]]
        rows.sort(key=lambda row: (-row[0], row[1]))
        at = int(form.get("NextToken", 0))
        page = [
            f"<instanceType>{pool.instance_type}</instanceType><productDescription>Linux/UNIX</productDescription>"
            f"<spotPrice>{price:f}</spotPrice><timestamp>{iso(when)}</timestamp>"
            f"<availabilityZone>{pool.zone}</availabilityZone>"
            for when, pool, price in rows[at : at + 2]
        ]
        more = f"<nextToken>{at + 2}</nextToken>" if at + 2 < len(rows) else ""
        return items("spotPriceHistorySet", page) + more

    def DescribeInstanceTypeOfferings(self, form):
        types = self.filters(form)["instance-type"]
        return items(
            "instanceTypeOfferingSet",
            [
                f"<instanceType>{pool.instance_type}</instanceType><location>{pool.zone}</location>"
                "<locationType>availability-zone</locationType>"
                for pool in self.market.history.pools
                if pool.instance_type in types
            ],
        )

    def CreateTags(self, form):
        self.dry(form)
        for id in listed(form, "ResourceId"):
            if id not in self.machines:
                raise Refused("InvalidID", f"The ID '{id}' is not valid")
            self.machines[id].tags |= numbered(form, "Tag")
        return "<return>true</return>"

    def running(self):
        with self.lock:
            self.advance()
            return sorted(each.id for each in self.machines.values() if each.state == "running")
