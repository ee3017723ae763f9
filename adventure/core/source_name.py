"""Name a source and its settings in errors, so that the fix names a variable that the operator really has."""

from dataclasses import dataclass


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

    def __str__(self) -> str:
        """Return the title."""
        return self.title

    def fix(self, text: str) -> str:
        """Return the text with the source's own names in the place of the usual ones."""
        return text.replace(self.usual, self.prefix)
