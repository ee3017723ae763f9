"""The settings as one typed, frozen value. `core.environment` reads them.

A field's name in upper case is the variable's name, and its description is the comment in `.env.example` (a test
compares the two). A secret is a SecretStr, so that printing the settings shows none. The dashboard, which has no
Settings, and faults.py read variables of their own.
"""

import json
from pathlib import Path
from typing import Literal
from urllib.parse import urlencode, urlsplit

from pydantic import BaseModel, ConfigDict, Field, FilePath, PrivateAttr, SecretStr, field_validator

from adventure.core.failures import beside
from adventure.core.kinds import WAREHOUSES, check_kind
from adventure.core.packaged import own_or_packaged
from adventure.core.source_name import SourceName

SslMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]


class Settings(BaseModel):
    """All settings. Durations are in seconds, paths relative to the working directory."""

    model_config = ConfigDict(frozen=True, extra="ignore", validate_default=True)

    _env_file: Path = PrivateAttr(Path(".env"))
    _source: SourceName | None = PrivateAttr(None)
    _postgres_url: SecretStr | None = PrivateAttr(None)

    # PostgreSQL, the live sales
    postgres_host: str = Field("localhost", description="host of the PostgreSQL server with the live sales")
    postgres_port: int = Field(5432, ge=1, le=65535, description="port of the PostgreSQL server")
    postgres_db: str = Field("transactions", description="database of the live sales")
    postgres_user: str = Field(
        "postgres", description="the role to read with (SELECT and pg_read_all_stats are enough)"
    )
    postgres_password: SecretStr = Field(SecretStr(""), description="password of POSTGRES_USER")
    postgres_sslmode: SslMode | None = Field(
        None, description="libpq's sslmode; default: verify-full where a certificate below is given, else prefer"
    )
    postgres_sslrootcert: FilePath | Literal["system"] | None = Field(
        None, description="the authorities that PostgreSQL's certificate is checked against, or system: this machine's"
    )
    postgres_sslcert: FilePath | None = Field(None, description="client certificate for PostgreSQL")
    postgres_sslkey: FilePath | None = Field(None, description="key of POSTGRES_SSLCERT, readable by its owner only")
    postgres_publication: str = Field(
        "adventure",
        min_length=1,
        description="publication of the tables that are read by PostgreSQL's log",
    )
    state_dsn: SecretStr | None = Field(
        None, description="libpq connection string of the database that keeps the watermarks; default: the source"
    )

    # MongoDB, the support chats
    mongo_host: str = Field("localhost", description="host of the MongoDB server with the support chats")
    mongo_port: int = Field(27017, ge=1, le=65535, description="port of the MongoDB server")
    mongo_db: str = Field("support_logs", description="database of the support chats")
    mongo_collection: str = Field("chats", description="collection of the support chats")
    mongo_uri: SecretStr | None = Field(
        None, description="a whole MongoDB URI (user, TLS, replica set); replaces MONGO_HOST and MONGO_PORT"
    )

    mongo_tls: bool = Field(False, description="true: TLS, with the server's certificate checked")
    mongo_tls_ca_file: FilePath | None = Field(
        None, description="the authorities that MongoDB's certificate is checked against; turns TLS on"
    )
    mongo_tls_certificate_key_file: FilePath | None = Field(
        None, description="client certificate and key for MongoDB, in one file; turns TLS on"
    )

    # An HTTP API
    api_url: str = Field("", description='address below which the endpoints of streams with source = "http" are')
    api_token: SecretStr | None = Field(
        None, description="token that is sent as Authorization: Bearer; `adventure api` asks for it"
    )
    api_headers: SecretStr | None = Field(
        None, description='other headers of every request, as JSON: {"X-Api-Key": "..."}'
    )
    api_tls_ca_file: FilePath | None = Field(
        None, description="the authorities that the API's certificate is checked against; default: certifi's"
    )

    # The generator
    generation_interval_sec: float = Field(5.0, ge=0, description="seconds between two batches of new sales")
    order_batch_size: int = Field(200, ge=1, description="orders in a batch")
    generation_pace: float = Field(
        0.0,
        ge=0,
        description="how many times faster than the clock the shop sells; 0 = ORDER_BATCH_SIZE orders in each batch",
    )
    generation_max_runtime_sec: float = Field(0.0, ge=0, description="stop generating after this long; 0 = never")

    # The shop's API, which serves the generated reviews
    shop_api_host: str = Field("127.0.0.1", description="address on which `adventure api` listens")
    shop_api_port: int = Field(8600, ge=0, le=65535, description="its port; API_URL is then http://HOST:PORT/v1")
    shop_api_faults: str = Field(
        "", description='how it fails, to try that out: "latency=0.2 429=0.05 500=0.05 cut=0.05"'
    )

    # The processor
    processor_interval_sec: float = Field(0.0, ge=0, description="seconds between two cycles; 0 = one cycle, then end")
    snowflake_interval_sec: float = Field(
        300.0, ge=0, description="shortest seconds between two cycles that stage in Snowflake, whose loads are hourly"
    )
    processor_max_runtime_sec: float = Field(0.0, ge=0, description="stop processing after this long; 0 = never")

    # The stages
    orders_stage: str = Field("orders_stage", description="stage of the orders")
    order_details_stage: str = Field("order_details_stage", description="stage of the order lines")
    chat_stage: str = Field("chat_stage", description="stage of the support chats")
    reviews_stage: str = Field("reviews_stage", description="stage of the reviews")

    # The warehouse, the models and the dashboard
    warehouse: str = Field("duckdb", description="duckdb, or snowflake: the processor stages there, and its tasks load")
    data_dir: Path = Field(Path(".adventure"), description="folder of everything that is kept on this machine")
    tasks_interval_sec: float = Field(3600.0, gt=0, description="seconds between two runs of the task graph")
    dbt_dir: Path = Field(Path("dbt"), description="folder of the dbt project; default: ./dbt, else the packaged one")
    dashboard_host: str = Field(
        "127.0.0.1", description="address on which the dashboard listens: loopback, or 0.0.0.0 within a container"
    )
    dashboard_port: int = Field(8501, ge=1, le=65535, description="port of the dashboard")

    # Monitoring
    heartbeat_file: Path | None = Field(
        None, description="file in which a long-lived command beats, for `adventure health`; default: none"
    )
    processor_heartbeat_file: Path | None = Field(
        None,
        description="where the dashboard looks for the processor's heartbeat; default: DATA_DIR/processor.heartbeat",
    )
    stuck_after_sec: float = Field(
        600.0, gt=0, description="seconds of one step (a batch of rows, a file, a model) after which it counts as stuck"
    )

    metrics_port: int = Field(
        0, ge=0, le=65535, description="port of the processor's or the task server's Prometheus metrics; 0 = none"
    )
    metrics_host: str = Field("127.0.0.1", description="address on which metrics are served")
    alert_lag_sec: float = Field(
        600.0, gt=0, description="seconds for which rows may wait at the source, or the horizon may not move"
    )
    alert_waiting_sec: float | None = Field(
        None,
        gt=0,
        description="seconds for which a staged window may wait to be loaded; default: two intervals of the tasks and"
        " two minutes",
    )
    alert_failures: int = Field(1, ge=1, description="failures of a task in a row that `adventure status` reports")

    alert_urls: SecretStr | None = Field(
        None, description="where alerts are sent: URLs of Apprise (mail, chats, webhooks), separated by spaces"
    )

    reconcile_interval_sec: float = Field(
        86400.0, ge=0, description="seconds between two reconciliations that the task server runs by itself; 0 = never"
    )
    reconcile_window_sec: float = Field(
        86400.0, gt=0, description="how many seconds before its watermark each of them compares of a stream"
    )

    # Snowflake, where WAREHOUSE=snowflake
    snowflake_account: str = Field("", description="account identifier: organisation-account")
    snowflake_user: str = Field(
        "ADVENTURE_PROCESSOR", description="a service user, or a person with externalbrowser or username_password_mfa"
    )
    snowflake_authenticator: Literal[
        "keypair", "programmatic_access_token", "oauth", "externalbrowser", "username_password_mfa"
    ] = Field(
        "keypair", description="keypair, programmatic_access_token, oauth, externalbrowser or username_password_mfa"
    )
    snowflake_private_key_path: Path | None = Field(None, description="file of the private key (PEM), for keypair")
    snowflake_private_key_passphrase: SecretStr | None = Field(None, description="its passphrase, if it has one")
    snowflake_token: SecretStr | None = Field(None, description="the token, for programmatic_access_token or oauth")
    snowflake_password: SecretStr | None = Field(
        None, description="a programmatic access token, or with username_password_mfa a person's password"
    )
    snowflake_passcode: SecretStr | None = Field(
        None, description="current code of the authenticator app, for username_password_mfa; default: a push"
    )
    snowflake_role: str = Field("ADVENTURE_LOADER", description="role of the processor")
    snowflake_warehouse: str = Field("ADVENTURE_WH", description="warehouse that loads and builds")
    snowflake_database: str = Field("ADVENTURE", description="database of the raw tables and the models")
    snowflake_dbt_target: Literal["prod", "dev"] = Field(
        "prod", description="where models are built: prod in the schema DBT_PROD, dev in DBT_DEV"
    )
    snowflake_dbt_user: str = Field("ADVENTURE_DBT", description="user of dbt; signs in as SNOWFLAKE_USER does")
    snowflake_dbt_role: str = Field("ADVENTURE_TRANSFORMER", description="role of dbt")
    snowflake_error_integration: str = Field(
        "", description="notification integration to which Snowflake reports failed loads; see failure_alerts.sql"
    )
    snowflake_monitor: str = Field("ADVENTURE_MONITOR", description="resource monitor of the warehouse")
    credit_budget: float | None = Field(
        None, gt=0, description="credits a month at which Adventure stops what needs the warehouse; default: no limit"
    )
    snowflake_dir: Path = Field(
        Path("snowflake"),
        description="folder of the scripts that set Snowflake up; default: ./snowflake, else the packaged one",
    )
    snowflake_host: str = Field("", description="another host than the account's, for a private link")
    snowflake_port: int = Field(443, ge=1, le=65535, description="its port")
    snowflake_protocol: Literal["https", "http"] = Field("https", description="https, or http for an emulator")

    # Everything
    hash_key: SecretStr | None = Field(
        None, min_length=16, description="key of the hashes of columns that `hash` names in pipeline.toml; keep it"
    )
    pipeline_file: Path = Field(
        Path("pipeline.toml"),
        description="the file that lists the streams; default: ./pipeline.toml, else the packaged one",
    )
    log_format: Literal["text", "json"] = Field("text", description="text, or json: one object a line")

    @field_validator("warehouse")
    @classmethod
    def _is_kind(cls, value: str) -> str:
        return check_kind(value, WAREHOUSES)

    @field_validator("dbt_dir", "snowflake_dir", "pipeline_file")
    @classmethod
    def _is_own_or_packaged(cls, value: Path) -> Path:
        return own_or_packaged(value)

    @field_validator("snowflake_authenticator", mode="before")
    @classmethod
    def _in_lower_case(cls, value: str) -> str:
        """Accept the upper case of Snowflake's own documents."""
        return value.lower()

    @field_validator("data_dir")
    @classmethod
    def _is_no_pattern(cls, value: Path) -> Path:
        """Reject a path that DuckDB would read as a pattern or as options."""
        found = sorted(set(str(value.absolute())) & set("*?[]\\"))
        if found:
            raise ValueError(f"the path {value.absolute()} contains {' '.join(found)}; choose a folder without")
        return value

    @field_validator("api_url")
    @classmethod
    def _is_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise ValueError("is no address such as https://api.example.com/v1")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError("may hold no user, no password and no parameters; put them in API_TOKEN or API_HEADERS")
        return value.rstrip("/")

    @field_validator("api_headers")
    @classmethod
    def _are_headers(cls, value: SecretStr | None) -> SecretStr | None:
        """Check the text here: an error must not quote it."""
        try:
            headers = json.loads(value.get_secret_value()) if value else {}
        except ValueError:
            headers = None
        if not isinstance(headers, dict) or not all(isinstance(text, str) for text in headers.values()):
            raise ValueError("is no JSON object of texts (its text is not shown)")
        return value

    @field_validator("state_dsn")
    @classmethod
    def _is_connection_string(cls, value: SecretStr | None) -> SecretStr | None:
        """Check the string here: the driver's own error quotes what may be a password."""
        if value is None:
            return None
        from psycopg import ProgrammingError
        from psycopg.conninfo import conninfo_to_dict

        try:
            conninfo_to_dict(value.get_secret_value())
        except ProgrammingError:
            raise ValueError("is not a libpq connection string (its text is not shown)") from None
        return value

    @property
    def env_file(self) -> Path:
        """The file that was read for variables that the environment lacks. It may not exist."""
        return self._env_file

    @property
    def own_source(self) -> SourceName | None:
        """The source that these settings are for; None if they are the usual ones."""
        return self._source

    def of_source(self, name: SourceName, given: "Settings") -> "Settings":
        """Return these settings, with those of the source's kind from `given`, also where they are defaults there.

        The state stays where it is: without STATE_DSN, in the database of POSTGRES_HOST.
        """
        own = {field: getattr(given, field) for field in source_fields(name.usual)}
        made = self.model_copy(update={**own, "state_dsn": SecretStr(self.state_conninfo)}).belonging_to(name)
        return made.connecting_by(given.postgres_url)

    def at_postgres(self, url: str) -> "Settings":
        """Return these settings with a whole connection string in the place of host, port, database, role and password.

        Raises:
            ValueError: it is malformed; the message does not quote it, because it may hold a password.
        """
        from psycopg import ProgrammingError
        from psycopg.conninfo import conninfo_to_dict, make_conninfo

        try:
            parts = conninfo_to_dict(url)
        except ProgrammingError:
            raise ValueError("is not a libpq connection string (its text is not shown)") from None
        # The catalogue's queries and the slot's name need role and database. libpq's default database is the role.
        user = parts.get("user") or self.postgres_user
        made = self.model_copy(update={"postgres_user": user, "postgres_db": parts.get("dbname") or user})
        return made.connecting_by(SecretStr(make_conninfo(url, user=user, dbname=made.postgres_db)))

    def connecting_by(self, url: SecretStr | None) -> "Settings":
        """Note the whole connection string of the PostgreSQL source, if there is one, and return the settings."""
        self._postgres_url = url
        return self

    @property
    def postgres_url(self) -> SecretStr | None:
        """The whole connection string of the PostgreSQL source; None if single settings hold it."""
        return self._postgres_url

    def belonging_to(self, name: SourceName) -> "Settings":
        """Note the source that these settings are for, and return them."""
        self._source = name
        return self

    def read_from(self, env_file: Path) -> "Settings":
        """Note the file that was read, and return the settings."""
        self._env_file = env_file
        return self

    @property
    def stage_dir(self) -> Path:
        """Folder of the staged files (DuckDB's stage)."""
        return self.data_dir / "stages"

    @property
    def unfinished_dir(self) -> Path:
        """Folder of unfinished files, on the stage's file system, so that staging a file copies nothing."""
        return self.stage_dir / ".unfinished"

    @property
    def cycle_interval_sec(self) -> float:
        """Seconds between two cycles of the processor; 0 for one cycle."""
        shortest = WAREHOUSES[self.warehouse].interval_setting
        if not shortest or self.processor_interval_sec == 0:
            return self.processor_interval_sec
        return max(self.processor_interval_sec, float(getattr(self, shortest)))

    @property
    def observed_path(self) -> Path:
        """File in which the task server writes what the sources, watermarks and stages show, for the dashboard."""
        return self.data_dir / "observed.json"

    @property
    def alerts_path(self) -> Path:
        """File in which the alerts keep what was sent."""
        return self.data_dir / "alerts.json"

    @property
    def processor_failures(self) -> Path:
        """Where `status` and the dashboard look for the processor's failures."""
        return beside(self.processor_heartbeat)

    @property
    def processor_heartbeat(self) -> Path:
        """Where the dashboard looks for the heartbeat, and where the processor beats unless HEARTBEAT_FILE is set."""
        return self.processor_heartbeat_file or self.data_dir / "processor.heartbeat"

    @property
    def silence_sec(self) -> float:
        """How long the processor waits for a word from a source: a little less than what counts as stuck."""
        return 0.9 * self.stuck_after_sec

    @property
    def duckdb_path(self) -> Path:
        """The warehouse file."""
        return self.data_dir / "warehouse.duckdb"

    @property
    def published_path(self) -> Path:
        """The read-only copy of what the dashboard shows."""
        return self.data_dir / "dashboard.duckdb"

    @property
    def report_path(self) -> Path:
        """The file with the state of the pipeline, for the dashboard."""
        return self.data_dir / "pipeline.duckdb"

    @property
    def postgres_dsn(self) -> str:
        """The source as a libpq connection string, password included: never log it."""
        from psycopg.conninfo import conninfo_to_dict, make_conninfo

        certificates = (self.postgres_sslrootcert, self.postgres_sslcert, self.postgres_sslkey)
        tls: dict[str, str] = {"sslmode": self.postgres_sslmode or ("verify-full" if any(certificates) else "")}
        for name, certificate in zip(("sslrootcert", "sslcert", "sslkey"), certificates, strict=True):
            tls[name] = str(certificate or "")
        tls = {name: value for name, value in tls.items() if value}
        if self._postgres_url:
            url = self._postgres_url.get_secret_value()
            return make_conninfo(url, **(tls | {name: str(part) for name, part in conninfo_to_dict(url).items()}))
        return make_conninfo(
            host=self.postgres_host,
            port=self.postgres_port,
            dbname=self.postgres_db,
            user=self.postgres_user,
            password=self.postgres_password.get_secret_value(),
            **tls,
        )

    @property
    def state_conninfo(self) -> str:
        """Where the watermarks are kept, password included: never log it."""
        return self.state_dsn.get_secret_value() if self.state_dsn else self.postgres_dsn

    @property
    def mongo_conninfo(self) -> str:
        """The MongoDB URI, credentials included: never log it."""
        uri = self.mongo_uri.get_secret_value() if self.mongo_uri else f"mongodb://{self.mongo_host}:{self.mongo_port}"
        files = {"tlsCAFile": self.mongo_tls_ca_file, "tlsCertificateKeyFile": self.mongo_tls_certificate_key_file}
        given = {name: str(path) for name, path in files.items() if path}
        if not self.mongo_tls and not given:
            return uri
        address, _, options = uri.partition("?")
        if "/" not in address.partition("://")[2]:
            address += "/"
        return f"{address}?{'&'.join(filter(None, (options, urlencode({'tls': 'true', **given}))))}"


def source_fields(usual: str) -> list[str]:
    """Return the fields of a source whose settings begin so. The collection of the demo's chats is none of them."""
    return [name for name in Settings.model_fields if name.startswith(usual.lower()) and name != "mongo_collection"]
