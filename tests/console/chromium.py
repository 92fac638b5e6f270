"""A real Chromium, driven over its pipe: pages opened, clicked and looked at, and their scripts asked."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tradewind.clock import stopwatch

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def _pipe() -> tuple[int, int]:
    ends = os.pipe()
    high = tuple(fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, 10) for each in ends)
    for each in ends:
        os.close(each)
    return high[0], high[1]


class Chromium:
    """One browser with one page. Commands are those of the DevTools protocol, as JSON on two pipes."""

    def __init__(self, folder: Path, width: int = 1200, height: int = 900) -> None:
        # The browser reads descriptor 3 and writes 4, where a shell puts ours, whose numbers are higher.
        (to_read, self._write), (self._read, to_write) = _pipe(), _pipe()
        flags = (
            "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
            "--disable-component-update --disable-sync --disable-extensions --mute-audio "
            f"--remote-debugging-pipe --window-size={width},{height}"
        )
        script = f'exec "$0" {flags} --user-data-dir="$1" about:blank 3<&{to_read} 4>&{to_write}'
        self._process = subprocess.Popen(
            ["bash", "-c", script, str(CHROMIUM), str(folder / "profile")],
            pass_fds=(to_read, to_write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": str(folder)}, start_new_session=True,
        )  # fmt: skip
        os.close(to_read)
        os.close(to_write)
        self._rest, self._last, self._session = b"", 0, None
        self.problems: list[str] = []
        """What the page's scripts threw, or wrote to the console as errors."""
        pages = self.do("Target.getTargets")["targetInfos"]
        page = next(each["targetId"] for each in pages if each["type"] == "page")
        self._session = self.do("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.do(f"{domain}.enable")

    def __enter__(self) -> Chromium:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._write)
        os.close(self._read)
        os.killpg(self._process.pid, 9)
        self._process.wait()

    def do(self, method: str, **parameters: Any) -> Any:
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        passed = stopwatch()
        while passed() < 30:
            for told in self._heard():
                if told.get("id") == self._last:
                    assert "error" not in told, told
                    return told["result"]
        raise TimeoutError(method)

    def _heard(self) -> list[Any]:
        if not select.select([self._read], [], [], 1.0)[0]:
            return []
        received = os.read(self._read, 1 << 20)
        assert received, "the browser is gone"
        *texts, self._rest = (self._rest + received).split(b"\0")
        found = [json.loads(text) for text in texts]
        for told in found:
            if told.get("method") == "Runtime.exceptionThrown":
                self.problems.append(json.dumps(told["params"]["exceptionDetails"])[:500])
            if told.get("method") == "Log.entryAdded" and told["params"]["entry"]["level"] == "error":
                self.problems.append(told["params"]["entry"]["text"])
        return found

    def open(self, url: str) -> None:
        """Go there, and wait until it is there with its scripts."""
        self.do("Page.navigate", url=url)
        self.wait_for(f"location.href == {json.dumps(url)} && document.readyState == 'complete'")

    def ask(self, script: str) -> Any:
        """What a JavaScript expression gives in the page."""
        told = self.do("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def wait_for(self, script: str, seconds: float = 20.0) -> Any:
        """Wait until an expression gives something that is true, and give it."""
        passed = stopwatch()
        while passed() < seconds:
            if found := self.ask(script):
                return found
            select.select([], [], [], 0.05)
        raise TimeoutError(f"{script} after {seconds} s; the page: {self.ask('document.body.innerText')}")

    def click(self, x: float, y: float) -> None:
        """Press and release the mouse there."""
        for kind in ("mousePressed", "mouseReleased"):
            self.do("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def click_on(self, selector: str) -> None:
        """Click into the middle of the first element of a CSS selector."""
        box = self.ask(
            f"(() => {{ const b = document.querySelector({json.dumps(selector)}).getBoundingClientRect();"
            " return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        self.click(*box)

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.do("Page.captureScreenshot", format="png")["data"]))
