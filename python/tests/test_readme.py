"""The samples of README.md run as they stand there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent
SAMPLES = re.findall(r"^```python\n(.*?)^```", (PACKAGE / "README.md").read_text(), re.M | re.S)
PRINTED = {
    "simulate": r"\d{4,5}\n",
    "careful": r"49\n",
    "NoSuchStar": r"Nemesis \| .*NoSuchStar: Nemesis\n",
    "attach": r"[0-9a-f-]{36}\n" + re.escape(f"{sorted(n**2 for n in range(20))}\n"),
    "Client": r"\(7, 1\) \{.*'COMPLETED': 100.*\}\n",
}


@pytest.mark.parametrize("word", PRINTED)
def test_sample(fake, tmp_path, word):
    pytest.importorskip("cloudpickle")
    (sample,) = (text for text in SAMPLES if word in text)
    script = tmp_path / "sample.py"
    script.write_text(sample)
    done = subprocess.run([sys.executable, "-X", "dev", str(script)], capture_output=True,
                          text=True, timeout=60, cwd=tmp_path, env={
                              **os.environ, "PYTHONPATH": str(PACKAGE), "FARHAND_URL": fake.url})
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert re.match(PRINTED[word], done.stdout), done.stdout


def test_every_sample_is_tested():
    assert len(SAMPLES) == len(PRINTED)
