"""Make the README's pictures again: `python docs/images/make.py`.

It takes a minute, and wants Chromium and its driver on PATH and, for VisualDL's own words, a Chinese font.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from paddle_ac.config import make_config
from paddle_ac.training.dashboard import Dashboard
from paddle_ac.training.recording import watch_run
from paddle_ac.training.runs import train

HERE = Path(__file__).parent.resolve()
RUNS = {"lr-0.0002": 2e-4, "lr-0.0007": 7e-4, "lr-0.002": 2e-3}
OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--window-size=1400,1127")


def main() -> None:
    """Train three runs, photograph their curves and record the best policy of one."""
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)  # VisualDL shows the names of runs as paths
        runs = Path("runs")
        for name, learning_rate in RUNS.items():
            values = {"algo": "a2c", "learning_rate": learning_rate, "total_steps": 150_000, "eval_interval": 10_000}
            train(make_config(values), str(runs / name))
        photograph(runs, scratch, HERE / "dashboard.png")
        watch_run(str(HERE / "cartpole.gif"), str(runs / "lr-0.002"))


def photograph(runs: Path, scratch: str, picture: Path) -> None:
    """The curves of all runs, as VisualDL shows them."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for option in (*OPTIONS, f"--user-data-dir={scratch}/browser"):
        options.add_argument(option)
    browser = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        with Dashboard(runs) as dashboard:
            browser.get(f"{dashboard.address}app/scalar")
            search = (By.CSS_SELECTOR, "input[placeholder*='Search tags']")
            wait = WebDriverWait(browser, 30)
            wait.until(lambda _: browser.find_elements(By.TAG_NAME, "canvas"))
            browser.find_element(*search).send_keys("return")
            wait.until(lambda _: len(browser.find_elements(By.TAG_NAME, "canvas")) == 4)
            wait.until(lambda _: browser.get_screenshot_as_png() == browser.get_screenshot_as_png(), "curves at rest")
            browser.save_screenshot(str(picture))
    finally:
        browser.quit()
    Image.open(picture).quantize(64).save(picture, optimize=True)


if __name__ == "__main__":
    main()
