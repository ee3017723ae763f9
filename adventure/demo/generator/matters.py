"""Why customers write, what an agent asks, and how it ends. `[a|b]` means: either of the two.

`{…}` stands for a fact of the order or of the kind of product, see `dialogues`.
"""

# Sentences are easier to read and to change on one line.
# ruff: noqa: E501

from dataclasses import dataclass
from typing import Literal

When = Literal["before", "after", "any", "outage"]


@dataclass(frozen=True)
class Outcome:
    """How a matter ends."""

    weight: float
    reply: str
    """The agent's last words on the matter."""
    resolution: str
    mood: Literal["happy", "neutral", "unhappy"] = "happy"
    answer: str = ""
    """The customer's answer, where it decides on the outcome."""


@dataclass(frozen=True)
class Matter:
    """A reason to contact the shop."""

    kind: str
    subject: str
    when: When
    """Whether customers write about it before or after the delivery."""
    weight: float
    opening: str
    question: str
    answer: str
    outcomes: tuple[Outcome, ...]
    priorities: tuple[str, ...] = ("Low", "Medium", "Medium", "High")
    about: Literal["all", "worn", "bike", "mounted"] = "all"
    """The kinds of product: all, those to wear, bikes and frames, or those that have to be mounted."""


_RETURN_LABEL = "[I have sent you a return label|You will find a return label in your mail]"

MATTERS = (
    Matter("Refund request", "Refund request", "after", 3,
        "the {product} [came today|arrived], and {it} {is} [too small|too tight] for me, [although I followed the size chart|in spite of the right size on paper]."
        " [I would like my money back.|Can I return {it} for a refund?]",
        "I can arrange that. {Is} the {noun} [unworn|unused], with all labels and in the original packaging?",
        "Yes, I [only tried {it} on|took {it} out of the box once], and all labels are still on.",
        (Outcome(7, f"{_RETURN_LABEL}. I refund {{price}} to your card [as soon as the parcel is scanned|today, so that you do not have to wait].",
                 "Returned unused; {price} refunded to the card."),
         Outcome(2, "[The next size is in stock|I have the next size here], so I can exchange {it} without any cost. [It leaves today|It goes out this afternoon].",
                 "Exchanged for the next size; the customer prefers that to a refund.",
                 answer="Yes, all as new. [If you have the next size, I would also take that|An exchange would be fine, too]."),
         Outcome(2, "Thank you for being open about it. What has been [ridden in|washed] cannot be sold again, so I cannot refund {it}. I can offer 15 % off your next order.",
                 "Refund declined and explained: the {noun} {has} been used. Offered 15 % off the next order.", "unhappy",
                 "To be honest, I [wore {it} on one ride|used {it} twice], and the labels are [gone|cut off].")),
        about="worn"),
    Matter("Refund request", "Refund request", "after", 2,
        "I put the {product} together, and the frame is too [small|large] for me[, although I followed the size chart|]. [Can I send it back for a refund?|I would like to return it.]",
        "That is possible within 30 days. Have you ridden it, and do you still have the box?",
        "I only [sat on it in the living room|rolled around the yard], and I still have the box.",
        (Outcome(5, "Good. The carrier collects the box [on Monday|the day after tomorrow], and I refund {price} to your card when it is here.",
                 "Returned unridden; {price} refunded to the card."),
         Outcome(2, "I have the [next|right] size here, so I can exchange it: the carrier brings the new one and takes yours back.",
                 "Exchanged for the right size; the customer prefers that to a refund.",
                 answer="I only sat on it. If you have the right size, I would rather exchange it."),
         Outcome(2, "Thank you for being open about it. A {noun} that was ridden outside is used, so I cannot refund it. Our partner workshop in {city} can adjust it to you for free.",
                 "Refund declined and explained: the {noun} was ridden outside. Offered a free fitting.", "unhappy",
                 "I rode it [to work for a week|on two tours], and the box is gone.")),
        about="bike"),
    Matter("Refund request", "Refund request", "after", 2,
        "{symptom}. The {product} {is} [only a few days old|practically new], so I want [my money back|a refund], not a repair.",
        "I am sorry, that must not happen. {question}",
        "{answer}",
        (Outcome(6, f"Thank you, that is clear. {_RETURN_LABEL}, and I have refunded {{price}} to your card.",
                 "Defect confirmed ({symptom}); {price} refunded to the card."),
         Outcome(1, "Thank you, that is clear. I refund a third of the price, {third}, if you keep the {noun}; otherwise I refund all of it. [Is that all right?|]",
                 "The customer keeps the {noun}; {third} refunded for the defect.", "neutral"),
         Outcome(1, "{advice} That takes five minutes, so I ask you to try it first; if it does not help, I refund the full price.",
                 "Explained how to correct it; a refund follows if that does not help.", "neutral"))),
    Matter("Refund request", "Refund request", "after", 1,
        "the {product} {is} [not the colour that I saw on the page|not what I expected from the pictures]. [How do I get my money back|What do I have to do for a refund]?",
        "You can return {it} within 30 days. {Is} {it} unused?",
        "Yes, [I did not even take {it} out of the bag|I only looked at {it}].",
        (Outcome(8, f"{_RETURN_LABEL}; drop the parcel at any post office. {{price}} will be on your card in [three|four|five] days.",
                 "Returned unused within 30 days; {price} refunded to the card."),)),
    Matter("Refund request", "Refund request", "before", 2,
        "[the price of the {product} dropped the day after I ordered|I ordered the {product}, and today {it} {is} cheaper on your page]. Could you refund the difference?",
        "Let me check. Which price do you see now?",
        "[15 % less than I paid|{cheaper} instead of {price}].",
        (Outcome(7, "You are right, the offer began one day after your order. I have refunded the difference to your card.",
                 "Refunded the difference to the price of the offer that began a day later."),
         Outcome(2, "That price is for store customers with a frame contract, so I cannot apply it here. I am sorry that the page showed it to you.",
                 "Explained that the lower price holds for store customers only; no refund.", "unhappy"))),
    Matter("Refund request", "Refund request", "before", 1,
        "I [cancelled|changed] the order for the {product}, and the money for the {noun} [is still missing|has not come back]. Where is my refund?",
        "I am sorry for the wait. Did you pay by card, and does your bank show the payment as pending or as booked?",
        "By card, and it says [pending|booked].",
        (Outcome(5, "The refund of {price} left us this morning; your bank needs [two|three] working days.",
                 "Refund of {price} sent to the card; the bank needs some days."),
         Outcome(1, "I see it now: the refund was stopped for a check. I have released it, so {price} arrives this week.",
                 "Released the refund of {price}, which was held for a check.", "neutral"))),
    Matter("Cancellation request", "Cancellation request", "before", 4,
        "[please cancel my order for the {product}|I need to cancel the {product}]: [I ordered the wrong size|my partner bought the same as a present|I clicked twice and ordered two times"
        "|I will be abroad for two months].",
        "It has not left our warehouse, so that is possible. Shall I cancel the whole order, or only the {noun}?",
        "The whole order, please.",
        (Outcome(5, "Done. You have not been charged; the reservation of {price} on your card disappears within two days.",
                 "Cancelled before shipping; the card was not charged."),
         Outcome(3, "Done: the {noun} {is} cancelled, and the rest ships on {ship} as planned.",
                 "Cancelled the {noun}; the rest of the order ships as planned.", answer="Only the {noun}, please."),
         Outcome(1, "I am sorry: the warehouse packed it an hour ago, and I cannot stop it any more. Refuse the parcel at the door, and I refund everything.",
                 "Too late to stop the parcel; explained how to refuse it for a full refund.", "neutral"))),
    Matter("Cancellation request", "Cancellation request", "before", 1,
        "[your page now says that the {product} takes longer|I need the {product} by the weekend, and it ships on {ship} only]. [Then I would rather cancel|Please cancel in that case].",
        "I understand. There is one way to send it sooner: by overnight freight. Would that help, or shall I cancel?",
        "Thank you, but please cancel.",
        (Outcome(2, "Cancelled. I am sorry that we could not make it in time.",
                 "Cancelled, since the ship date was too late for the customer.", "neutral"),
         Outcome(3, "Done: it goes by overnight freight, at no cost for you, and arrives [tomorrow|the day after tomorrow].",
                 "Kept the order; sent it by overnight freight at no cost.",
                 answer="[Overnight would be great|If it comes this week, I keep it], thank you."))),
    Matter("Product inquiry", "Delivery problem", "before", 4,
        "[when does my {product} arrive|where is my order with the {product}]? I ordered on {date} and [have not heard anything since|cannot find a tracking number].",
        "It leaves our warehouse on {ship}; the tracking number comes by mail that day. Is the address in {city} still right?",
        "Yes, {city} is right.",
        (Outcome(5, "Then all is well. The carrier needs [three to five|four to six] days from there to {city}.",
                 "Told the ship date, {ship}; the tracking number follows by mail."),
         Outcome(2, "Thank you, I have changed the address. The ship date stays {ship}.",
                 "Changed the delivery address before shipping.",
                 answer="No, we moved last week. Please send it to [our shop in the next street|my office, the address is in my account|the new address in my account].")),
        ("Low", "Medium", "Medium")),
    Matter("Product inquiry", "Delivery problem", "after", 3,
        "my parcel came [today|yesterday], but the {product} [{is} missing|{is} not in the box]. The rest is complete.",
        "I am sorry. Is there a second number on the label, such as 1/2, or a delivery note that mentions the {noun}?",
        "[The label says 1/2|There is a note, and the {noun} {is} ticked as packed].",
        (Outcome(4, "Then it travels in a second parcel, which the carrier has scanned in {city} this morning. It should be with you tomorrow.",
                 "Part of the order is in a second parcel; told the customer when it comes."),
         Outcome(4, "Then the mistake is ours. A new one leaves today by express, without any cost.",
                 "Sent the missing {noun} by express."))),
    Matter("Product inquiry", "Delivery problem", "after", 2,
        "the box with the {product} arrived [crushed|torn open|soaking wet]. [The driver left before I could say anything|I took photos at once].",
        "I am sorry to hear that. {Is} the {noun} damaged, too, or only the box?",
        "[Only the box, as far as I can see|The {noun} {has} scratches and a dent].",
        (Outcome(3, "Thank you. Please send the photos; I report it to the carrier and send you a replacement today.",
                 "Reported the damage to the carrier and sent a replacement.", answer="The {noun} {has} scratches and a dent."),
         Outcome(2, "Good. I note it for the carrier. If you find anything in the next weeks, write to me and I replace {it}.",
                 "Only the box was damaged; noted it for the carrier.", answer="[Only the box, as far as I can see|The {noun} looks fine]."),
         ), ("Medium", "High")),
    Matter("Billing inquiry", "Payment issue", "any", 2,
        "my card was charged twice for order {order}[ on {date}|, once on {date} and once a day later]. [Please have a look|One of the two must be a mistake].",
        "I see one payment of ours. Does your bank show both as booked, or one as a reservation?",
        "[One of them is grey and says reserved|Both look the same to me].",
        (Outcome(4, "Then the second is a reservation from the first attempt. It disappears by itself within [three|five] days.",
                 "Explained that the second charge is a reservation, which expires.", answer="One of them is grey and says reserved."),
         Outcome(3, "Our payment provider confirms it: the second charge is a mistake, and it has been refunded.",
                 "Duplicate charge confirmed and refunded.", answer="Both look the same to me, [booked|black on white].")),
        ("Medium", "High")),
    Matter("Billing inquiry", "Payment issue", "any", 1.5,
        "I need an invoice for order {order} [with the name of my club|with our VAT number|made out to my company]. The one that I got [shows my private address|has only my name].",
        "Gladly. Please send me the exact name and address as they should stand on it.",
        "[The name is Cycling Club {city}, the address is the same|The details are in my account, under billing address].",
        (Outcome(1, "Thank you. The corrected invoice is in your mail; the old one is void.",
                 "Corrected the invoice and sent it again."),), ("Low", "Low", "Medium")),
    Matter("Billing inquiry", "Account access", "any", 2,
        "I cannot sign in to my account [any more|since yesterday], so I cannot see [what happens with order {order}|where the {product} is].",
        "Let us get you back in. Does the mail with the new password arrive when you ask for one?",
        "[No, nothing arrives|Yes, but the link says that it has expired].",
        (Outcome(3, "Your address had a typo in our system. I have corrected it and sent the mail again.",
                 "Corrected the mail address of the account; the customer can sign in.", answer="No, nothing arrives[, not even in the spam folder|]."),
         Outcome(3, "The link is good for ten minutes only. I have sent a new one; please open it right away.",
                 "Sent a new link for the password; the customer can sign in.", answer="Yes, but the link says that it has expired.")),
        ("Medium", "High")),
    Matter("Product inquiry", "Product compatibility", "any", 4,
        "a question about the {product}: {fit_question}",
        "Good question. {fit_needed}",
        "{fit_answer}",
        (Outcome(1, "[Thank you|Perfect]. {fit_verdict}",
                 "Answered whether it fits: {fit_verdict}"),), ("Low", "Low", "Medium")),
    Matter("Product inquiry", "Product recommendation", "any", 3,
        "I bought the {product} [for a tour in the mountains|for my way to work|as a present]. [What else would you recommend|What goes well with {it}]?",
        "With pleasure. How often will you ride, and in which weather?",
        "[Twice a week, and I stay at home when it rains|Every day, in any weather|At weekends, mostly in the dry].",
        (Outcome(1, "[Then I recommend|From what you say, I would take] the {suggestion}: [many of our customers buy both together|I use it myself and like it]. "
                 "[I have put it into your basket|You find it on the page of the {noun}].",
                 "Recommended the {suggestion}."),), ("Low",)),
    Matter("Technical issue", "Hardware issue", "after", 6,
        "{symptom}. I have had the {product} for [a few days|less than a week] only.",
        "I am sorry about that. {question}",
        "{answer}",
        (Outcome(4, "{advice} [Please tell me if it does not help|If that does not help, write to me again].",
                 "Explained the remedy; the customer confirmed that it works."),
         Outcome(4, "Then [I do not want you to spend more time on it|there is nothing that you could do]. A replacement leaves today; the label for the old one is in the box.",
                 "Sent a replacement under warranty ({symptom})."),
         Outcome(2, "Please bring {it} to our partner workshop in {city}; they know about it, and we pay the bill.",
                 "Repaired by the partner workshop in {city} at our cost.", "neutral")),
        ("Medium", "High", "High", "Critical")),
    Matter("Technical issue", "Product setup", "any", 3,
        "[I am about to use|I want to get ready for] the {product}: {setup_question}",
        "I can help with that. {setup_needed}",
        "{setup_answer}",
        (Outcome(5, "[Then|In that case]: {setup_verdict}",
                 "Explained the first use: {setup_verdict}"),), ("Low", "Medium")),
    Matter("Technical issue", "Installation support", "after", 2,
        "[the manual for the {product} is only in a language that I do not read|there was no manual with the {product}]. {setup_question}",
        "I have sent you the English manual. {setup_needed}",
        "{setup_answer}",
        (Outcome(4, "{setup_verdict} [There is a film on our page, too|Page 4 of the manual shows it].",
                 "Sent the manual and explained it: {setup_verdict}"),
         Outcome(1, "That is hard to explain in words. The workshop in {city} does it for free if you show our order.",
                 "Arranged free installation by the workshop in {city}.")), ("Low", "Medium"), about="mounted"),
    Matter("Billing inquiry", "Payment issue", "outage", 1,
        "I wanted to order [again|something to go with my {product}], and the checkout rejects my card [at the last step|every time]. I tried [two cards|three times, with two cards].",
        "I am sorry. What exactly does the page say when it fails?",
        "[It says: payment is not available in your region|Only that the payment failed, and that I should try again later].",
        (Outcome(4, "Thank you. It is not your card: our payment provider in Australia is down, and no card works at the moment. I will write to you when it is back.",
                 "Explained the outage of the Australian card payments; told the customer when it was over.", "neutral"),
         Outcome(2, "It is not your card: card payments from Australia fail for everyone today. I have noted what you want and send you a payment link when it works again.",
                 "Card payments in Australia were down; sent a payment link afterwards.", "unhappy")),
        ("High", "Critical")),
)  # fmt: skip

SUBJECTS = frozenset(matter.subject for matter in MATTERS)
