"""`tradewind audit scan`: what a tree holds."""

from __future__ import annotations

from pathlib import Path

import click

from tradewind import clock
from tradewind.audit.inventory.gpu_code import gpu_code_of
from tradewind.audit.inventory.sbom_cyclonedx import cyclonedx
from tradewind.audit.inventory.sbom_spdx import spdx
from tradewind.audit.inventory.wheel_diet import wheel_diet
from tradewind.cli import terminal
from tradewind.cli.audits import options
from tradewind.data.durable_files import write_durably
from tradewind.session.audit.subject import facts_of, open_subject
from tradewind.session.report.audit.data import sized

BILLS = {"cyclonedx": cyclonedx, "spdx": spdx}


@terminal.verb("tradewind audit scan .venv --sbom cyclonedx --to bill.json")
@options.image
@click.option("--sbom", type=click.Choice(list(BILLS)), help="Write a bill of materials of this form.")
@click.option("--to", type=click.Path(path_type=Path), help="Where to; the terminal if not given.")
@click.option("--gpu/--no-gpu", default=False, help="Read GPU code out of libraries, by architecture.")
@click.option("--most", type=click.IntRange(1), default=25, show_default=True, help="Packages to show.")
def command(*, image: str, sbom: str | None, to: Path | None, gpu: bool, most: int, as_json: bool) -> int:
    """What a directory, an environment or an image holds: packages, owners, sizes.

    IMAGE is a directory (a root file system, a virtual environment), an OCI layout, an archive of one, or
    what `docker save` wrote; IMAGE@NAME chooses among several. Nothing of it is run.
    """
    with (
        terminal.counting("bytes read", silent=as_json) as read,
        open_subject(image, told=options.adding(read), attributes=False) as subject,
    ):
        inventory = subject.inventory
        if sbom is not None:
            bill = BILLS[sbom](inventory, name=Path(image).name, now=clock.wall())
            if to is None:
                click.echo(bill.decode())
                return 0
            write_durably(to, bill)
        diet = wheel_diet(subject.files, inventory)
        code = gpu_code_of(subject.files) if gpu else {}
        tree, unowned = inventory.tree, inventory.tree.bytes_of(inventory.unowned)
        by_device: dict[str, int] = {}
        for each in code.values():
            for device, size in each.by_device().items():
                by_device[device] = by_device.get(device, 0) + size
        sizes = {key: inventory.bytes_of(key) for key in inventory.packages}
        if as_json:
            terminal.show(
                {
                    "image": image, "facts": dict(facts_of(subject)), "bytes": tree.bytes,
                    "entries": len(tree), "unowned_bytes": unowned, "notes": inventory.notes, "diet": diet,
                    "gpu": by_device,
                    "packages": [
                        {"key": key, "name": p.name, "version": p.version, "manager": p.manager,
                         "category": p.category, "bytes": sizes[key], "files": len(inventory.owned[key]),
                         "asked_for": p.asked_for}
                        for key, p in inventory.packages.items()
                    ],
                }
            )  # fmt: skip
            return 0
        for name, value in facts_of(subject):
            click.echo(f"{name}: {value}")
        counts: dict[str, list[int]] = {}
        for key, package in inventory.packages.items():
            row = counts.setdefault(package.manager, [0, 0])
            row[0] += 1
            row[1] += sizes[key]
        rows = [(manager, str(number), sized(size)) for manager, (number, size) in sorted(counts.items())]
        rows += [("unowned", "", sized(unowned)), ("all", str(len(inventory.packages)), sized(tree.bytes))]
        terminal.table(("manager", "packages", "size"), rows, numbers=(1, 2))
        click.echo()
        biggest = sorted(sizes, key=lambda key: (-sizes[key], key))[:most]
        terminal.table(
            ("package", "version", "category", "size", "files"),
            [
                (key, inventory.packages[key].version, inventory.packages[key].category, sized(sizes[key]),
                 str(len(inventory.owned[key])))
                for key in biggest
            ],
            numbers=(3, 4),
        )  # fmt: skip
        classes = [(name, sized(size)) for name, size in diet.by_class().items() if size]
        if classes:
            click.echo()
            terminal.table(("no run needs (of wheels)", "size"), classes, numbers=(1,))
        if by_device:
            click.echo()
            terminal.table(
                ("GPU code for", "size"), [(d, sized(s)) for d, s in by_device.items()], numbers=(1,)
            )
        for note in inventory.notes:
            click.echo(f"Note: {note}")
        if to is not None:
            click.echo(f"Bill of materials: {to}")
    return 0
