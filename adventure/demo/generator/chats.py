"""Generate support chats about orders: opened, answered, closed with a rating. No database is needed."""

import random
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId

from adventure.demo.generator.orders import Sale

CHANNELS = ("Email", "Phone", "Chat", "Social media")
PRIORITIES = ("Low", "Medium", "High", "Critical")
OPEN, PENDING, CLOSED = "Open", "Pending", "Closed"

_SUBJECTS = {
    "Refund request": ("Refund request",),
    "Cancellation request": ("Cancellation request",),
    "Technical issue": (
        "Hardware issue", "Network problem", "Software bug", "Data loss", "Battery life", "Display issue",
        "Peripheral compatibility", "Installation support",
    ),
    "Billing inquiry": ("Payment issue", "Account access"),
    "Product inquiry": ("Product recommendation", "Product compatibility", "Product setup", "Delivery problem"),
}  # fmt: skip
_OPENERS = (
    "Hello, I am writing about my order: {subject}. Can you help?",
    "Good day! {subject} is why I write; the order arrived only in part.",
    "I have been waiting for an answer about this for days: {subject}.",
    "Could somebody please look into this? {subject}. Thank you.",
)
_ANSWERS = (
    "Thank you for your message. I am looking into it.",
    "I am sorry about that. Could you send me the serial number?",
    "I have found your order and see what is wrong.",
)
_RESOLUTIONS = (
    "Sent a replacement; the customer confirmed that it arrived.",
    "Refunded in full to the card that was used.",
    "Explained the steps in a call; it works now.",
    "Corrected the invoice and sent it again.",
)


def open_chat(rng: random.Random, sale: Sale, now: datetime) -> dict[str, Any]:
    """Return a new chat about a sale, started within two days of the order and not in the future."""
    kind = rng.choice(tuple(_SUBJECTS))
    subject = rng.choice(_SUBJECTS[kind])
    started = min(now, sale.order_date + timedelta(minutes=rng.randrange(5, 2 * 24 * 60)))
    text = rng.choice(_OPENERS).format(subject=subject)
    return {
        "_id": ObjectId(rng.getrandbits(96).to_bytes(12, "big")),
        "customer_id": sale.customer_id,
        "product_id": sale.product_id,
        "sales_order_id": sale.order_id,
        "order_date": _milliseconds(sale.order_date),
        "chat_start_time": _milliseconds(started),
        "chat_completion_time": None,
        "ticket_channel": rng.choice(CHANNELS),
        "ticket_type": kind,
        "ticket_subject": subject,
        "ticket_description": text,
        "resolution": None,
        "ticket_priority": rng.choice(PRIORITIES),
        "ticket_status": OPEN,
        "customer_satisfaction_rating": None,
        "messages": [{"sender": "customer", "sent_at": _milliseconds(started), "text": text}],
        "last_modified": _milliseconds(now),
    }


def advance_chat(rng: random.Random, chat: dict[str, Any], now: datetime) -> dict[str, Any]:
    """Return the fields that an agent's answer changes; three in four chats are closed with a rating."""
    started: datetime = chat["chat_start_time"]
    answered = min(now, started + timedelta(minutes=rng.randrange(1, 120)))
    answer = {"sender": "agent", "sent_at": _milliseconds(answered), "text": rng.choice(_ANSWERS)}
    changes: dict[str, Any] = {
        "messages": [*chat["messages"], answer],
        "ticket_status": PENDING,
        "last_modified": _milliseconds(now),
    }
    if rng.random() < 0.75:
        completed = min(now, answered + timedelta(minutes=rng.randrange(5, 24 * 60)))
        changes |= {
            "ticket_status": CLOSED,
            "chat_completion_time": _milliseconds(completed),
            "resolution": rng.choice(_RESOLUTIONS),
            "customer_satisfaction_rating": pick_rating(rng),
        }
    return changes


def pick_rating(rng: random.Random) -> int:
    """Return a rating from 1 to 5; most customers are content."""
    return rng.choices((1, 2, 3, 4, 5), (6, 8, 18, 36, 32))[0]


def _milliseconds(moment: datetime) -> datetime:
    """Truncate to milliseconds, the resolution of MongoDB's dates."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
