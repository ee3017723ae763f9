"""Open the session that extracts rows, with the faster decoder if it is installed.

ADBC's driver comes with Adventure. The decoder in the wheel adventure-pipeline-decoder takes a part of its time.
"""

from adventure.core.log import get_logger
from adventure.core.source_name import SourceName
from adventure.sources.postgres import decoder
from adventure.sources.postgres.copy import CopySession

log = get_logger()


def open_copy_session(conninfo: str, name: str | SourceName, silence: float) -> CopySession:
    """Connect, with the faster decoder if it is installed.

    Args:
        conninfo: a libpq connection string with one host and a port.
        name: the name of the database in errors.
        silence: seconds without an answer after which a call ends with SourceUnavailable.

    Raises:
        SourceError: the server does not answer, or refuses.
    """
    # Each imports what the other does not need.
    if decoder.is_installed():
        log.debug("PostgreSQL's rows are decoded by adventure-pipeline-decoder")
        from adventure.sources.postgres.copy_decoder import DecoderSession

        return DecoderSession(conninfo, name, silence)
    log.debug("PostgreSQL's rows are decoded by ADBC")
    from adventure.sources.postgres.copy_adbc import AdbcSession

    return AdbcSession(conninfo, name, silence)
