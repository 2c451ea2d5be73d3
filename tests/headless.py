"""A real browser without a window, and a second try where one stops answering."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

_FLAGS = (
    "headless",
    "no-sandbox",
    "disable-gpu",
    "disable-quic",
    "disable-dev-shm-usage",
    "no-first-run",
    "disable-background-networking",
    "disable-component-update",
    "disable-sync",
    "window-size=1280,1400",
)

# A browser that hangs or dies says nothing of the page; what the page gets wrong is never retried.
survives_a_lost_browser = pytest.mark.flaky(
    reruns=2, only_rerun=["ReadTimeoutError", "MaxRetryError", "ProtocolError", "InvalidSession"]
)


@contextmanager
def browser(folder: Path, downloads: Path | None = None) -> Iterator[Any]:
    """A browser with an empty profile, which logs what its pages say and ask for."""
    webdriver = pytest.importorskip("selenium.webdriver")
    from selenium.webdriver.chrome.service import Service
    from urllib3.exceptions import HTTPError

    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in (*_FLAGS, f"user-data-dir={folder}"):
        options.add_argument(f"--{flag}")
    if downloads is not None:
        several = "profile.default_content_setting_values.automatic_downloads"
        kept = {"download.default_directory": str(downloads), several: 1}
        options.add_experimental_option("prefs", kept)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = Service(shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield driver
    finally:
        with suppress(HTTPError):  # one that no longer answers cannot be asked to leave
            driver.quit()
        service.stop()
