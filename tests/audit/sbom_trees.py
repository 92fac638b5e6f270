"""One small tree with packages of every manager, for both bills of materials."""

import json

from inventory_trees import InMemory

from tradewind.audit.inventory.taking import take_inventory

SITE = "usr/lib/python3/dist-packages"


STATUS = """\
Package: python3-numpy
Status: install ok installed
Version: 1:1.24.2-1
Architecture: amd64
Source: numpy
Depends: libc6
Description: numbers

Package: libc6
Status: install ok installed
Version: 2.36-9+deb12u10
Architecture: amd64
Source: glibc

Package: libc6
Status: install ok installed
Version: 2.36-9+deb12u10
Architecture: i386
Source: glibc
"""
PANDAS = """\
Name: pandas
Version: 2
License-Expression: BSD-3-Clause
Requires-Dist: numpy
Requires-Dist: absent
"""
ORIGIN = {"url": "u", "archive_info": {"hashes": {"sha256": "ab" * 32, "blake9": "00"}}}
XZ = {"name": "xz", "version": "5", "subdir": "linux-64", "license": "odd"}
LISTS = "var/lib/dpkg/info"


def small_inventory():
    """Packages of apt, pip and conda, of two architectures, carried and depending on each other."""
    return take_inventory(
        InMemory(
            {
                "etc/os-release": 'ID=debian\nVERSION_ID="12"\n',
                "var/lib/dpkg/status": STATUS,
                f"{LISTS}/python3-numpy.list": f"/{SITE}/numpy-1.24.2.egg-info/PKG-INFO\n/{SITE}/numpy.py\n",
                f"{LISTS}/libc6:amd64.list": "/lib/libc.so\n/usr/share/doc/libc6/copyright\n",
                "usr/share/doc/libc6/copyright": "License: LGPL-2.1+\n",
                "lib/libc.so": b"123456",
                f"{SITE}/numpy-1.24.2.egg-info/PKG-INFO": "Name: numpy\nVersion: 1.24.2\n",
                f"{SITE}/numpy.py": b"12",
                "app/pandas-2.dist-info/METADATA": PANDAS,
                "app/pandas-2.dist-info/RECORD": "pandas.py,,\n",
                "app/pandas-2.dist-info/direct_url.json": json.dumps(ORIGIN),
                "app/pandas.py": b"12345",
                "conda/conda-meta/xz.json": json.dumps(XZ),
                "lib.jar": b"",
            }
        )
    )
