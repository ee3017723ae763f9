"""Fail on demand, as APIs do: slow answers, 429 with Retry-After, 500, and bodies that end too early."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import Response

from adventure.core.errors import ConfigError

KINDS = ("429", "500", "cut")


@dataclass
class Faults:
    """Which share of the answers fails, and how.

    Args:
        latency: seconds before each answer.
        shares: the share of the answers that fail in that way; see KINDS.
    """

    latency: float = 0.0
    shares: dict[str, float] = field(default_factory=dict)
    rng: random.Random = field(default_factory=random.Random)

    def apply(self, response: Response) -> Response:
        """Return the answer, or what is sent instead."""
        (kind,) = self.rng.choices([*self.shares, ""], [*self.shares.values(), max(0.0, 1 - sum(self.shares.values()))])
        if kind == "429":
            return Response(b'{"error": "too many requests"}', 429, {"retry-after": "1"}, "application/json")
        if kind == "500":
            return Response(b'{"error": "internal"}', 500, media_type="application/json")
        return Cut(response.body, response.status_code, dict(response.headers)) if kind == "cut" else response


class Cut(Response):
    """An answer whose body ends half way, as when a server dies."""

    async def __call__(self, scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        """Send the head of the whole answer and half of its body."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": bytes(self.body[: len(self.body) // 2])})


def parse_faults(text: str) -> Faults:
    """Return the faults that a text such as `latency=0.2 429=0.05 500=0.05 cut=0.05` names.

    Raises:
        ConfigError: the text is none such.
    """
    found: dict[str, float] = {}
    for part in text.split():
        name, _, value = part.partition("=")
        try:
            found[name] = float(value)
        except ValueError:
            found[name] = -1.0
        if name not in ("latency", *KINDS) or not 0 <= found[name] < float("inf"):
            raise ConfigError(
                f"SHOP_API_FAULTS: {part!r} is none of latency=SECONDS, 429=SHARE, 500=SHARE and cut=SHARE",
                "Write for example: latency=0.2 429=0.05",
            )
    latency = found.pop("latency", 0.0)
    if sum(found.values()) > 1:
        raise ConfigError("SHOP_API_FAULTS: the shares are more than 1 together", "Make them smaller")
    return Faults(latency, found)
