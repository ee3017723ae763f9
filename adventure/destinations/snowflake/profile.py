"""The settings as the environment variables with which dbt/profiles.yml signs in to Snowflake."""

from adventure.core.settings import Settings
from adventure.destinations.snowflake.credentials import (
    ASKING,
    MFA,
    WITH_TOKEN,
    authenticator_of,
    dbt_user_and_role,
    password_of,
    token_of,
)


def profile_variables(settings: Settings, run_id: str) -> dict[str, str]:
    """Return the environment of a dbt run. Variables of the other authenticators are empty.

    Args:
        run_id: the run id in the QUERY_TAG of each statement.
    """
    way = authenticator_of(settings)
    user, role = dbt_user_and_role(settings)
    key, passphrase = settings.snowflake_private_key_path, settings.snowflake_private_key_passphrase
    by_key = way == "keypair"
    return {
        "SNOWFLAKE_ACCOUNT": settings.snowflake_account,
        "SNOWFLAKE_HOST": settings.snowflake_host,
        "SNOWFLAKE_PORT": str(settings.snowflake_port),
        "SNOWFLAKE_PROTOCOL": settings.snowflake_protocol,
        "SNOWFLAKE_DATABASE": settings.snowflake_database,
        "SNOWFLAKE_WAREHOUSE": settings.snowflake_warehouse,
        "SNOWFLAKE_DBT_USER": user,
        "SNOWFLAKE_DBT_ROLE": role,
        "SNOWFLAKE_AUTHENTICATOR": way,
        "SNOWFLAKE_PRIVATE_KEY_PATH": str(key.resolve()) if by_key and key else "",
        "SNOWFLAKE_PRIVATE_KEY_PASSPHRASE": passphrase.get_secret_value() if by_key and passphrase else "",
        "SNOWFLAKE_TOKEN": token_of(settings, way) if way in WITH_TOKEN else "",
        # dbt takes no passcode: it signs in with the token that the session before it has cached, or asks for a push.
        "SNOWFLAKE_PASSWORD": password_of(settings) if way == MFA else "",
        # Each thread signs in by itself, and each sign-in opens a tab or asks for a push.
        "SNOWFLAKE_THREADS": "1" if way in ASKING else "4",
        # dbt's sessions ask no cloud's metadata service either; see connect_snowflake.
        "SNOWFLAKE_DISABLE_PLATFORM_DETECTION": "true",
        "ADVENTURE_QUERY_TAG": f"adventure:build:{run_id}",
    }
