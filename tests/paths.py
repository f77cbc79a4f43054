"""Where the parts of the repository lie."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "configs"
TOOLS = ROOT / "tools"
DATA = ROOT / "tests" / "data"
