"""Drives the program from another language: driver.py PROGRAM, in an empty folder."""

import json
import subprocess
import sys


class Refused(Exception):
    def __init__(self, problem):
        super().__init__(problem["detail"])
        self.problem = problem


def call(*arguments, document=None):
    """Runs a command, and returns its answer. A document goes to its stdin."""
    ran = subprocess.run(
        [sys.argv[1], "--db", "reg.db", "--json", *arguments],
        input=None if document is None else json.dumps(document),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if ran.returncode == 2:
        raise Refused(json.loads(ran.stderr))
    return json.loads(ran.stdout)


assert call("init")["created"] is True
call("types", "import", "-", document={"eventTypes": [{"name": "order.paid"}, {"name": "held"}]})
assert [event["name"] for event in call("types", "list")] == ["held", "order.paid"]

crm = {"name": "crm", "url": "https://crm.example/", "events": ["order.*"], "metadata": {"a": "1"}}
created = call("create", "--from", "-", "--reveal", document=crm)
assert len(created["secret"]) == 88
assert {key: created[key] for key in crm} == crm
identity = created["subscriptionId"]

try:
    call("create", "--from", "-", document={**crm, "url": "ftp://x", "colour": 1})
except Refused as refused:
    fields = [error["field"] for error in refused.problem["errors"]]
    assert refused.problem["status"] == 422, refused.problem
    assert fields == ["colour"], fields
else:
    raise AssertionError("a faulty document was taken")

updated = call("update", identity, "--from", "-", document={"enabled": False, "ifRevision": 1})
assert (updated["enabled"], updated["revision"]) == (False, 2)
assert call("subscribers", "order.paid") == []
verdict = call("explain", "order.paid", "crm")
assert (verdict["receives"], verdict["reasons"]) == (False, ["disabled"])
call("enable", "crm")
assert [subscriber["name"] for subscriber in call("subscribers", "order.paid")] == ["crm"]

declared = [crm, {"name": "bi", "url": "https://bi.example/", "events": ["*"]}]
plan = call("plan", "-", document=declared)
assert [(step["kind"], step["name"]) for step in plan["steps"]] == [("create", "bi")]
applied = call("apply", "-", document=declared)
assert [subscription["name"] for subscription in applied["created"]] == ["bi"]
assert call("plan", "-", document=declared) == {"steps": []}

kinds = [change["kind"] for change in call("changes")]
assert kinds[-4:] == ["created", "disabled", "enabled", "created"], kinds
assert call("check")["findings"] == []
assert len(call("delete", "crm", "bi", "--yes")["deleted"]) == 2
assert call("list") == []
