"""Where a study is kept: an Optuna storage in a database, the lock that its workers share, and URLs without passwords.

A path is an SQLite file; anything with `://` is a URL of SQLAlchemy.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgert.errors import MissingExtraError, OutputError, UsageError
from edgert.search.file_lock import locked

if TYPE_CHECKING:
    from optuna.storages import BaseStorage, RDBStorage
    from sqlalchemy import Engine, Table
    from sqlalchemy.engine import URL

__all__ = ["Storage", "explained", "mask_url", "open_storage"]

_MASK = "***"
_SECRETS = ("password", "passwd", "sslpassword")
"""Parameters of a URL's query that are as secret as its password."""

_BUSY_S = 60
"""How long a worker waits for another's write to an SQLite file."""

_OPENINGS = 5
"""Two workers that make the same tables at once fail; the next attempt finds them made."""

_LOCKS = "edgert_locks"

_POSTGRESQL = (
    "tcp_keepalives_idle = 10",
    "tcp_keepalives_interval = 5",
    "tcp_keepalives_count = 3",
    "idle_in_transaction_session_timeout = '15min'",
)
"""So that a worker whose computer loses power does not keep the lock for hours."""


@dataclass(frozen=True)
class Storage:
    """An open storage.

    Attributes:
        optuna: holds studies and trials.
        engine: the connections to the same database.
        name: what messages call it, without a password.
        file: the SQLite file; None for a server.
    """

    optuna: BaseStorage
    engine: Engine
    name: str
    file: Path | None

    @contextlib.contextmanager
    def lock(self, study: str) -> Iterator[None]:
        """Lets one worker of a study in at a time; ends with the process that holds it, however that ends.

        For an SQLite file that is a file beside it: its own locks would shut out the trial that is made meanwhile.
        """
        beside = None if self.file is None else self.file.with_name(f"{self.file.name}.lock")
        with _row_lock(self.engine, study) if beside is None else locked(beside):
            yield

    def close(self) -> None:
        """Closes all connections."""
        self.optuna.remove_session()
        self.engine.dispose()


def mask_url(url: str) -> str:
    """Returns a storage's URL without its password; a path stays as it is."""
    if "://" not in url:
        return url
    return _masked(_parse_url(url))


def open_storage(url: str) -> Storage:
    """Returns the storage of a path or URL; tables are made where they are missing.

    Raises:
        MissingExtraError: Optuna or the driver of the database is not installed.
        UsageError: it is no URL, or the database is not there, refuses, or holds something else.
        OutputError: the SQLite file cannot be written.
    """
    try:
        import optuna
    except ImportError as error:
        raise MissingExtraError("optuna", "search", "edgert search") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # its greetings would stand between our lines
    parsed = _parse_url(url if "://" in url else f"sqlite:///{Path(url).absolute()}")
    file = Path(parsed.database) if parsed.get_backend_name() == "sqlite" and parsed.database else None
    if file is not None:
        _prepare_folder(file)
    backend = _open(parsed)
    name = str(file) if file is not None else _masked(parsed)
    return Storage(optuna.storages.get_storage(backend), backend.engine, name, file)


def _parse_url(url: str) -> URL:
    try:
        from sqlalchemy import engine, exc
    except ImportError as error:
        raise MissingExtraError("optuna", "search", "edgert search") from error
    try:
        return engine.make_url(url)
    except (exc.ArgumentError, ValueError):
        scheme = url.partition("://")[0]
        # the text of the error, and the URL itself, may hold a password
        raise UsageError(
            f"--storage {scheme}://...: is no URL; write e.g. postgresql+psycopg://user@host/base"
        ) from None


def _masked(parsed: URL) -> str:
    hidden = {name: _MASK for name in _SECRETS if name in parsed.query}
    shown = parsed.update_query_dict(hidden).render_as_string(hide_password=True)
    return shown.replace("%2A", "*").replace("%2F", "/")


def _prepare_folder(file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {file}: {error.strerror or error}") from error


def _open(parsed: URL) -> RDBStorage:
    from optuna.storages import RDBStorage
    from sqlalchemy import exc

    url = parsed.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}")  # Optuna formats it
    is_file = parsed.get_backend_name() == "sqlite"
    arguments = {"connect_args": {"timeout": _BUSY_S}} if is_file else {"pool_pre_ping": True}
    for attempt in range(1, _OPENINGS + 1):
        try:
            backend = RDBStorage(url, engine_kwargs=arguments)
            if not is_file:
                _lock_table().create(backend.engine, checkfirst=True)
            return backend
        except ImportError as error:
            raise _missing_driver(parsed) from error
        except (exc.SQLAlchemyError, RuntimeError) as error:
            if attempt == _OPENINGS or isinstance(error, (exc.ArgumentError, RuntimeError)):
                raise UsageError(f"the storage {_masked(parsed)} cannot be used: {_words(error)}") from error
        time.sleep(0.1 * attempt)
    raise AssertionError("the last attempt returns or raises")


def _missing_driver(parsed: URL) -> UsageError:
    if parsed.get_backend_name() == "postgresql":
        return MissingExtraError(
            parsed.get_driver_name(), "postgresql", "a storage in PostgreSQL (postgresql+psycopg://)"
        )
    return UsageError(
        f"the storage {_masked(parsed)} needs the driver {parsed.get_driver_name()!r}; install it with pip"
    )


def _words(error: Exception) -> str:
    """What the database said, in one line, without SQL and links."""
    return " ".join(str(getattr(error, "orig", None) or error).partition("\n[SQL")[0].split())


@contextlib.contextmanager
def explained(storage: Storage) -> Iterator[None]:
    """Turns what a database raises in the middle of a search into words.

    Raises:
        OutputError: the storage failed.
    """
    import optuna
    from sqlalchemy import exc

    try:
        yield
    except (exc.SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
        raise OutputError(f"the storage {storage.name} failed: {_words(cause)}") from error


def _lock_table() -> Table:
    import sqlalchemy

    name = sqlalchemy.Column("study", sqlalchemy.String(512), primary_key=True)
    return sqlalchemy.Table(_LOCKS, sqlalchemy.MetaData(), name)


@contextlib.contextmanager
def _row_lock(engine: Engine, study: str) -> Iterator[None]:
    """Holds a row of a table of our own: Optuna locks the study's row itself whenever it makes a trial."""
    import sqlalchemy
    from sqlalchemy import exc

    table = _lock_table()
    row = sqlalchemy.select(table).where(table.c.study == study).with_for_update()
    with contextlib.suppress(exc.IntegrityError), engine.begin() as connection:
        if connection.execute(sqlalchemy.select(table).where(table.c.study == study)).first() is None:
            connection.execute(table.insert().values(study=study))
    with engine.begin() as connection:
        for setting in _POSTGRESQL if engine.name == "postgresql" else ():
            connection.execute(sqlalchemy.text(f"SET LOCAL {setting}"))
        connection.execute(row)
        yield
