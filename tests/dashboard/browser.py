"""Headless Chromium from Debian, and a wait until a Streamlit page has settled."""

from typing import Any

CHROMIUM = "chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


_QUIET = """
quietMs => new Promise(done => {
  let last = performance.now();
  const watching = new MutationObserver(() => { last = performance.now(); });
  watching.observe(document.body, {subtree: true, childList: true, attributes: true, characterData: true});
  const looking = setInterval(() => {
    const app = document.querySelector('[data-testid=stApp]');
    // On a busy machine the script has not begun for a while. After 1.51 a chart or a table whose code is still being
    // loaded is a skeleton.
    const isDrawn = document.querySelector('[data-testid=stMain] h1')
      && !document.querySelector('[data-testid=stSkeleton]');
    if (isDrawn && app?.dataset.testScriptState === 'notRunning' && performance.now() - last > quietMs) {
      clearInterval(looking);
      watching.disconnect();
      done();
    }
  }, 50);
})
"""


def settled(page: Any, *, quiet_ms: int = 400) -> None:
    """Wait until the script has run and the page has not changed for `quiet_ms`, so that its charts are drawn."""
    page.wait_for_selector("[data-testid=stApp]", timeout=60_000)
    page.evaluate(_QUIET, quiet_ms)
