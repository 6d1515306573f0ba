"""Objectives, rules and what is made of them. See docs/observability.md.

objectives.yml is written by people, rules/objectives.yml from it by `make rules`; rules/causes.yml is written by people.
"""

from pathlib import Path

FOLDER = Path(__file__).parent
OBJECTIVES = FOLDER / "objectives.yml"
RULES = FOLDER / "rules"
