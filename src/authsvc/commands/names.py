"""How an operator names an account, and how what is found is shown."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from uuid import UUID

from authsvc import emails
from authsvc.config import Config
from authsvc.emails import EmailAddress, InvalidEmailError
from authsvc.operations import OperationError

ReadConfig = Callable[..., Config]
"""What each command is given: the configuration is read when it is run, not when its help is asked for.

With `keys_needed=False` it may lack the keys.
"""


def account_name(text: str) -> EmailAddress | UUID:
    """Return the address or the id that `text` is.

    Raises:
        OperationError: it is neither.
    """
    try:
        return emails.parse(text) if "@" in text else UUID(text)
    except InvalidEmailError as error:
        raise OperationError(error.message) from None
    except ValueError:
        raise OperationError("Name an account by its e-mail address or its id.") from None


def moment(value: datetime | None) -> str:
    """Return a moment in UTC to the second, or a dash."""
    return "-" if value is None else f"{value:%Y-%m-%d %H:%M:%S}Z"


def aligned(rows: Iterable[Sequence[str]]) -> list[str]:
    """Return rows as lines whose columns stand below each other."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
