"""The two pictures of the explorer in the readme, of a campaign and one of its finds, by Chromium.

python docs/screenshots.py campaign-Au-Cu Cu3Au
"""

import shutil
import sys
import threading
from pathlib import Path
from urllib.request import urlopen

import orjson
from PIL import Image
from playwright.sync_api import sync_playwright

from gnomon.explore.collections import collections_of
from gnomon.explore.explorer import Explorer
from gnomon.explore.server import app_of
from gnomon.explore.serving import listening, server_of

FLAGS = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-sandbox"]
"""WebGL without a graphics card."""

SIZE = {"width": 1240, "height": 900}

SCALE = 1.5
"""Pixels of a picture over those of a page."""

IMAGES = Path(__file__).parent / "images"


def main() -> None:
    """Serve the campaign and look at it."""
    campaign, formula = sys.argv[1:]
    explorer = Explorer(collections_of([campaign]))
    with listening("127.0.0.1", 0) as socket, sync_playwright() as playwright:
        server = server_of(app_of(explorer))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]}, daemon=True)
        thread.start()
        url = f"http://localhost:{socket.getsockname()[1]}"
        finds = f"formula={formula}&where=status:new%20stable%20phase"
        found = orjson.loads(urlopen(f"{url}/api/search?{finds}").read())
        crystal = f"crystal.html?id={found['rows'][0]['id']}"
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(viewport=SIZE, device_scale_factor=SCALE)
        for name, address in (("search", "?include=Cu"), ("crystal", crystal)):
            page.goto(f"{url}/{address}")
            page.wait_for_selector("table tbody tr")
            if name == "crystal":
                page.wait_for_selector(".viewer[data-drawn] canvas")
            path = IMAGES / f"explore-{name}.png"
            page.screenshot(path=path)
            Image.open(path).convert("RGB").quantize(96).save(path, optimize=True)
        browser.close()
        server.should_exit = True
        thread.join()


if __name__ == "__main__":
    main()
