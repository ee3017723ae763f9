"""One session: runs statements of the files, of the commands, of dbt and of the app as far as rights go."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import sqlglot
from sqlglot import exp

from tests.snowflake.model.rights import Refused, Rights, Thing

_MADE = re.compile(
    r"create (?:or replace )?(?P<how>transient |temporary |notification )?"
    r"(?P<kind>role|user|warehouse|database|resource monitor|integration|schema|stage|stream|table|file format|view"
    r"|procedure|task|streamlit|dbt project) (?:if not exists )?(?P<name>[\w.\"]+)"
)
_IN_NO_SCHEMA = ("ROLE", "USER", "WAREHOUSE", "DATABASE", "RESOURCE MONITOR", "INTEGRATION")
_GRANT = re.compile(r"grant (?P<rights>[\w, ]+?) on (?P<on>.+?) to role (?P<to>\w+)(?: copy current grants)?")
_WRITES = {exp.Insert: "INSERT", exp.Delete: "DELETE", exp.Update: "UPDATE", exp.Merge: "INSERT"}
_TRACKED = "change_tracking = true"
_ALREADY = "There is already a live version"


class Session:
    """A user's session in a role, with a current warehouse, database and schema."""

    def __init__(self, rights: Rights, user: str, role: str, *, database: str = "", schema: str = "") -> None:
        self.rights, self.user = rights, user
        self.variables: dict[str, str] = {}
        self.warehouse, self.database, self.schema = "", database.upper(), schema.upper()
        self.temporary: set[str] = set()
        self.in_owners_procedure = False
        self.use_role(role)

    def run(self, text: str) -> None:
        """Run a statement.

        Raises:
            Refused: Snowflake would refuse it, or the model does not know it.
        """
        text = re.sub(r"^(--.*\n)+", "", text)
        body = re.search(r"\$\$.*\$\$", text, re.DOTALL)
        statement = " ".join((text.replace(body[0], "$$") if body and text.startswith("create") else text).split())
        statement = re.sub(r"identifier\(\$(\w+)\)", lambda found: self._variable(found[1]), statement)
        for pattern, handler in _HANDLERS:
            if found := re.match(pattern, statement, re.IGNORECASE | re.DOTALL):
                handler(self, statement, *found.groups())
                return
        raise Refused(f"the model does not know `{statement[:100]}`")

    def use_role(self, role: str) -> None:
        """Take a role that is granted to the user, or that one of the user's roles inherits."""
        granted = self.rights.users.get(self.user.upper(), set())
        if role.upper() not in {each for own in granted for each in self.rights.roles_of(own)}:
            raise Refused(f"ROLE {role} does not exist, or is not granted to {self.user}")
        self.role = role.upper()

    def named(self, kind: str, name: str) -> str:
        """Return the full name of an object, in upper case."""
        name = name.replace('"', "").upper()
        if kind in _IN_NO_SCHEMA:
            return name
        parts = name.split(".")
        missing = (1 if kind == "SCHEMA" else 2) - (len(parts) - 1)
        around = [self.database, self.schema][: 1 if kind == "SCHEMA" else 2][:missing]
        if not all(around):
            raise Refused(f"{kind} {name}: no database or schema is in use")
        return ".".join([*around, *parts])

    def _variable(self, name: str) -> str:
        if name not in self.variables:
            raise Refused(f"the variable {name} is not set")
        return self.variables[name]

    def _use(self, _: str, kind: str, name: str) -> None:
        kind, name = kind.upper(), name.strip('"')
        if kind == "ROLE":
            self.use_role(name)
            return
        self.rights.reach(self.role, kind, self.named(kind, name))
        if kind == "DATABASE":
            self.database, self.schema = name.upper(), ""
        else:
            setattr(self, kind.lower(), name.upper())

    def _set(self, _: str, name: str, value: str) -> None:
        parts = re.findall(r"'((?:[^']|'')*)'|\$(\w+)", value)
        self.variables[name] = "".join(self._variable(found) if found else text for text, found in parts).replace(
            "''", "'"
        )

    def _execute_variable(self, _: str, name: str) -> None:
        self.run(self._variable(name))

    def _execute_block(self, statement: str) -> None:
        (inner,) = re.findall(r"execute immediate '([^']*)'", statement)
        try:
            self.run(inner)
        except Refused as error:
            caught = re.search(r"when other then if \(not contains\(sqlerrm, '([^']*)'\)\) then raise", statement)
            if not caught or caught[1] not in str(error):
                raise

    def _create(self, statement: str) -> None:
        found = _MADE.match(statement)
        if not found:
            raise Refused(f"the model does not know `{statement[:100]}`")
        kind = found["kind"].upper()
        name = self.named(kind, found["name"])
        if found["how"] == "temporary ":
            self.temporary.add(name)
        if (source := re.search(r" as ((?:select|with|\(select|\(with) .*)", statement)) and kind in ("TABLE", "VIEW"):
            self._read(source[1])
        if source := re.search(r" clone ([\w.]+)", statement):
            self.rights.need(self.role, "SELECT", "TABLE", self.named("TABLE", source[1]))
        if source := re.search(r"^create .* on stage ([\w.]+)", statement):
            self.rights.need(self.role, "READ", "STAGE", self.named("STAGE", source[1]))
        if kind == "STREAM" and (source := re.search(r" on table ([\w.]+)", statement)):
            table = self.rights.need(self.role, "SELECT", "TABLE", self.named("TABLE", source[1]))
            if _TRACKED not in table.text and not self.rights.has(self.role, "OWNERSHIP", table):
                raise Refused(f"{self.role} may not begin to track the changes of {table.name}: it does not own it")
        if kind in ("TASK", "STREAMLIT") and (used := re.search(r"[ _]warehouse = (\w+)", statement)):
            self.rights.need(self.role, "USAGE", "WAREHOUSE", used[1].upper())
        if kind in ("STREAMLIT", "DBT PROJECT"):
            (files,) = re.findall(r" from '@(\w+)'", statement)
            self.rights.need(self.role, "READ", "STAGE", self.named("STAGE", files))
        if kind == "TASK" and (used := re.search(r" error_integration = \"?(\w+)", statement)):
            self.rights.need(self.role, "USAGE", "INTEGRATION", used[1].upper())
        if kind == "TASK":
            self._need_suspended_root(Thing(kind, name, self.role, statement))
        self.rights.create(self.role, kind, name, statement, is_temporary=found["how"] == "temporary ")
        if kind == "ROLE":
            self.rights.inherits.setdefault(name, set())
        elif kind == "USER":
            self.rights.users.setdefault(name, {"PUBLIC"})
        elif kind == "DATABASE":
            self.rights.add(self.role, "SCHEMA", f"{name}.PUBLIC")

    def _drop(self, _: str, kind: str, name: str) -> None:
        kind = kind.upper()
        self.rights.drop(self.role, kind, self.named(kind, name))
        if kind == "USER":
            self.rights.users.pop(name.upper(), None)

    def _grant_role(self, _: str, granted: str, to_kind: str, to: str) -> None:
        holders = self.rights.inherits if to_kind == "role" else self.rights.users
        if to.upper() not in holders or granted.upper() not in self.rights.inherits:
            raise Refused(f"ROLE {granted} or {to_kind.upper()} {to} does not exist")
        thing = self.rights.find("ROLE", granted.upper())
        if thing is None or not self.rights.has(self.role, "OWNERSHIP", thing):
            self.rights.need_on_account(self.role, "MANAGE GRANTS")
        holders[to.upper()].add(granted.upper())

    def _grant(self, statement: str) -> None:
        found = _GRANT.fullmatch(statement)
        if not found:
            raise Refused(f"the model does not know `{statement[:100]}`")
        privileges, on, to = (
            [each.strip().upper() for each in found["rights"].split(",")],
            found["on"],
            found["to"].upper(),
        )
        if on == "account" or privileges == ["IMPORTED PRIVILEGES"]:
            if "ACCOUNTADMIN" not in self.rights.roles_of(self.role):
                raise Refused(f"{self.role} may not grant {privileges[0]} on the account")
            self.rights.account |= {(privilege, to) for privilege in privileges}
        elif several := re.match(r"(all|future) (\w+)s in schema (\S+)", on):
            schema = self.rights.reach(self.role, "SCHEMA", self.named("SCHEMA", several[3]))
            if several[1] == "future":
                self.rights.grant_future(self.role, privileges, several[2].upper(), schema, to)
            for thing in self.rights.inside(schema.name):
                if several[1] == "all" and thing.kind == several[2].upper():
                    self.rights.grant(self.role, privileges, thing, to)
        else:
            kind, name = on.upper().rsplit(" ", 1)
            self.rights.grant(self.role, privileges, self.rights.reach(self.role, kind, self.named(kind, name)), to)

    def _alter(self, statement: str, kind: str, name: str, change: str) -> None:
        kind = kind.upper()
        full = self.named(kind, name)
        if kind == "STAGE":
            self.rights.need(self.role, "WRITE", kind, full)
        elif kind == "TASK":
            self._alter_task(self.rights.need(self.role, "OPERATE", kind, full), change)
        elif "resource_monitor" in change:
            if "ACCOUNTADMIN" not in self.rights.roles_of(self.role):
                raise Refused(f"{self.role} may not set the monitor of {full}")
        else:
            thing = self.rights.need(self.role, "OWNERSHIP", kind, full)
            if change.startswith("add live version"):
                if thing.text.endswith(" live"):
                    raise Refused(_ALREADY)
                thing.text += " live"
            elif _TRACKED in change:
                thing.text += f" {_TRACKED}"

    def _alter_task(self, task: Thing, change: str) -> None:
        if change in ("resume", "suspend"):
            if change == "resume":
                self.rights.need_on_account(task.owner, "EXECUTE TASK")
                self._need_suspended_root(task)
            task.is_resumed = change == "resume"
        elif used := re.fullmatch(r"set error_integration = \"?(\w+)\"?", change):
            self._need_suspended_root(task)
            if task.is_resumed:
                raise Refused(f"{task.name} cannot be changed, since it is not suspended")
            self.rights.need(self.role, "USAGE", "INTEGRATION", used[1].upper())
        else:
            raise Refused(f"the model does not know `alter task … {change}`")

    def _need_suspended_root(self, task: Thing) -> None:
        """A task after others is created, changed and resumed while the first task of its graph is suspended."""
        root = self.rights.root_of(task)
        if root is not task and root.is_resumed:
            raise Refused(f"{task.name} cannot be changed, since {root.name} is not suspended")

    def _staged(self, statement: str, verb: str, stage: str) -> None:
        """PUT and REMOVE write, GET and LIST read. A procedure with its owner's rights may LIST only."""
        if self.in_owners_procedure and verb.lower() != "list":
            raise Refused(f"a procedure with its owner's rights may not {verb.upper()}")
        privilege = "WRITE" if verb.lower() in ("put", "remove") else "READ"
        self.rights.need(self.role, privilege, "STAGE", self.named("STAGE", stage))

    def _copy_into_app(self, _: str, app: str, stage: str) -> None:
        thing = self.rights.need(self.role, "OWNERSHIP", "STREAMLIT", self.named("STREAMLIT", app))
        if not thing.text.endswith(" live"):
            raise Refused(f"{app} has no live version")
        self.rights.need(self.role, "READ", "STAGE", self.named("STAGE", stage))

    def _copy_into(self, _: str, table: str, stage: str) -> None:
        self._need_warehouse()
        self.rights.need(self.role, "INSERT", "TABLE", self.named("TABLE", table))
        self.rights.need(self.role, "READ", "STAGE", self.named("STAGE", stage))

    def _show_monitors(self, _: str, name: str) -> None:
        self.rights.need(self.role, "MONITOR", "RESOURCE MONITOR", name.upper())

    def _execute_task(self, _: str, name: str) -> None:
        self.rights.need(self.role, "OPERATE", "TASK", self.named("TASK", name))

    def _execute_project(self, _: str, name: str) -> None:
        self._need_warehouse()
        self.rights.need(self.role, "USAGE", "DBT PROJECT", self.named("DBT PROJECT", name))

    def _data(self, statement: str) -> None:
        """SELECT, INSERT, UPDATE, DELETE, MERGE."""
        self._need_warehouse()
        self._read(statement)

    def _need_warehouse(self) -> None:
        if not self.warehouse:
            raise Refused("no warehouse is in use")
        self.rights.need(self.role, "USAGE", "WAREHOUSE", self.warehouse)

    def _read(self, statement: str) -> None:
        for stage in re.findall(r"@([\w.\"]+)", statement):
            self.rights.need(self.role, "READ", "STAGE", self.named("STAGE", stage))
        if "@" in statement:
            return
        tree = _parsed(statement)
        verb = next((verb for kind, verb in _WRITES.items() if isinstance(tree, kind)), "")
        target = tree.find(exp.Table) if verb else None
        for table in tree.find_all(exp.Table):
            self._read_table(table, verb if verb and table is target else "SELECT", _own_names(tree))

    def _read_table(self, table: exp.Table, privilege: str, own: Sequence[str]) -> None:
        if not isinstance(table.this, exp.Identifier) or (not table.db and table.name.upper() in own):
            return
        if table.catalog.upper() == "SNOWFLAKE":
            if not self.rights.has_on_account(self.role, "IMPORTED PRIVILEGES"):
                raise Refused(f"{self.role} lacks IMPORTED PRIVILEGES on the database SNOWFLAKE")
        elif table.db.upper() != "INFORMATION_SCHEMA":
            name = self.named("TABLE", ".".join(part for part in (table.catalog, table.db, table.name) if part))
            if name not in self.temporary:
                self.rights.need(self.role, privilege, "TABLE", name)

    def _nothing(self, _: str) -> None:
        """Needs no privilege beyond those that the session has."""


@lru_cache(maxsize=1024)
def _parsed(statement: str) -> exp.Expr:
    return sqlglot.parse_one(statement, read="snowflake")


def _own_names(tree: exp.Expr) -> list[str]:
    return [each.alias.upper() for each in tree.find_all(exp.CTE)]


_KINDS = r"(role|user|warehouse|database|resource monitor|integration|schema|stage|stream|table|view|task|streamlit)"
_HANDLERS: tuple[tuple[str, Any], ...] = (
    (r"use (role|warehouse|database|schema) (\S+)$", Session._use),
    (r"set (\w+) = (.*)$", Session._set),
    (r"execute immediate \$(\w+)$", Session._execute_variable),
    (r"execute immediate \$\$ begin ", Session._execute_block),
    (r"execute task (\S+)$", Session._execute_task),
    (r"execute dbt project (\w+) args = ", Session._execute_project),
    (r"create ", Session._create),
    (rf"drop {_KINDS} if exists (\S+)$", Session._drop),
    (r"grant role (\w+) to (role|user) \"?(\w+)\"?$", Session._grant_role),
    (r"grant ", Session._grant),
    (rf"alter {_KINDS} (\S+) (.*)$", Session._alter),
    (r"copy files into 'snow://streamlit/([\w.]+)/versions/live/' from @(\w+)$", Session._copy_into_app),
    (r"copy into (\S+) .*?from @([\w.\"]+)", Session._copy_into),
    (r"(put) '[^']*' @([\w.\"]+)", Session._staged),
    (r"(get|list|remove) @([\w.\"]+)", Session._staged),
    (r"show resource monitors like '(\w+)'$", Session._show_monitors),
    (r"show |describe |begin transaction$|commit$|rollback$|alter session ", Session._nothing),
    (r"(?:select|with|insert|update|delete|merge) ", lambda session, statement: session._data(statement)),
)
