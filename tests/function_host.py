"""A function host in a process of its own, and small packages for it."""

import io
import json
import subprocess
import sys
import time
import zipfile

from tradewind.runtimes.functions.client import Functions


def zipped(code="", **files):
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        if code:
            archive.writestr("app.py", code)
        for name, text in files.items():
            archive.writestr(name, text)
    return written.getvalue()


class Host:
    """Started at once; `limits` as the host takes them."""

    def __init__(self, root, *arguments, **limits):
        self.root = root
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tradewind.runtimes.functions.host.server", "--root", str(root),
             "--limits", json.dumps(limits), *arguments],
            stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        self.url = self.process.stdout.readline().strip()
        self.functions = Functions(self.url)
        self.api = self.functions.client

    def status(self):
        import urllib.request

        with urllib.request.urlopen(f"{self.url}/tradewind/status", timeout=10) as answer:
            return json.loads(answer.read())

    def end(self):
        self.functions.close()
        self.process.terminate()
        status = self.process.wait(10)
        self.process.stdout.close()
        return status


def until(holds, seconds=10.0):
    """Wait until something holds; its value."""
    began = time.perf_counter()
    while not (found := holds()):
        assert time.perf_counter() - began < seconds, "it did not come to hold"
        time.sleep(0.02)  # noqa: TID251
    return found
