"""Test the texts of the support chats: varied, complete, about the product, with an outcome that fits."""

import random
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import yaml

from adventure.demo.catalogue import customers, sold_products
from adventure.demo.generator.dialogues import CHANNELS, Dialogue, Facts, write_dialogue
from adventure.demo.generator.matters import MATTERS, SUBJECTS
from adventure.demo.generator.things import thing_of

ORDERED = datetime(2026, 3, 2, 12)
ON_SALE = [product for product in sold_products() if product.on_sale(ORDERED.date())]


def dialogue(number: int, days: float, *, outage: bool = False, order_number: str = "SO75124") -> Dialogue:
    customer, product = customers()[number * 7 % len(customers())], ON_SALE[number % len(ON_SALE)]
    started = ORDERED + timedelta(days=days)
    return write_dialogue(
        f"chat {number}", Facts(customer.customer_id, product.product_id, ORDERED, started, order_number, outage)
    )


@pytest.fixture(scope="module")
def dialogues() -> list[Dialogue]:
    return [dialogue(number, days) for number in range(600) for days in (1, 10)]


def test_texts_are_varied(dialogues: list[Dialogue]) -> None:
    openings = {each.turns[0].text for each in dialogues}
    assert len(openings) > 0.9 * len(dialogues)
    for size, expected in ((145, 300), (1200, 2000)):
        sample = random.Random(1).sample(dialogues, size)
        assert len({turn.text for each in sample for turn in each.turns}) > expected
    assert len({each.resolution for each in dialogues}) > 200


def test_every_text_is_complete(dialogues: list[Dialogue]) -> None:
    dialogues = [*dialogues, *(dialogue(number, 2, outage=True) for number in range(50))]
    for text in (text for each in dialogues for text in (each.resolution, *(turn.text for turn in each.turns))):
        assert not set("{}[]|\t\n\\") & set(text), text
        assert text[0].isupper() or text[0] in "$0123456789", text
        assert not [blank for blank in ("  ", " .", " ,") if blank in text], text


def test_turns_refer_to_each_other_and_to_the_order(dialogues: list[Dialogue]) -> None:
    names = {customer.first_name for customer in customers()}
    for each in dialogues:
        senders = [turn.sender for turn in each.turns]
        assert senders == ["customer", "agent", "customer", "agent", "customer"]
        assert each.turns[1].text.split()[1].rstrip(",") in names
    about = sum(any(p.name.split(",")[0] in each.turns[0].text for p in ON_SALE) for each in dialogues)
    by_number = sum("SO75124" in each.turns[0].text for each in dialogues)
    assert about + by_number >= len(dialogues)


def test_a_dialogue_does_not_depend_on_the_order_number() -> None:
    for number in range(100):
        assert dialogue(number, 1).turns[1:] == dialogue(number, 1, order_number="").turns[1:]


def test_refund_requests_are_mostly_refunded_and_else_exchanged_or_explained(dialogues: list[Dialogue]) -> None:
    resolutions = [each.resolution.lower() for each in dialogues if each.kind == "Refund request"]
    refunded = [text for text in resolutions if "refunded" in text or "refund of $" in text]
    assert len(refunded) / len(resolutions) > 0.6
    others = set(resolutions) - set(refunded)
    assert all("explained" in text or "exchanged" in text for text in others)


def test_an_unhappy_end_has_a_lower_rating(dialogues: list[Dialogue]) -> None:
    ratings: dict[bool, list[int]] = {True: [], False: []}
    for each in dialogues:
        ratings["declined" in each.resolution or "; no refund" in each.resolution].append(each.rating)
    unhappy, others = (sum(found) / len(found) for found in (ratings[True], ratings[False]))
    assert unhappy < 3 < 3.8 < others


def test_cancellations_and_ship_dates_come_before_the_delivery(dialogues: list[Dialogue]) -> None:
    before, after = dialogues[0::2], dialogues[1::2]
    assert not [each for each in after if each.kind == "Cancellation request"]
    assert not [each for each in before if each.subject in ("Hardware issue", "Installation support")]
    assert Counter(each.kind for each in before)["Cancellation request"] > 50


def test_only_things_of_a_bicycle_shop() -> None:
    assert {
        "Refund request", "Cancellation request", "Delivery problem", "Payment issue", "Account access",
        "Product compatibility", "Product recommendation", "Hardware issue", "Product setup", "Installation support",
    } == SUBJECTS  # fmt: skip
    assert all(thing_of(product).word for product in ON_SALE)
    assert sum(matter.when == "outage" for matter in MATTERS) == 1


def test_the_models_accept_each_status_kind_channel_and_priority(dialogues: list[Dialogue]) -> None:
    models = Path(__file__).parents[2] / "dbt/models/staging/real_time/_real_time__models.yml"
    (columns,) = (
        {column: set(values) for column, values in check["column_rules"]["arguments"]["accepted"].items()}
        for model in yaml.safe_load(models.read_text(encoding="utf-8"))["models"]
        for check in model.get("data_tests", ())
        if "column_rules" in check
    )
    assert columns["ticket_status"] == {turn.status for each in dialogues for turn in each.turns}
    assert columns["ticket_type"] == {each.kind for each in dialogues}
    assert columns["ticket_channel"] == {each.channel for each in dialogues} == set(CHANNELS)
    assert columns["ticket_priority"] == {each.priority for each in dialogues}
