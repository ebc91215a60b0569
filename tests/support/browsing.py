"""Requests to the viewer's server, Chromium for tests, and what Neuroglancer draws in it."""

import http.client
import io
import json
import shutil
import time
from contextlib import contextmanager
from urllib.parse import quote, urlsplit

import imageio.v3 as iio
import numpy as np

from tests.support.optional import require

FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--use-angle=swiftshader",  # WebGL 2 without a graphics card
    "--enable-unsafe-swiftshader",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # whatever is not ours cannot be reached
    "--force-device-scale-factor=1",
    "--window-size=900,700",
]
READY = """
if (!window.viewer) return false;
const layers = viewer.layerManager.managedLayers;
const wrong = layers.flatMap(l => l.layer ? l.layer.dataSources : []).map(s => s.loadState && s.loadState.error);
const error = wrong.find(e => e);
if (error) return String(error);
return layers.length === arguments[0] && viewer.isReady();
"""
PANEL = """
const box = [...viewer.display.panels][0].element.getBoundingClientRect();
return [box.left, box.top, box.width, box.height].map(Math.round);
"""
BARE = {"showAxisLines": False, "showScaleBar": False, "showDefaultAnnotations": False}
"""Nothing is drawn over the image."""


def ask(server, key, method="GET", **headers):
    """Status, headers and body; ``key`` is sent as it is, below the store's URL unless it begins with a slash."""
    path = key if key.startswith("/") else urlsplit(server.store_url()).path + key
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.putrequest(method, path, skip_host=True)
        for name, value in {"Host": f"127.0.0.1:{server.port}", **headers}.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


@contextmanager
def open_browser(folder):
    webdriver = require("selenium.webdriver")
    chromium, driver = (shutil.which(name) for name in ("chromium", "chromedriver"))
    assert chromium, "the tests of the viewer need Chromium, and there is no 'chromium' on the PATH"
    assert driver, "the tests of the viewer need ChromeDriver, and there is no 'chromedriver' on the PATH"
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in [*FLAGS, f"--user-data-dir={folder}"]:
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield browser
    finally:
        browser.quit()


def open_page(browser, viewer):
    """Open the viewer's URL, as a user does, and wait until all that it shows is there."""
    browser.get("about:blank")
    browser.get(viewer.url)
    _wait(browser, len(viewer.state["layers"]))


def load(browser, viewer, **changes):
    """Load the page anew with a changed state, and wait until all that it shows is there."""
    state = {**viewer.state, **changes}
    browser.get("about:blank")
    browser.get(f"{viewer.url.partition('#')[0]}#!{quote(json.dumps(state))}")
    _wait(browser, len(state["layers"]))


def move(browser, position):
    """Put a position, (x, y, ...) in samples of level 0, in the middle of the panel; wait as :func:`load`."""
    browser.execute_script("viewer.position.value = new Float32Array(arguments[0])", position)
    _wait(browser, browser.execute_script("return viewer.layerManager.managedLayers.length"))


def _wait(browser, layers):
    ready, end = 0, time.monotonic() + 60
    while ready < 3:  # in a row: between two steps of loading it may seem to be
        assert time.monotonic() < end, "not loaded after a minute"
        time.sleep(0.1)
        found = browser.execute_script(READY, layers)
        assert not isinstance(found, str), found
        ready = ready + 1 if found else 0


def panel(browser):
    """Pixels of the panel, (row, column, RGB), as on the screen."""
    left, top, width, height = browser.execute_script(PANEL)
    page = iio.imread(io.BytesIO(browser.get_screenshot_as_png()))
    return page[top : top + height, left : left + width, :3].astype(int)


def sample_indices(pixels, scale, position, factor):
    """Sample of a level in each pixel along a side of the panel.

    ``position`` is at the middle of the panel, and a pixel is ``scale`` wide, both in samples of level 0, where sample
    ``i`` reaches from ``i - 0.5`` to ``i + 0.5``.  A level's samples are ``factor`` wide, from the same edge on.
    """
    centres = (np.arange(pixels) + 0.5 - pixels / 2) * scale + position
    return np.floor((centres + 0.5) / factor).astype(int)


def expected_panel(level, shape, scale, position, factor):
    """What the panel shows of ``level``, (y, x, RGB), by nearest samples; black outside."""
    y, x = (sample_indices(n, scale, at, factor) for n, at in zip(shape, position, strict=True))
    inside = np.outer((y >= 0) & (y < level.shape[0]), (x >= 0) & (x < level.shape[1]))
    taken = level[y.clip(0, level.shape[0] - 1)][:, x.clip(0, level.shape[1] - 1)]
    return np.where(inside[..., None], taken, 0), inside
