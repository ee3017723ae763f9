"""The settings that a connection string of libpq holds, for `adventure init`."""

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from adventure.core.errors import ConfigError

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


def conninfo_settings(address: str) -> dict[str, str]:
    """Return the settings that the connection string holds.

    Raises:
        ConfigError: it is malformed, or names something that no setting holds.
    """
    try:
        given = conninfo_to_dict(address)
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
