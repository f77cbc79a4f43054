"""Make the README's pictures again: `python docs/images/make.py`.

It takes a minute, and needs Chromium and its driver on PATH and, for VisualDL's own words, a Chinese font. With
`--curves DIR` it makes the learning curves of the site instead, from runs that it trains and keeps in DIR; that takes
about ten minutes.
"""

from __future__ import annotations

import argparse
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
from paddle_ac.training.plotting import plot_runs
from paddle_ac.training.recording import watch_run
from paddle_ac.training.repeats import train_repeats
from paddle_ac.training.runs import train

HERE = Path(__file__).parent.resolve()
RUNS = {"lr-0.0002": 2e-4, "lr-0.0007": 7e-4, "lr-0.002": 2e-3}
SEEDS = (0, 1, 2)
CURVES = {  # steps of the runs whose learning curves are shown, with the defaults of each algorithm
    "a2c": 200_000,
    "ppo": 200_000,
    "paac": 200_000,
    "a3c": 200_000,
    "td_ac": 200_000,
    "q_ac": 200_000,
    "reinforce": 200_000,
    "sac": 12_000,
}
TOGETHER = ("a2c", "ppo", "a3c", "td_ac", "reinforce")  # in the picture of the home page
OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--window-size=1400,1127")


def main() -> None:
    """Make the README's pictures, or the learning curves of the site."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--curves", metavar="DIR", help="make the learning curves instead, and keep their runs here")
    curves = parser.parse_args().curves
    if curves is not None:
        draw_curves(Path(curves))
        return
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)  # VisualDL shows the names of runs as paths
        runs = Path("runs")
        for name, learning_rate in RUNS.items():
            values = {"algo": "a2c", "learning_rate": learning_rate, "total_steps": 150_000, "eval_interval": 10_000}
            train(make_config(values), str(runs / name))
        photograph(runs, scratch, HERE / "dashboard.png")
        watch_run(str(HERE / "cartpole.gif"), str(runs / "lr-0.002"))


def draw_curves(runs: Path) -> None:
    """Train each algorithm on three seeds, unless its runs are there already, and draw returns over steps."""
    for algo, total_steps in CURVES.items():
        if not (runs / algo).exists():
            config = make_config({"algo": algo, "total_steps": total_steps, "eval_interval": total_steps})
            train_repeats(config, SEEDS, str(runs / algo))
        draw([runs / algo], HERE / f"curves_{algo}.png")
    draw([runs / algo for algo in TOGETHER], HERE / "curves.png")


def draw(runs: list[Path], picture: Path) -> None:
    """The mean return over the seeds, with a band."""
    plot_runs(runs, picture, x_axes=["steps"], smooth=5)
    Image.open(picture).convert("RGB").quantize(256).save(picture, optimize=True)


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
