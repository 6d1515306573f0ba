"""The closed vocabulary of what can happen."""

import dataclasses
import re

from authsvc.events import KINDS, Event


def test_every_tag_is_subject_action_outcome_and_unique() -> None:
    tags = [kind.tag for kind in KINDS]
    assert not [tag for tag in tags if not re.fullmatch(r"[a-z_]+:[a-z_]+:[a-z_]+", tag)]
    assert len(set(tags)) == len(tags)


def test_every_event_is_frozen_and_counted_from_the_start() -> None:
    assert set(KINDS) == set(Event.__subclasses__())
    assert not [kind for kind in KINDS if "__setattr__" not in vars(kind)]  # what `frozen` adds


def test_no_field_of_an_event_can_hold_a_secret_or_an_address() -> None:
    """Events are logged as they are."""
    kinds = {str(field.type) for kind in KINDS for field in dataclasses.fields(kind)}
    assert kinds <= {"<class 'uuid.UUID'>", "uuid.UUID | None", "<class 'datetime.datetime'>"}
