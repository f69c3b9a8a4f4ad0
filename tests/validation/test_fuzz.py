"""Twenty seconds of bad files in a child process with a memory limit: refusals in words only, and no row lost."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.validation.fuzz_reading import FIGURES, FORMATS

ROOT = Path(__file__).parents[2]
SECONDS = os.environ.get("IAPO_FUZZ_SECONDS", "20")


def test_nothing_crashes_hangs_or_is_lost():
    command = [sys.executable, "-m", "tests.validation.fuzz_reading", SECONDS, "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=float(SECONDS) * 5 + 120)
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout)
    for name in FORMATS:
        counts = said["counts"][name]
        assert set(counts) == set(FIGURES)
        assert counts["tried"] > 100, f"{name}: the fuzzer hardly ran"
        assert counts["accepted"] > 0, f"{name}: nothing got through, so nothing deep was reached"
        assert counts["refused"] > 0, f"{name}: nothing was refused, so nothing bad was tried"
        assert counts["crashed"] == counts["lost"] == counts["slow"] == 0, said["first"]
