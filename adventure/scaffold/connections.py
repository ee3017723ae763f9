"""The sources that `adventure init` asks, and the settings with which the pipeline reaches them later."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import SecretStr

from adventure.core.errors import ConfigError
from adventure.core.kinds import SOURCES, SourceKind
from adventure.core.settings import Settings
from adventure.factory import address_settings


@dataclass(frozen=True)
class Connections:
    """The sources to ask, and the settings to write into .env."""

    settings: Settings
    kinds: tuple[str, ...]
    env: Mapping[str, str]


def askable() -> list[SourceKind]:
    """Return the kinds that propose streams."""
    return [kind for kind in SOURCES.values() if kind.address]


def connections(settings: Settings, addresses: Mapping[str, str], passwords: Mapping[str, str]) -> Connections:
    """Return the sources at these addresses; without any, those that the settings name.

    Args:
        addresses: by the name of the kind.
        passwords: for addresses without one, by the name of the kind; else the settings' passwords are used.

    Raises:
        ConfigError: no source is named, or an address cannot be used.
    """
    if addresses:
        fields: dict[str, str] = {}
        for name, address in addresses.items():
            fields |= _with_password(settings, SOURCES[name], address, passwords.get(name))
        kinds = tuple(addresses)
    else:
        kinds, fields = _set_here(settings)
    if not kinds:
        options = " or ".join(f"--{kind.name} {kind.address}" for kind in askable())
        raise ConfigError("No database is named", f"Add {options}")
    changed = settings.model_copy(update=_validated(fields))
    env = {name.upper(): value for name, value in sorted(fields.items())}
    return Connections(changed, kinds, env)


def lacks_password(kind: SourceKind, address: str, settings: Settings) -> bool:
    """Return whether the kind has a password, and neither the address nor the settings have it."""
    setting = kind.password_setting
    return bool(setting) and setting not in address_settings(kind.name, address) and not _plain(settings, setting)


def _with_password(settings: Settings, kind: SourceKind, address: str, password: str | None) -> dict[str, str]:
    fields = address_settings(kind.name, address)
    if kind.password_setting and (known := password or _plain(settings, kind.password_setting)):
        fields.setdefault(kind.password_setting, known)
    return fields


def _set_here(settings: Settings) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the kinds for which a setting is set, and all settings of these kinds and of the state."""
    prefixes = {kind.name: kind.settings.lower() for kind in askable()}
    fields = [name for name in settings.model_fields_set if name.startswith((*prefixes.values(), "state_"))]
    kinds = tuple(kind for kind, prefix in prefixes.items() if any(name.startswith(prefix) for name in fields))
    return kinds, {name: _plain(settings, name) for name in fields}


def _validated(fields: Mapping[str, str]) -> dict[str, object]:
    """Return the values as settings have them."""
    parsed = Settings.model_validate(fields)
    return {name: getattr(parsed, name) for name in fields}


def _plain(settings: Settings, name: str) -> str:
    value = getattr(settings, name)
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
