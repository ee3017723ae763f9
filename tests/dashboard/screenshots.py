"""Take the screenshots for the documentation: all pages, light and dark, on a desk, a tablet and a phone.

`make screenshots` runs it on the demo's data (DATA_DIR). It replaces the files in docs/images.
"""

import shutil
import subprocess
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from adventure.core.environment import load_settings
from adventure.dashboard.serve import environment, serve_command
from adventure.demo.sandbox.process import free_port
from tests.dashboard.browser import ARGUMENTS, CHROMIUM, settled
from tests.e2e.test_demo import answer_within

IMAGES = Path(__file__).parent.parent.parent / "docs" / "images"
WIDTHS = (1440, 1024, 390)
TALLEST = 2000
"""Maximum height of a screenshot, in pixels."""


def take(browser: Any, address: str, page_name: str, scheme: str, width: int) -> None:
    """Take one screenshot of the whole page, up to TALLEST."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.goto(f"{address}/{'' if page_name == 'sales' else page_name}")
    settled(page, quiet_ms=1500)
    height = min(TALLEST, page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight"))
    page.set_viewport_size({"width": width, "height": height})
    settled(page, quiet_ms=1500)
    path = IMAGES / f"{page_name}-{scheme}-{width}.png"
    page.screenshot(path=path)
    context.close()
    shrink(path)
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


def shrink(path: Path) -> None:
    """Reduce the image to 256 colours. With fewer, thin lines and marks become indistinguishable."""
    from PIL import Image

    with Image.open(path) as picture:
        picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def main() -> None:
    """Take all screenshots."""
    settings = load_settings().model_copy(update={"dashboard_port": free_port(None)})
    server = subprocess.Popen(serve_command(settings), env=environment(settings), stdout=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{settings.dashboard_port}"
    try:
        answer_within(address, 60)
        with sync_playwright() as running:
            browser = running.chromium.launch(executable_path=shutil.which(CHROMIUM), args=ARGUMENTS)
            for page_name in ("sales", "orders", "pipeline"):
                for scheme in ("light", "dark"):
                    for width in WIDTHS:
                        take(browser, address, page_name, scheme, width)
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
