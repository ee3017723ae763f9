"""How an endpoint of an HTTP API is read: the table `api` of a stream's entry in pipeline.toml."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

_Text = Annotated[str, Field(min_length=1)]


class Api(BaseModel):
    """Names and forms that differ between APIs. A path such as `data.items` names a member within an object."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    records: str = ""
    """Path of the list of records; empty if the answer is that list."""
    total: str = ""
    """Path of the number of all records; empty if the API does not tell it, and `check` reads all records."""
    since: _Text | None = None
    """Parameter for the lowest cursor; None if the API has none, and every cycle reads all records."""
    time: Literal["iso", "seconds", "milliseconds"] = "iso"
    """Form of the cursor and of `since`: ISO-8601 text, or a number since 1970."""
    pages: Literal["none", "link", "next", "token", "number", "offset"] = "none"
    """How the next page is found: a Link header, a URL or token at `next`, or a parameter that counts."""
    next: str = ""
    """Path of the next page's URL or token."""
    page: _Text = "page"
    """Parameter for the token, the page number or the offset."""
    first_page: int = Field(1, ge=0)
    """Number of the first page."""
    size: _Text | None = None
    """Parameter for the number of records in a page; None if the API has none."""
    page_size: int = Field(1000, ge=1)
    """Value of that parameter."""
    answer_mb: int = Field(64, ge=1)
    """The most megabytes (2**20 bytes) of one answer, decompressed: a longer one is an error. It bounds the memory."""
    parameters: dict[str, str] = {}
    """Other parameters of every request, such as the order."""
    requests_per_second: float | None = Field(None, gt=0)
    """The most requests; None for no limit."""

    @model_validator(mode="after")
    def _has_next(self) -> "Api":
        if self.pages in ("next", "token") and not self.next:
            raise ValueError(f'pages = "{self.pages}" needs next, the path of the next page\'s URL or token')
        return self
