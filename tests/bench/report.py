"""`python -m tests.bench.report`: the report of 3 dictionaries x 2,000 features: bytes, seconds, the first screen.

Excerpts are of 32 made-up tokens from a vocabulary of 4,000, five to a feature of which three fire, as in a report of
the demo; two arms explain and judge each feature, and all dictionaries are compared, with a map of 4,000 points.
"""

import dataclasses
import random
import tempfile
import time
from pathlib import Path

import pandas as pd
from playwright.sync_api import sync_playwright

from autointerp.report.data import Report
from autointerp.report.page.html import render
from tests.report.builders import build, with_comparison

CHROMIUM = "/usr/bin/chromium"
FEATURES, POINTS, TOKENS, EACH, VOCABULARY = 2000, 4000, 32, 1, 4000
ROUNDS = 5


def large() -> Report:
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(2, 9))) for _ in range(VOCABULARY)]
    report = with_comparison(build(features=FEATURES, words=words, length=TOKENS, each=EACH))
    assert report.comparison is not None
    points = range(POINTS)
    names = [report.names[at % 3] for at in points]
    rows = {"site": "layer 15", "dictionary": names, "feature": [at // 3 for at in points]}
    places = {axis: [draw.random() for _ in points] for axis in "xy"}
    drawn = dataclasses.replace(report.comparison, map=pd.DataFrame(rows | places))
    return dataclasses.replace(report, comparison=drawn)


def main() -> None:
    report = large()
    started = time.perf_counter()
    text = render(report)
    spent = time.perf_counter() - started
    print(f"report: {len(text.encode()) / 2**20:.1f} MiB, written in {spent:.1f} s")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder) / "index.html"
        path.write_text(text, "utf-8")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        shown, ready = [], []
        for _ in range(ROUNDS):
            tab = browser.new_page(viewport={"width": 1240, "height": 900})
            started = time.perf_counter()
            tab.goto(path.as_uri(), wait_until="commit")
            tab.wait_for_selector("html[data-ready=yes]")
            ready.append(time.perf_counter() - started)
            paint = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"
            shown.append(float(tab.evaluate(paint)) / 1000)
            tab.close()
        browser.close()
    print(f"first screen: painted after {min(shown):.2f} s, interactive after {min(ready):.2f} s")


if __name__ == "__main__":
    main()
