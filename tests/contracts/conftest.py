"""What several contracts need."""

from collections.abc import Iterator

import psycopg
import pytest

from authsvc import embedded
from authsvc.config import DatabaseUrl


@pytest.fixture
def empty_database_url(postgres: embedded.Server) -> Iterator[DatabaseUrl]:
    """The URL of a database without any migration."""
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("create database not_migrated")
        yield DatabaseUrl(postgres.url_of("not_migrated"))
        connection.execute("drop database not_migrated with (force)")
