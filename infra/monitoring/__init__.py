"""Objectives, rules and what is made of them. See docs/observability.md.

People write objectives.yml and rules/causes.yml; `make rules` writes rules/objectives.yml.
"""

from pathlib import Path

FOLDER = Path(__file__).parent
OBJECTIVES = FOLDER / "objectives.yml"
RULES = FOLDER / "rules"
