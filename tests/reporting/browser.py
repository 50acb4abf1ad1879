"""Debian's Chromium without a window, over WebDriver by plain HTTP: `apt-get install chromium chromium-driver`."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

PROGRAMS = ("chromium", "chromedriver")
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars")
PATIENCE = 60.0
"""Seconds until a driver that does not answer is given up."""


def missing() -> str:
    """Why there is no browser; empty where there is one."""
    lacking = [name for name in PROGRAMS if shutil.which(name) is None]
    return f"{' and '.join(lacking)} missing: apt-get install chromium chromium-driver" if lacking else ""


class Browser:
    """One window of one session."""

    def __init__(self, address: str) -> None:
        self._address = address
        options = {"args": list(FLAGS), "binary": shutil.which("chromium")}
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        self._session = self._send("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]

    def open(self, page: Path, width: int, dark: bool = False, height: int = 900) -> None:
        """Show ``page`` in a viewport of ``width`` x ``height`` pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.tell("Emulation.setDeviceMetricsOverride", size)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.tell("Emulation.setEmulatedMedia", {"features": scheme})
        self._ask("POST", "/url", {"url": page.resolve().as_uri()})

    def run(self, script: str) -> Any:
        """What ``script`` returns inside the page."""
        return self._ask("POST", "/execute/sync", {"script": script, "args": []})

    def tell(self, command: str, values: dict[str, Any]) -> Any:
        """A command of the DevTools protocol."""
        return self._ask("POST", "/goog/cdp/execute", {"cmd": command, "params": values})

    def log(self, kind: str) -> list[dict[str, Any]]:
        """Entries of ``browser`` (console) or ``performance`` (DevTools events) since the last call."""
        found: list[dict[str, Any]] = self._ask("POST", "/se/log", {"type": kind})
        return found

    def requested(self) -> list[str]:
        """Addresses that pages asked for since the last call."""
        events = [json.loads(entry["message"])["message"] for entry in self.log("performance")]
        return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]

    def screenshot(self, whole: bool = False) -> bytes:
        """The viewport, or the ``whole`` page, as PNG."""
        answer = self.tell("Page.captureScreenshot", {"captureBeyondViewport": whole})
        return base64.b64decode(answer["data"])

    def quit(self) -> None:
        """End the session."""
        self._ask("DELETE", "", None)

    def _ask(self, method: str, path: str, content: dict[str, Any] | None) -> Any:
        return self._send(method, f"/session/{self._session}{path}", content)

    def _send(self, method: str, path: str, content: dict[str, Any] | None) -> Any:
        data = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(f"{self._address}{path}", data, method=method)
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{path}: {error.read().decode()[:500]}") from None


@contextmanager
def browsing(folder: Path) -> Iterator[Browser]:
    """A browser for as long as it lasts; ``folder``: where its driver writes its log."""
    log = folder / "chromedriver.log"
    with log.open("wb") as heard:
        driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=heard, stderr=subprocess.STDOUT)
        try:
            browser = Browser(f"http://127.0.0.1:{_port(log, driver)}")
            try:
                yield browser
            finally:
                with suppress(OSError, RuntimeError):
                    browser.quit()
        finally:
            driver.terminate()
            driver.wait()


def _port(log: Path, driver: subprocess.Popen[bytes]) -> int:
    """The port that the driver chose, from the line in which it says so."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and driver.poll() is None:
        _, found, rest = log.read_text(errors="replace").partition("started successfully on port ")
        digits = rest.partition(".")[0]
        if found and digits.isdigit():
            return int(digits)
        time.sleep(0.05)
    raise RuntimeError(f"chromedriver did not start: {log.read_text(errors='replace')[-500:]}")
