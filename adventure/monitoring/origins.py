"""Which database each stream would be read from now, to compare with what its watermark belongs to."""

from collections.abc import Sequence

from adventure.core.connect import connect_postgres, translating_postgres
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.core.watermark import Origin
from adventure.sources.mongo.connect import connect_mongo, translating_mongo
from adventure.sources.postgres.origin import origin_query, read_origin


def postgres_origins(settings: Settings, streams: Sequence[Stream]) -> dict[str, Origin]:
    """Return the origin of each stream that is read from PostgreSQL, by name.

    Raises:
        SourceError: the source does not answer, or refuses.
    """
    names = [stream.name for stream in streams if stream.source == "postgres"]
    if not names:
        return {}
    conninfo, name = settings.postgres_dsn, "the source database"
    connection = connect_postgres(conninfo, name=name, autocommit=True)
    with connection, translating_postgres(conninfo, name):
        return dict.fromkeys(names, read_origin(connection, origin_query(connection)))


def mongo_origins(settings: Settings, streams: Sequence[Stream]) -> dict[str, Origin]:
    """Return the origin of each stream that is read from MongoDB, by name.

    Raises:
        SourceError: the source does not answer, or refuses.
    """
    documents = [stream for stream in streams if stream.source == "mongo"]
    if not documents:
        return {}
    from adventure.sources.mongo.origin import collection_origin, has_change_streams

    uri, name = settings.mongo_conninfo, "the source of the documents"
    with connect_mongo(uri, name=name, silence=settings.silence_sec) as client, translating_mongo(uri, name):
        follows = has_change_streams(client.admin.command("hello"))
        return {each.name: collection_origin(client[each.namespace][each.table], follows) for each in documents}
