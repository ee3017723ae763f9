"""Propose how to read each collection of a MongoDB server, for `adventure init`."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from bson import Decimal128, Int64, ObjectId
from pymongo.errors import OperationFailure
from pymongo.uri_parser import parse_uri

from adventure.core.settings import Settings
from adventure.sources.mongo.origin import has_change_streams
from adventure.sources.proposal import Form, Proposal, ProposedColumn, Unmovable, is_name_of_cursor

if TYPE_CHECKING:
    import pymongo

_SAMPLE = 200
_SYSTEM = ("admin", "config", "local")
_LOOKBACK_SEC = 60

_FORMS: tuple[tuple[type, Form, str], ...] = (
    (bool, "boolean", "bool"),
    (int, "integer", "int"),
    (Int64, "integer", "long"),
    (float, "double", "double"),
    (Decimal128, "text", "decimal"),
    (str, "text", "string"),
    (ObjectId, "text", "objectId"),
    (datetime, "timestamp", "date"),
)


def propose(client: "pymongo.MongoClient[Any]", settings: Settings) -> Iterator[Proposal | Unmovable]:
    """Yield a proposal for each collection that can be moved, and the reason for each that is left out.

    Raises:
        PyMongoError: the server failed.
    """
    follows = has_change_streams(client.admin.command("hello"))
    for database in _databases(client, settings):
        for each in sorted(client[database].list_collections(), key=lambda found: str(found["name"])):
            name, kind = str(each["name"]), each.get("type", "collection")
            if name.startswith("system."):
                continue
            if kind != "collection":
                yield Unmovable(f"{database}.{name}", f"a {kind}: read the collection behind it")
            else:
                yield _collection(client, database, name, follows=follows)


def _databases(client: "pymongo.MongoClient[Any]", settings: Settings) -> list[str]:
    """Return the database of the URI; without one those that the user may list, else MONGO_DB."""
    if named := parse_uri(settings.mongo_conninfo, warn=False)["database"]:
        return [str(named)]
    try:
        found = client.list_database_names()
    except OperationFailure:
        return [settings.mongo_db]
    return sorted(name for name in found if name not in _SYSTEM)


def _collection(client: "pymongo.MongoClient[Any]", database: str, name: str, *, follows: bool) -> Proposal | Unmovable:
    collection, location = client[database][name], f"{database}.{name}"
    documents = list(collection.find({}, limit=_SAMPLE, sort=[("_id", -1)]))
    if not documents:
        return Unmovable(location, "it has no documents, so that its fields are unknown: run `adventure init` later")
    columns = _columns(documents)
    dates = [column.name for column in columns if column.form == "timestamp"]
    # A name like createdAt is enough where the server reports the changes itself.
    candidates = sorted(dates, key=lambda field: (not is_name_of_cursor(field), dates.index(field)))
    candidates = [field for field in candidates if follows or is_name_of_cursor(field)]
    whole = [field for field in candidates if collection.find_one({field: {"$not": {"$type": "date"}}}) is None]
    if not whole:
        return Unmovable(
            location,
            f"{candidates[0]} is no date in some documents, so that they would be rejected"
            if candidates
            else "a stream needs a date that changes with every update, and no field is one",
        )
    cursor, options = whole[0], {} if follows else {"lookback": _LOOKBACK_SEC}
    reasons = {"key": "each collection has it"}
    if follows:
        reasons["cursor"] = "the first window begins with it; later changes come from the change stream"
    else:
        reasons["cursor"] = "a date in each document; the application must set it with each update"
        reasons["lookback"] = "no replica set, so that late documents are found by reading again"
    return Proposal("mongo", database, name, columns, ("_id",), cursor, options, reasons)


def _columns(documents: Sequence[dict[str, Any]]) -> list[ProposedColumn]:
    """Return the top-level fields of the documents, in the order in which they are met."""
    names = dict.fromkeys(name for document in documents for name in document)
    return [_column(name, [document[name] for document in documents if name in document]) for name in names]


def _column(name: str, values: Sequence[Any]) -> ProposedColumn:
    kinds = {_kind(value) for value in values if value is not None}
    types = ", ".join(sorted(kind for _, kind in kinds)) or "null"
    forms = {form for form, _ in kinds}
    form: Form = forms.pop() if len(forms) == 1 else "json"
    return ProposedColumn(name, types, form)


def _kind(value: Any) -> tuple[Form, str]:
    for kind, form, name in _FORMS:
        if type(value) is kind:
            return form, name
    return "json", "array" if isinstance(value, list) else "object"
