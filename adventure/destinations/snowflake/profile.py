"""How dbt signs in to Snowflake: the settings as the variables that dbt/profiles.yml reads."""

from adventure.core.settings import Settings


def profile_variables(settings: Settings, run_id: str) -> dict[str, str]:
    """The environment of a dbt run; what does not apply to the chosen way of signing in is empty.

    Args:
        run_id: stands in the QUERY_TAG of each statement.
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
