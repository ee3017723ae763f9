"""Roles, objects, and privileges: what Snowflake's manual says in "Overview of access control"."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

SYSTEM_ROLES = {
    "ACCOUNTADMIN": {"SYSADMIN", "SECURITYADMIN"},
    "SECURITYADMIN": {"USERADMIN"},
    "SYSADMIN": {"PUBLIC"},
    "USERADMIN": {"PUBLIC"},
    "PUBLIC": set[str](),
}
"""The roles of every account, and the roles whose privileges each inherits."""
OF_ACCOUNT = {
    ("CREATE ROLE", "USERADMIN"),
    ("CREATE USER", "USERADMIN"),
    ("CREATE WAREHOUSE", "SYSADMIN"),
    ("CREATE DATABASE", "SYSADMIN"),
    ("CREATE RESOURCE MONITOR", "ACCOUNTADMIN"),
    ("CREATE INTEGRATION", "ACCOUNTADMIN"),
    ("MANAGE GRANTS", "SECURITYADMIN"),
}
RELATIONS = ("TABLE", "VIEW", "STREAM")


class Refused(Exception):
    """Snowflake would refuse the statement."""


@dataclass
class Thing:
    """An object of the account, with its owner and the privileges that others have on it."""

    kind: str
    name: str
    """With its database and schema, in upper case."""
    owner: str
    text: str = ""
    """The statement that created it."""
    grants: set[tuple[str, str]] = field(default_factory=set)
    """Pairs of privilege and role."""
    is_resumed: bool = False
    """Of a task: whether it runs by itself. New and replaced tasks are suspended."""

    @property
    def parent(self) -> str:
        """The name of its schema or database; empty for an object of the account."""
        return self.name.rpartition(".")[0]

    @property
    def is_managed(self) -> bool:
        """Whether only the schema's owner gives grants on the objects in it."""
        return "with managed access" in self.text


class Rights:
    """The account's roles, users, objects and grants."""

    def __init__(self) -> None:
        self.inherits = {role: set(granted) for role, granted in SYSTEM_ROLES.items()}
        self.users: dict[str, set[str]] = {}
        self.things: dict[tuple[str, str], Thing] = {}
        self.account = set(OF_ACCOUNT)
        self.future: set[tuple[str, str, str, str]] = set()
        """Privilege, kind, schema and role."""
        self.add("ACCOUNTADMIN", "DATABASE", "SNOWFLAKE")

    def roles_of(self, role: str) -> set[str]:
        """Return the role and all roles that it inherits."""
        found, waiting = set[str](), [role]
        while waiting:
            each = waiting.pop()
            if each not in found:
                found.add(each)
                waiting += self.inherits.get(each, ())
        return found

    def find(self, kind: str, name: str) -> Thing | None:
        """Return an object, or None. A table, a view and a stream share their names."""
        kinds = RELATIONS if kind in RELATIONS else (kind,)
        return next((self.things[each, name] for each in kinds if (each, name) in self.things), None)

    def inside(self, name: str) -> Iterator[Thing]:
        """Yield what is in a database or schema."""
        yield from [thing for thing in self.things.values() if thing.name.startswith(f"{name}.")]

    def root_of(self, task: Thing) -> Thing:
        """Return the first task of a task's graph.

        Raises:
            Refused: a task before it does not exist.
        """
        while before := re.search(r" after (\w+) ", task.text):
            found = self.find("TASK", f"{task.parent}.{before[1].upper()}")
            if found is None:
                raise Refused(f"TASK {before[1].upper()} does not exist")
            task = found
        return task

    def has(self, role: str, privilege: str, thing: Thing) -> bool:
        """Return whether the role has a privilege on an object; its owner has all of them."""
        roles = self.roles_of(role)
        return thing.owner in roles or any(
            right in (privilege, "ALL PRIVILEGES") and to in roles for right, to in thing.grants
        )

    def has_on_account(self, role: str, privilege: str) -> bool:
        """Return whether the role has a privilege on the account."""
        return any((privilege, each) in self.account for each in self.roles_of(role))

    def need_on_account(self, role: str, privilege: str) -> None:
        """Raise Refused unless the role has a privilege on the account."""
        if not self.has_on_account(role, privilege):
            raise Refused(f"{role} lacks {privilege} on the account")

    def reach(self, role: str, kind: str, name: str) -> Thing:
        """Return an object that the role can name: it has USAGE of what the object is in.

        Raises:
            Refused: there is no such object, or the role may not know of it.
        """
        database, _, rest = name.partition(".")
        schema = rest.partition(".")[0]
        around = [("DATABASE", database), ("SCHEMA", f"{database}.{schema}")][: name.count(".")]
        for kind_around, name_around in around:
            thing = self.find(kind_around, name_around)
            if thing is None or not self.has(role, "USAGE", thing):
                raise Refused(f"{kind_around} {name_around} does not exist or {role} lacks USAGE")
        thing = self.find(kind, name)
        if thing is None or not (self.has(role, "OWNERSHIP", thing) or self._any(role, thing)):
            raise Refused(f"{kind} {name} does not exist or {role} may not use it")
        return thing

    def need(self, role: str, privilege: str, kind: str, name: str) -> Thing:
        """Return an object on which the role has a privilege.

        Raises:
            Refused: it has not.
        """
        thing = self.reach(role, kind, name)
        if not self.has(role, privilege, thing):
            raise Refused(f"{role} lacks {privilege} on {kind} {name}")
        return thing

    def add(self, role: str, kind: str, name: str, text: str = "") -> Thing:
        """Add an object, owned by the role, with what is granted on future objects of its schema."""
        made = self.things[kind, name] = Thing(kind, name, role, text)
        made.grants = {(right, to) for right, of, schema, to in self.future if (of, schema) == (kind, made.parent)}
        return made

    def create(self, role: str, kind: str, name: str, text: str, *, is_temporary: bool = False) -> None:
        """Run CREATE, which replaces with OR REPLACE, and does nothing with IF NOT EXISTS to what exists.

        Raises:
            Refused: the role may not create it, or something of this name exists.
        """
        parent = name.rpartition(".")[0]
        around = None
        if parent:
            around = self.reach(role, "SCHEMA" if "." in parent else "DATABASE", parent)
        if (found := self.find(kind, name)) and " if not exists " in text:
            return
        if around and not is_temporary and not self.has(role, f"CREATE {kind}", around):
            raise Refused(f"{role} lacks CREATE {kind} on {parent}")
        if not around:
            self.need_on_account(role, f"CREATE {kind}")
        if found and " or replace " not in text:
            raise Refused(f"{kind} {name} exists already")
        if found and not self.has(role, "OWNERSHIP", found):
            raise Refused(f"{role} lacks OWNERSHIP on {kind} {name}, which it would replace")
        if found:
            del self.things[found.kind, name]
        self.add(role, kind, name, text)

    def drop(self, role: str, kind: str, name: str) -> None:
        """Run DROP … IF EXISTS of an object with all that is in it.

        Raises:
            Refused: the role does not own it.
        """
        if (thing := self.find(kind, name)) is None:
            return
        if not self.has(role, "OWNERSHIP", thing):
            raise Refused(f"{role} lacks OWNERSHIP on {kind} {name}")
        for each in [thing, *(self.inside(name) if kind in ("DATABASE", "SCHEMA") else ())]:
            del self.things[each.kind, each.name]
        if kind in ("DATABASE", "SCHEMA"):
            self.future = {each for each in self.future if not f"{each[2]}.".startswith(f"{name}.")}
        if kind == "ROLE":
            self._forget(role, name)

    def grant(self, role: str, privileges: list[str], thing: Thing, to: str) -> None:
        """Run GRANT on one object.

        Raises:
            Refused: the role may not give grants on it, or there is no such role to give them to.
        """
        self._need_role(to)
        self._need_grantor(role, thing)
        if privileges == ["OWNERSHIP"]:
            thing.owner = to
        else:
            thing.grants |= {(privilege, to) for privilege in privileges}

    def grant_future(self, role: str, privileges: list[str], kind: str, schema: Thing, to: str) -> None:
        """Run GRANT … ON FUTURE ….

        Raises:
            Refused: the schema has no managed access, or the role does not own it; and it lacks MANAGE GRANTS.
        """
        self._need_role(to)
        is_schemas_owner = schema.is_managed and self.has(role, "OWNERSHIP", schema)
        if not is_schemas_owner and not self.has_on_account(role, "MANAGE GRANTS"):
            raise Refused(f"grants on future objects of {schema.name} need MANAGE GRANTS, which {role} lacks")
        self.future |= {(privilege, kind, schema.name, to) for privilege in privileges}

    def _need_grantor(self, role: str, thing: Thing) -> None:
        schema = self.find("SCHEMA", thing.parent)
        decider = schema if schema is not None and schema.is_managed else thing
        if not self.has(role, "OWNERSHIP", decider) and not self.has_on_account(role, "MANAGE GRANTS"):
            raise Refused(f"{role} may not give grants on {thing.kind} {thing.name}: it does not own {decider.name}")

    def _need_role(self, role: str) -> None:
        if role not in self.inherits:
            raise Refused(f"ROLE {role} does not exist")

    def _any(self, role: str, thing: Thing) -> bool:
        roles = self.roles_of(role)
        return any(to in roles for _, to in thing.grants)

    def _forget(self, by: str, role: str) -> None:
        """Remove a role: what it owned belongs to the role that dropped it."""
        self.inherits.pop(role, None)
        for granted in (*self.inherits.values(), *self.users.values()):
            granted.discard(role)
        self.account = {each for each in self.account if each[1] != role}
        for thing in self.things.values():
            thing.owner = by if thing.owner == role else thing.owner
            thing.grants = {each for each in thing.grants if each[1] != role}
