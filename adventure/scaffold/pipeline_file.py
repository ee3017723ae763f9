"""The text of pipeline.toml for proposed streams: each with the reasons for what it says."""

import json
from collections.abc import Mapping, Sequence

from adventure.sources.proposal import Proposal, Unmovable

_HEAD = """\
# The streams. `adventure init` wrote this file from what the databases say of their tables. All keys are in
# docs/adding-a-stream.md, the modes in docs/choosing-a-mode.md. Change it as you like: nothing overwrites it.
"""


def pipeline_text(names: Mapping[Proposal, str], unmovable: Sequence[Unmovable]) -> str:
    """Return the file's text.

    Args:
        names: the streams' names.
        unmovable: what no stream reads.
    """
    parts = [_HEAD, *(_stream(proposal, name) for proposal, name in names.items())]
    if unmovable:
        parts.append("# Left out:\n" + "".join(f"# - {each.location}: {_line(each.reason)}\n" for each in unmovable))
    return "\n".join(parts)


def _stream(proposal: Proposal, name: str) -> str:
    keys: dict[str, object] = {
        "source": proposal.source,
        "namespace": proposal.namespace,
        "table": proposal.table,
        **({"cursor": proposal.cursor} if proposal.cursor else {}),
        **({"key": proposal.key[0] if len(proposal.key) == 1 else list(proposal.key)} if proposal.key else {}),
        **proposal.options,
        "stage": f"{name}_stage",
        "raw_table": raw_table(name),
    }
    lines = [f"[streams.{name}]"]
    if not proposal.key:
        lines.append(f"# no key: {_line(proposal.reasons['key'])}")
    for key, value in keys.items():
        if key in proposal.reasons:
            lines.append(f"# {key}: {_line(proposal.reasons[key])}")
        # A JSON string, number or list of strings is valid TOML.
        lines.append(f"{key} = {json.dumps(value, ensure_ascii=False)}")
    return "\n".join(lines) + "\n"


def raw_table(name: str) -> str:
    """Return the raw table of a stream."""
    return f"raw_ext.{name}_raw"


def _line(text: str) -> str:
    return " ".join(text.split())
