"""The closed vocabulary of what can happen."""

import dataclasses
import re
from pathlib import Path

import authsvc
from authsvc.events import (
    KINDS,
    EndedByDeletion,
    Event,
    RegistrationFailed,
    RegistrationOfTakenAddress,
    SessionRefreshed,
    UnsupportedHashMet,
    UserDeleted,
)
from authsvc.web.activity import SENTENCES, WARNINGS

# These happen too often, tell nothing to who reads of them, are about a stranger, or nobody is left to read of them.
PUBLISHED_ALONE = (
    SessionRefreshed,
    UnsupportedHashMet,
    EndedByDeletion,
    RegistrationOfTakenAddress,
    RegistrationFailed,
)


def leaves(kind: type[Event]) -> list[type[Event]]:
    return [leaf for each in kind.__subclasses__() for leaf in leaves(each)] or [kind]


def test_every_tag_is_subject_action_outcome_and_unique() -> None:
    tags = [kind.tag for kind in KINDS]
    assert not [tag for tag in tags if not re.fullmatch(r"[a-z_]+:[a-z_]+:[a-z_]+", tag)]
    assert len(set(tags)) == len(tags)


def test_every_event_is_frozen_and_counted_from_the_start() -> None:
    assert set(KINDS) == set(leaves(Event))
    assert not [kind for kind in KINDS if "__setattr__" not in vars(kind)]  # what `frozen` adds


def test_no_field_of_an_event_can_hold_a_secret_or_an_address() -> None:
    """Events are logged as they are."""
    kinds = {str(field.type) for kind in KINDS for field in dataclasses.fields(kind)}
    assert kinds <= {"<class 'uuid.UUID'>", "uuid.UUID | None", "<class 'datetime.datetime'>"}


def test_every_event_that_the_journal_holds_of_an_account_has_a_sentence_for_its_owner() -> None:
    """But for the deletion: nobody is left to read of it."""
    of_accounts = {kind.tag for kind in KINDS if "subject" in {field.name for field in dataclasses.fields(kind)}}
    assert SENTENCES.keys() | WARNINGS.keys() == of_accounts - {kind.tag for kind in (*PUBLISHED_ALONE, UserDeleted)}
    assert not SENTENCES.keys() & WARNINGS.keys()


def test_what_is_published_alone_is_never_recorded() -> None:
    sources = "".join(path.read_text("utf-8") for path in Path(authsvc.__file__).parent.rglob("*.py"))
    assert not [kind for kind in PUBLISHED_ALONE if f"record({kind.__name__}" in sources]
