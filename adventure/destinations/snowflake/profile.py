"""The settings as the environment variables with which dbt/profiles.yml signs in to Snowflake."""

from adventure.core.settings import Settings


def profile_variables(settings: Settings, run_id: str) -> dict[str, str]:
    """Return the environment of a dbt run. Variables of the other authenticators are empty.

    Args:
        run_id: the run id in the QUERY_TAG of each statement.
    """
    way = settings.snowflake_authenticator
    key, passphrase = settings.snowflake_private_key_path, settings.snowflake_private_key_passphrase
    by_key = way == "keypair"
    return {
        "SNOWFLAKE_ACCOUNT": settings.snowflake_account,
        "SNOWFLAKE_HOST": settings.snowflake_host,
        "SNOWFLAKE_PORT": str(settings.snowflake_port),
        "SNOWFLAKE_PROTOCOL": settings.snowflake_protocol,
        "SNOWFLAKE_DATABASE": settings.snowflake_database,
        "SNOWFLAKE_WAREHOUSE": settings.snowflake_warehouse,
        "SNOWFLAKE_DBT_USER": settings.snowflake_dbt_user,
        "SNOWFLAKE_DBT_ROLE": settings.snowflake_dbt_role,
        "SNOWFLAKE_AUTHENTICATOR": way,
        "SNOWFLAKE_PRIVATE_KEY_PATH": str(key.resolve()) if by_key and key else "",
        "SNOWFLAKE_PRIVATE_KEY_PASSPHRASE": passphrase.get_secret_value() if by_key and passphrase else "",
        "SNOWFLAKE_TOKEN": settings.snowflake_token.get_secret_value()
        if way == "oauth" and settings.snowflake_token
        else "",
        "ADVENTURE_QUERY_TAG": f"adventure:build:{run_id}",
    }
