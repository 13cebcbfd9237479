"""Put the man pages into the wheel, made from the command line that it installs."""

import datetime
import os
import sys
import time
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ManualHook(BuildHookInterface):
    """Writes build/man and adds it to the data files of the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Render the pages; an editable install, whose command line goes on changing, gets none."""
        if version == "editable":
            return
        root = Path(self.root)
        sys.path[:0] = [str(root / "src"), str(root / "tools")]
        from manual import render_pages

        seconds = int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))
        day = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
        folder = root / "build/man"
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in render_pages(f"{day:%Y-%m-%d}", (root / "README.md").read_text(encoding="utf-8")).items():
            (folder / name).write_text(text, encoding="utf-8")
            build_data["shared_data"][f"build/man/{name}"] = f"share/man/man1/{name}"
