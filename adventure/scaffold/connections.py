"""The databases that `adventure init` asks, and the settings with which the pipeline reaches them later."""

from collections.abc import Mapping
from dataclasses import dataclass

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import SecretStr

from adventure.core.errors import ConfigError
from adventure.core.settings import Settings

_FIELDS = {
    "host": "postgres_host",
    "port": "postgres_port",
    "dbname": "postgres_db",
    "user": "postgres_user",
    "password": "postgres_password",
    "sslmode": "postgres_sslmode",
    "sslrootcert": "postgres_sslrootcert",
    "sslcert": "postgres_sslcert",
    "sslkey": "postgres_sslkey",
}
"""Settings by libpq's name."""


@dataclass(frozen=True)
class Connections:
    """What to ask, and what to write into .env."""

    settings: Settings
    kinds: tuple[str, ...]
    env: Mapping[str, str]


def connections(settings: Settings, postgres: str | None, mongo: str | None) -> Connections:
    """Return the named databases; without any, those that the settings name.

    Args:
        postgres: a connection string of libpq.
        mongo: a URI.

    Raises:
        ConfigError: none is named, or a connection string cannot be used.
    """
    fields = _postgres_fields(postgres) if postgres else {}
    password = settings.postgres_password.get_secret_value()
    if postgres and password:
        fields.setdefault("postgres_password", password)
    if mongo:
        fields["mongo_uri"] = mongo
    kinds = tuple(kind for kind, url in (("postgres", postgres), ("mongo", mongo)) if url)
    if not kinds:
        set_here = {name for name in settings.model_fields_set if name.startswith(("postgres_", "mongo_", "state_"))}
        kinds = tuple(kind for kind in ("postgres", "mongo") if any(name.startswith(kind) for name in set_here))
        fields = {name: _plain(getattr(settings, name)) for name in set_here}
    if not kinds:
        raise ConfigError(
            "No database is named",
            "Add --postgres postgresql://user@host/database or --mongo mongodb://host",
        )
    changed = settings.model_copy(update=_validated(fields))
    env = {name.upper(): value for name, value in sorted(fields.items())}
    return Connections(changed, kinds, env)


def lacks_password(url: str, settings: Settings) -> bool:
    """Return whether neither the connection string nor the settings have a password."""
    return not settings.postgres_password.get_secret_value() and "postgres_password" not in _postgres_fields(url)


def with_password(url: str, password: str) -> str:
    """Return the connection string with a password, if there is one."""
    return make_conninfo(url, password=password) if password else url


def _postgres_fields(url: str) -> dict[str, str]:
    try:
        given = conninfo_to_dict(url)
    except ProgrammingError:
        # The driver's message quotes the text, which may hold a password.
        raise ConfigError(
            "--postgres is not a connection string (its text is not shown)",
            "Write postgresql://user@host:5432/database",
        ) from None
    if unknown := set(given) - _FIELDS.keys():
        raise ConfigError(
            f"--postgres names {', '.join(sorted(unknown))}, for which there is no setting", "Leave it out"
        )
    return {_FIELDS[name]: str(value) for name, value in given.items()}


def _validated(fields: Mapping[str, str]) -> dict[str, object]:
    """Return the values as settings have them."""
    parsed = Settings.model_validate(fields)
    return {name: getattr(parsed, name) for name in fields}


def _plain(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
