"""How alerts name a panel, and where Grafana shows it."""

import json
import re
from collections.abc import Mapping
from pathlib import Path


def slug(title: str) -> str:
    """Return a title as alerts spell it: `Event loop lag` is event-loop-lag."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def panel_ids() -> Mapping[str, int]:
    """Return the number by which Grafana knows each panel, by `UID/panel` as alerts spell it."""
    boards = [json.loads(path.read_text("utf-8")) for path in sorted(Path(__file__).parent.glob("*.json"))]
    return {
        f"{board['uid']}/{slug(panel['title'])}": panel["id"]
        for board in boards
        for panel in board["panels"]
        if panel["type"] != "row"  # a heading may be called like a panel below it
    }
