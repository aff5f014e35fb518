"""A headless Chromium, driven by its own DevTools protocol: what a person sees, clicks and types."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Self

import requests
import websocket

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
START_SECONDS = 90.0
PATIENCE_SECONDS = 90.0
AGAIN_SECONDS = 5.0
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1400,1000"),
    *("--remote-debugging-address=127.0.0.1", "--remote-debugging-port=0"),
)


def chromium() -> str | None:
    """Its program, or None where there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Browser:
    """One page. Everything that is looked for is waited for."""

    def __init__(self, program: str, folder: Path) -> None:
        self._profile = folder / "profile"
        with (folder / "chromium.log").open("wb") as log:
            self._process = subprocess.Popen(
                (program, *FLAGS, f"--user-data-dir={self._profile}", "about:blank"),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "HOME": str(folder)},
                start_new_session=True,
            )
        self._socket: websocket.WebSocket | None = None
        self._number = 0

    def __enter__(self) -> Self:
        try:
            address = self._debugger()
            self._socket = websocket.create_connection(address, timeout=PATIENCE_SECONDS, suppress_origin=True)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._socket is not None:
            self._socket.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(20)

    def _debugger(self) -> str:
        """The address of the one page, once the browser listens."""
        told, end = self._profile / "DevToolsActivePort", time.monotonic() + START_SECONDS
        while not told.exists() or not told.read_text().strip():
            assert self._process.poll() is None, "Chromium did not start"
            assert time.monotonic() < end, "Chromium does not listen"
            time.sleep(0.1)
        port = told.read_text().split()[0]
        pages = requests.get(f"http://127.0.0.1:{port}/json/list", timeout=30).json()
        return str(next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page"))

    def _send(self, method: str, **parameters: Any) -> Any:
        assert self._socket is not None
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while (answer := json.loads(self._socket.recv())).get("id") != self._number:
            pass
        assert "error" not in answer, answer
        return answer["result"]

    # --- what a person does ---

    def open(self, address: str) -> None:
        self._send("Page.navigate", url=address)

    def click(self, words: str, *, opens: str = "") -> None:
        """The first button that reads exactly so; again, as a person would, if what it `opens` does not come."""
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            self._press(
                *self._place(f"""[...document.querySelectorAll("button")]
                .filter(one => one.innerText.trim() === {json.dumps(words)})""")
            )
            soon = time.monotonic() + AGAIN_SECONDS
            while opens and not self.sees(opens) and time.monotonic() < soon:
                time.sleep(0.2)
            if self.sees(opens):
                return
            assert time.monotonic() < end, f"{words!r} never opened {opens!r}:\n{self.text()[:2000]}"

    def click_on(self, selector: str) -> None:
        self._press(*self._place(f"[...document.querySelectorAll({json.dumps(selector)})]"))

    def type(self, text: str, *, enter: bool = False) -> None:
        """Where the focus is."""
        self._send("Input.insertText", text=text)
        if enter:
            for kind in ("rawKeyDown", "char", "keyUp"):
                self._send("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r")

    def sees(self, words: str) -> bool:
        return words in self.text()

    def text(self) -> str:
        return str(self._value("document.body ? document.body.innerText : ''"))

    def address(self) -> str:
        return str(self._value("location.href"))

    def wait_for(self, words: str) -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        while not self.sees(words):
            assert time.monotonic() < end, f"the page never said {words!r}, but:\n{self.text()[:2000]}"
            time.sleep(0.2)

    def _value(self, expression: str) -> Any:
        return self._send("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def _place(self, found: str) -> tuple[float, float]:
        """The middle of the first visible of these elements, once it rests there with nothing over it."""
        script = f"""(() => {{
            const one = {found}.filter(one => one.offsetParent !== null && !one.disabled)[0];
            if (!one) return null;
            one.scrollIntoView({{block: 'center'}});
            const box = one.getBoundingClientRect();
            const place = [box.x + box.width / 2, box.y + box.height / 2];
            return one.contains(document.elementFromPoint(...place)) ? place : null;
        }})()"""
        end = time.monotonic() + PATIENCE_SECONDS
        before = None
        while not (place := self._value(script)) or place != before:
            before = place
            assert time.monotonic() < end, f"nothing to click at {self.address()}: {found}\n{self.text()[:2000]}"
            time.sleep(0.2)
        return float(place[0]), float(place[1])

    def _press(self, x: float, y: float) -> None:
        self._send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        for kind in ("mousePressed", "mouseReleased"):
            self._send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
