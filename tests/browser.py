"""A real headless Chromium, driven by its chromedriver through the WebDriver protocol: no other package."""

import base64
import json
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
CHROMEDRIVER = shutil.which("chromedriver")

needs_browser = pytest.mark.skipif(
    CHROMIUM is None or CHROMEDRIVER is None,
    reason="no Chromium with chromedriver on the PATH (Debian: apt-get install chromium chromium-driver)",
)

_FLAGS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", "--hide-scrollbars",
]  # fmt: skip


@dataclass
class Browser:
    """One window of a given size."""

    session: str

    def call(self, method: str, path: str, content: dict[str, Any] | None = None) -> Any:
        data = None if method == "GET" else json.dumps(content or {}).encode()
        request = urllib.request.Request(f"{self.session}{path}", data=data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.loads(answer.read())["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{method} {path}: {json.loads(error.read())['value']['message']}") from error

    def open(self, path: Path) -> None:
        """Open a file and wait until it is whole, pictures included."""
        # by way of an empty page: a page that is opened again was now and then seen before it was there
        self.call("POST", "/url", {"url": "about:blank"})
        self.call("POST", "/url", {"url": path.resolve().as_uri()})
        for _ in range(600):
            if self.run("return location.protocol === 'file:' && document.readyState === 'complete'"):
                return
            time.sleep(0.1)
        raise RuntimeError(f"{path} does not load")

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a function's body in the page; `arguments` are its arguments."""
        return self.call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def press(self, keys: str) -> None:
        """Press keys one after the other on what has the focus."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self.call("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def prefer(self, scheme: str) -> None:
        """Prefer light or dark pages, as the operating system would."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.call("POST", "/goog/cdp/execute", {"cmd": "Emulation.setEmulatedMedia", "params": {"features": [feature]}})

    def complaints(self) -> list[str]:
        """What the console shows: errors of scripts, of the security policy, and things that could not be loaded."""
        return [entry["message"] for entry in self.call("POST", "/se/log", {"type": "browser"})]

    def picture(self, path: Path) -> None:
        """Write a picture of the whole page (.png)."""
        size = self.call("POST", "/goog/cdp/execute", {"cmd": "Page.getLayoutMetrics", "params": {}})["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 16000), "scale": 1}
        parameters = {"captureBeyondViewport": True, "clip": clip}
        shot = self.call("POST", "/goog/cdp/execute", {"cmd": "Page.captureScreenshot", "params": parameters})
        path.write_bytes(base64.b64decode(shot["data"]))

    def view(self, path: Path) -> None:
        """Write a picture of what the window shows (.png)."""
        path.write_bytes(base64.b64decode(self.call("GET", "/screenshot")))


@contextmanager
def open_browser(
    width_px: int, height_px: int, *, is_phone: bool = False, pixel_ratio: float = 1.0
) -> Iterator[Browser]:
    """Start a browser of its own, with an empty profile, and end it."""
    assert CHROMEDRIVER is not None
    with (
        tempfile.TemporaryDirectory(prefix="hoiray-browser-", ignore_cleanup_errors=True) as profile,
        subprocess.Popen(
            [CHROMEDRIVER, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as driver,
    ):
        try:
            with _session(_port_of(driver), profile, width_px, height_px, is_phone, pixel_ratio) as browser:
                yield browser
        finally:
            driver.terminate()


def _port_of(driver: subprocess.Popen[str]) -> int:
    assert driver.stdout is not None
    for line in driver.stdout:
        if "started successfully on port" in line:
            return int(line.rstrip(".\n ").rpartition(" ")[2])
    raise RuntimeError(f"chromedriver ended with {driver.wait()}")


@contextmanager
def _session(
    port: int, profile: str, width_px: int, height_px: int, is_phone: bool, pixel_ratio: float
) -> Iterator[Browser]:
    flags = [*_FLAGS, f"--user-data-dir={profile}", f"--window-size={width_px},{height_px}"]
    options: dict[str, Any] = {"binary": CHROMIUM, "args": flags}
    if is_phone:
        metrics = {"width": width_px, "height": height_px, "pixelRatio": pixel_ratio, "mobile": True, "touch": True}
        options["mobileEmulation"] = {"deviceMetrics": metrics}
    wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
    driver = Browser(f"http://127.0.0.1:{port}")
    for is_last in (False, False, True):
        try:
            made = driver.call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
            break
        except (OSError, RuntimeError):
            if is_last:
                raise
            time.sleep(1.0)  # a browser that starts beside many others now and then misses its own deadline
    browser = Browser(f"http://127.0.0.1:{port}/session/{made['sessionId']}")
    try:
        yield browser
    finally:
        browser.call("DELETE", "")
