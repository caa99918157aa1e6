"""The code in the guide for a discovery of one's own runs."""

import subprocess
import sys
from pathlib import Path

GUIDE = Path(__file__).parents[2] / "docs" / "write-your-own-discovery.md"


def test_the_code_runs_and_finds_itself():
    code = GUIDE.read_text().split("```python\n")[1].split("```")[0]
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("b'process "), run.stdout
