"""Check the tokens of a text: functions, types, reserved words, and paths into a VARIANT.

sqlglot's tree does not serve here. It holds normalised names: other warehouses' functions become its own there.
"""

import re
from collections.abc import Iterator
from functools import cached_property

from sqlglot.dialects.snowflake import Snowflake
from sqlglot.tokenizer_core import TokenType

from tests.snowflake.typed.vocabulary import FUNCTIONS, RESERVED, SYNTAX, TYPES

_NAME = re.compile(r"[A-Z_][A-Z0-9_$]*")
_QUOTES = {TokenType.IDENTIFIER: '"', TokenType.STRING: "'", TokenType.RAW_STRING: "$$"}
_CLAUSES = {"SELECT", "FROM", "JOIN", "ON", "WHERE", "GROUP", "HAVING", "QUALIFY", "ORDER", "LIMIT", "UNION"}
_CREATED = {"TABLE", "EXISTS"}
_NAMED = {*_CREATED, "INTO", "VIEW", "PROCEDURE", "CALL", "UPDATE", "AS", "@"}
"""Words before the name of an object, which may have columns or arguments after it."""
_OPERATORS = {"=", "<>", "!=", "<", ">", "<=", ">=", "+", "-", "/", "%", "||", "::"}
_BEFORE_VALUES = {"SELECT", "DISTINCT", "BY", "AND", "OR", "WHERE", "ON", "WHEN", "THEN", "ELSE", ",", "(", *_OPERATORS}
_AFTER_VALUES = {"FROM", "AND", "OR", "IS", "IN", "THEN", "END", "AS", "DESC", "ASC", ",", ")", "", *_OPERATORS}
_VALUES = {"NULL", "TRUE", "FALSE", "CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIMESTAMP", "CURRENT_USER"}
"""Reserved words that are values, where a value is wanted."""
_BODIES = {"SELECT", "WITH", "INSERT", "UPDATE", "DELETE"}
"""Reserved words that begin a query or a task's statement."""

Found = Iterator[tuple[int, str]]
"""Places of tokens, each with what is wrong there."""


def faults_of_words(name: str, text: str) -> list[str]:
    """Return sentences about the words that Snowflake does not have, or does not take where they stand."""
    words = _Text(text)
    rules = (_functions, _types, _reserved_words, _paths, _clauses)
    return [f"{words.place(name, index)}: {problem}" for rule in rules for index, problem in rule(words)]


class _Text:
    """The tokens of a text: upper case, and in quotes where the text has them. Beyond the ends, the word is empty."""

    def __init__(self, text: str) -> None:
        self.tokens = list(Snowflake().tokenize(text))
        self._words = [
            f"{quote}{token.text.upper()}{quote}"
            for token in self.tokens
            for quote in [_QUOTES.get(token.token_type, "")]
        ]

    def __len__(self) -> int:
        return len(self._words)

    def __getitem__(self, index: int) -> str:
        return self._words[index] if 0 <= index < len(self._words) else ""

    @cached_property
    def openers(self) -> list[int]:
        """For each token, the place of the parenthesis around it; -1 if there is none."""
        around, openers = [-1], []
        for index, word in enumerate(self._words):
            if word == ")" and len(around) > 1:
                around.pop()
            openers.append(around[-1])
            if word == "(":
                around.append(index)
        return openers

    def before_name(self, index: int) -> str:
        """Return the word before the name, of one part or more, that ends here."""
        while self[index - 1] == ".":
            index -= 2
        return self[index - 1]

    def is_type(self, index: int) -> bool:
        """Whether a type stands here: after `::`, in a cast, or after the name of a column that is being created."""
        before, opener = self[index - 1], self.openers[index]
        if before == "::":
            return True
        if before == "AS":
            return self[opener - 1] in ("CAST", "TRY_CAST")
        is_column = self[index - 2] in ("(", ",") and bool(_NAME.fullmatch(before.strip('"')))
        return is_column and self.openers[opener] == -1 and self.before_name(opener - 1) in _CREATED

    def is_named_query(self, index: int) -> bool:
        """Whether the name here is that of a query in WITH that lists its columns: `name (columns) as (`."""
        ends = (
            place
            for place in range(index + 2, len(self))
            if self[place] == ")" and self.openers[place] == self.openers[index + 1]
        )
        end = next(ends, len(self))
        return (self[end + 1], self[end + 2]) == ("AS", "(")

    def place(self, name: str, index: int) -> str:
        """Name the query, and the column that the token belongs to; in a condition or another statement, the line."""
        opener = self.openers[index]
        while opener >= 0 and self[opener + 1] not in ("SELECT", "WITH"):
            opener = self.openers[opener]
        level = [place for place, other in enumerate(self.openers) if other == opener]
        clause = next((self[place] for place in reversed(level) if place <= index and self._begins_clause(place)), "")
        if clause == "SELECT":
            last = index
            for place in (place for place in level if place >= index):
                if self[place] in (",", ";") or self._begins_clause(place):
                    break
                last = place
            if _NAME.fullmatch(self[last].strip('"')):
                return f"{name}, column {self.tokens[last].text.lower()}"
        return f"{name}, line {self.tokens[index].line}"

    def _begins_clause(self, index: int) -> bool:
        return self[index] in _CLAUSES and (self[index - 1], self[index]) not in (
            ("WITHIN", "GROUP"),
            ("DISTINCT", "ON"),
        )


def _functions(words: _Text) -> Found:
    for index in range(len(words)):
        word = words[index]
        if words[index + 1] != "(" or not _NAME.fullmatch(word) or word in FUNCTIONS | SYNTAX:
            continue
        if not words.is_type(index) and words.before_name(index) not in _NAMED and not words.is_named_query(index):
            yield index, f"{words.tokens[index].text} is not in the list of Snowflake's functions"


def _types(words: _Text) -> Found:
    for index in range(len(words)):
        if words.is_type(index):
            if words[index] not in TYPES:
                yield index, f"{words.tokens[index].text} is not a type of Snowflake"
            if words[index + 1] == "[":
                yield index, f"{words.tokens[index].text}[] is not a type of Snowflake"


def _reserved_words(words: _Text) -> Found:
    is_grant = False
    for index in range(len(words)):
        word, before, after = words[index], words[index - 1], words[index + 1]
        if before in ("", ";"):
            is_grant = word in ("GRANT", "REVOKE")
        if word not in RESERVED or is_grant:
            continue
        is_value = before in _BEFORE_VALUES and after in _AFTER_VALUES and word not in _VALUES
        is_column = before in ("(", ",") and after in TYPES and word not in _BODIES
        is_alias = before == "AS" and word not in _BODIES and after != "("
        is_table = before in ("FROM", "JOIN") and word not in ("SELECT", "VALUES", "TABLE", "LATERAL")
        if before == "." or is_value or is_column or is_alias or is_table:
            yield index, f"{words.tokens[index].text} is a reserved word and is not quoted"


def _paths(words: _Text) -> Found:
    """A colon after a value begins a path; in a script, a colon elsewhere binds a variable."""
    is_path = False
    for index in range(len(words)):
        before = words[index - 1]
        is_value = before[-1:] in (")", "]", '"') or (before not in RESERVED and bool(re.fullmatch(r"[\w$]+", before)))
        is_path = (
            (words[index] == ":" and is_value)
            or (is_path and words[index] == ".")
            or (is_path and before in (":", "."))
        )
        if is_path and words[index] in (":", ".") and not words[index + 1].startswith('"'):
            yield index, f"the path :{words.tokens[index + 1].text} is not quoted"


def _clauses(words: _Text) -> Found:
    """Syntax of other warehouses that sqlglot reads all the same."""
    for index in range(len(words)):
        word, before, after = words[index], words[index - 1], words[index + 1]
        if word == "ON" and before == "DISTINCT":
            yield index, "Snowflake has no DISTINCT ON"
        if word == "INTERVAL" and after.isdecimal():
            yield index, "Snowflake takes the length of an INTERVAL in quotes only"
        if word == ":=" and words.openers[index] >= 0:
            yield index, "Snowflake names an argument with =>"
