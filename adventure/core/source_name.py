"""Name a source and its settings in errors, so that the fix names a variable that the operator really has."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class SourceName:
    """How errors name a source."""

    label: str
    """Such as `postgres`, or the name that pipeline.toml gives to the source."""
    title: str
    """Such as `the source database`, or `the source shop_eu`."""
    usual: str
    """How the settings of the kind begin, such as `POSTGRES_`."""
    prefix: str
    """How the source's own settings begin; the usual one unless pipeline.toml has a table for the source."""

    own: Mapping[str, str] = field(default_factory=dict, compare=False)
    """Variables that do not only differ in the prefix, by the usual name: those that one address replaces."""

    def __str__(self) -> str:
        """Return the title."""
        return self.title

    def fix(self, text: str) -> str:
        """Return the text with the source's own names in the place of the usual ones."""
        for usual, variable in self.own.items():
            text = re.sub(rf"\b{usual}\b", variable, text)
        for variable in set(self.own.values()):
            # Several settings that the address holds are one variable.
            text = re.sub(rf"\b{variable}(?:(?:, | and | or ){variable}\b)+", variable, text)
        return text.replace(self.usual, self.prefix)
