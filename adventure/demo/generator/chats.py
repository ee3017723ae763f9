"""Make support chats about orders: opened, answered, closed with a resolution and a rating. No database is needed."""

import random
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId

from adventure.demo.generator.dialogues import CLOSED, Dialogue, Facts, Turn, write_dialogue
from adventure.demo.generator.orders import Sale

_FIRST_DAYS, _DELIVERED_DAYS = (0.01, 4.0), (8.5, 21.0)
"""Days after an order in which customers write: before it is shipped, and after it was delivered."""
_DELIVERED_SHARE = 0.6
_WITHOUT_ANSWER = 0.05
"""Share of the customers who never answer the agent's question."""


def open_chat(
    rng: random.Random, sale: Sale, now: datetime, outage: tuple[datetime, datetime] | None = None
) -> dict[str, Any]:
    """Return a new chat about a sale, begun before or after its delivery and not in the future.

    Args:
        outage: begin and end of the time in which the customer could not pay: the chat is about that.
    """
    key = ObjectId(rng.getrandbits(96).to_bytes(12, "big"))
    begin, end = outage or _period(rng, sale, now)
    started = _milliseconds(min(now, begin + (end - begin) * rng.random()))
    facts = Facts(
        sale.customer_id,
        sale.product_id,
        _milliseconds(sale.order_date),
        started,
        sale.order_number,
        outage=outage is not None,
    )
    dialogue = write_dialogue(str(key), facts)
    return {
        "_id": key,
        "customer_id": sale.customer_id,
        "product_id": sale.product_id,
        "sales_order_id": sale.order_id,
        "order_date": facts.order_date,
        "chat_start_time": started,
        "chat_completion_time": None,
        "ticket_channel": dialogue.channel,
        "ticket_type": dialogue.kind,
        "ticket_subject": dialogue.subject,
        "ticket_description": dialogue.turns[0].text,
        "resolution": None,
        "ticket_priority": dialogue.priority,
        "ticket_status": dialogue.turns[0].status,
        "customer_satisfaction_rating": None,
        "messages": [_message(dialogue.turns[0], started)],
        "last_modified": _milliseconds(now),
    }


def advance_chat(chat: dict[str, Any], now: datetime) -> dict[str, Any]:
    """Return the fields that the next message changes; the last message closes the chat."""
    facts = Facts(chat["customer_id"], chat["product_id"], chat["order_date"], chat["chat_start_time"])
    dialogue = write_dialogue(str(chat["_id"]), facts)
    messages = chat["messages"]
    if (dialogue.subject, dialogue.channel) != (chat["ticket_subject"], chat["ticket_channel"]):
        # An earlier version of the generator began this chat, or it is about an outage: close it.
        words = Turn("agent", "Thank you for your patience. As agreed on the phone, all is settled now.", 10, CLOSED)
        return _with_turn(dialogue, messages, words, now) | {"resolution": "Settled on the phone."}
    return _with_turn(dialogue, messages, dialogue.turns[min(len(messages), len(dialogue.turns) - 1)], now)


def advance_to(rng: random.Random, chat: dict[str, Any], now: datetime, *, outage: bool) -> None:
    """Add all messages of the chat whose time has come; some customers never answer.

    Args:
        outage: the chat is about an outage.
    """
    facts = Facts(chat["customer_id"], chat["product_id"], chat["order_date"], chat["chat_start_time"], outage=outage)
    dialogue = write_dialogue(str(chat["_id"]), facts)
    for turn in dialogue.turns[1:2] if rng.random() < _WITHOUT_ANSWER and not outage else dialogue.turns[1:]:
        if chat["messages"][-1]["sent_at"] + timedelta(minutes=turn.minutes) > now:
            break
        chat |= _with_turn(dialogue, chat["messages"], turn, now)


def _with_turn(dialogue: Dialogue, messages: list[dict[str, Any]], turn: Turn, now: datetime) -> dict[str, Any]:
    """Return the fields that one more message changes."""
    sent_at = _milliseconds(min(now, messages[-1]["sent_at"] + timedelta(minutes=turn.minutes)))
    changes = {
        "messages": [*messages, _message(turn, sent_at)],
        "ticket_status": turn.status,
        "last_modified": _milliseconds(now),
    }
    if turn.status == CLOSED:
        changes |= {
            "chat_completion_time": sent_at,
            "resolution": dialogue.resolution,
            "customer_satisfaction_rating": dialogue.rating,
        }
    return changes


def _period(rng: random.Random, sale: Sale, now: datetime) -> tuple[datetime, datetime]:
    """Return the time in which the customer may write."""
    first, last = _FIRST_DAYS
    if now > sale.order_date + timedelta(days=_DELIVERED_DAYS[0]) and rng.random() < _DELIVERED_SHARE:
        first, last = _DELIVERED_DAYS
    begin = min(now, sale.order_date + timedelta(days=first))
    return begin, max(begin, min(now, sale.order_date + timedelta(days=last)))


def _message(turn: Turn, sent_at: datetime) -> dict[str, Any]:
    return {"sender": turn.sender, "sent_at": sent_at, "text": turn.text}


def _milliseconds(moment: datetime) -> datetime:
    """Truncate to milliseconds, the resolution of MongoDB's dates."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
