//! `list`, `show`, `update`, `enable`, `disable` and `delete`.

use snapbox::str;

use crate::support::{SECRET, Scratch};

#[test]
fn list_has_every_filter() {
    let scratch = Scratch::new();
    scratch.run("create ab https://ab.example/ order.paid --metadata team=x").code(0);
    scratch.run("list").answers(str![[r#"
[ID]	crm	enabled	https://crm.example/hook	order.*	
[ID]	bi	disabled	https://bi.example/	orders.*, *.v1	
[ID]	ab	enabled	https://ab.example/	order.paid	

"#]]);
    scratch.run("list --json").answers(str![[r#"
[
  {
    "createdAt": "[TIME]",
    "enabled": true,
    "events": [
      "order.*"
    ],
    "name": "crm",
    "revision": 1,
    "subscriptionId": "[ID]",
    "updatedAt": "[TIME]",
    "url": "https://crm.example/hook"
  },
  {
    "createdAt": "[TIME]",
    "disabledAt": "[TIME]",
    "enabled": false,
    "events": [
      "orders.*",
      "*.v1"
    ],
    "name": "bi",
    "revision": 1,
    "subscriptionId": "[ID]",
    "updatedAt": "[TIME]",
    "url": "https://bi.example/"
  },
  {
    "createdAt": "[TIME]",
    "enabled": true,
    "events": [
      "order.paid"
    ],
    "metadata": {
      "team": "x"
    },
    "name": "ab",
    "revision": 1,
    "subscriptionId": "[ID]",
    "updatedAt": "[TIME]",
    "url": "https://ab.example/"
  }
]

"#]]);
    for (filter, names) in [
        ("--enabled", vec!["crm", "ab"]),
        ("--disabled", vec!["bi"]),
        ("--event order.refunded", vec!["crm"]),
        ("--name-contains b", vec!["bi", "ab"]),
        ("--metadata team=x", vec!["ab"]),
        ("--limit 2", vec!["crm", "bi"]),
        ("--limit 0", vec![]),
    ] {
        let listed = scratch.json(&format!("list {filter}"));
        let found: Vec<&str> =
            listed.as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
        assert_eq!(found, names, "{filter}");
    }
    let first = scratch.json("list")[0]["subscriptionId"].as_str().unwrap().to_owned();
    assert_eq!(scratch.json(&format!("list --after {first}"))[0]["name"], "bi");
    scratch.run("list --event order.payed").refuses(str![[r#"
error: eventType: no event type "order.payed"; did you mean "order.paid"?

"#]]);
    scratch.run("list --after x").refuses(str![[r#"
error: invalid value 'x' for '--after <ID>': [..] has 26 characters, not 1

For more information, try '--help'.

"#]]);
}

#[test]
fn a_long_list_is_complete_in_every_form() {
    let scratch = Scratch::new();
    let new = |n: u32| {
        webhook_registry::NewSubscription::new(format!("s{n}"), "https://a.example/", ["*"])
    };
    scratch.registry().create_all((0..2_500).map(new)).unwrap();
    assert_eq!(scratch.json("list").as_array().unwrap().len(), 2_502);
    assert_eq!(scratch.json("list --limit 1500").as_array().unwrap().len(), 1_500);
    assert_eq!(scratch.run("list").stdout().lines().count(), 2_502);
    assert_eq!(scratch.run("list --color always").stdout().lines().count(), 2_503);
}

#[test]
fn show_has_the_event_types_and_the_last_changes() {
    let scratch = Scratch::new();
    scratch.run("update bi --description text --metadata a=b").code(0);
    scratch.run("show bi").answers(str![[r#"
id	[ID]
name	bi
state	disabled
url	https://bi.example/
patterns	orders.*, *.v1
event types	user.login.v1
disabled since	[TIME]
description	text
metadata	a=b
created	[TIME]
updated	[TIME]
revision	2

5	[TIME]	created	[ID]		name="bi" [..] enabled=false secret
6	[TIME]	updated	[ID]		description="text" metadata={"a":"b"}

"#]]);
    scratch.run("show bi --json --changes 1").answers(str![[r#"
{
  "changes": [
    {
      "at": "[TIME]",
      "fields": [
        {
          "after": "text",
          "name": "description"
        },
        {
          "after": {
            "a": "b"
          },
          "name": "metadata"
        }
      ],
      "kind": "updated",
      "sequence": 6,
      "subject": "[ID]"
    }
  ],
  "createdAt": "[TIME]",
  "description": "text",
  "disabledAt": "[TIME]",
  "enabled": false,
  "eventTypes": [
    "user.login.v1"
  ],
  "events": [
    "orders.*",
    "*.v1"
  ],
  "metadata": {
    "a": "b"
  },
  "name": "bi",
  "revision": 2,
  "subscriptionId": "[ID]",
  "updatedAt": "[TIME]",
  "url": "https://bi.example/"
}

"#]]);
    let id = scratch.json("show crm")["subscriptionId"].as_str().unwrap().to_owned();
    assert_eq!(scratch.json(&format!("show {id}"))["name"], "crm");
    scratch.run("show nobody").refuses(str![[r#"
error: nameOrId: no subscription "nobody"

"#]]);
}

#[test]
fn update_changes_what_is_given() {
    let scratch = Scratch::new();
    scratch.run("update crm --name crm2 --url https://new.example/").answers(str![[r#"
updated [ID] crm2

"#]]);
    scratch.run("update crm2 --name crm2").answers(str![[r#"
unchanged [ID] crm2

"#]]);
    scratch.run("update crm2 --add-event user.* --remove-event order.* --json").answers(str![[
        r#"
{
  "createdAt": "[TIME]",
  "enabled": true,
  "events": [
    "user.*"
  ],
  "name": "crm2",
  "revision": 3,
  "subscriptionId": "[ID]",
  "updatedAt": "[TIME]",
  "url": "https://new.example/"
}

"#
    ]]);
    scratch.run("update crm2 --event order.paid --metadata a=1 --metadata b=2").code(0);
    scratch.run("update crm2 --remove-metadata a --description d").code(0);
    scratch.run("update crm2 --clear-metadata --metadata c=3 --clear-description --json").answers(
        str![[r#"
{
  "createdAt": "[TIME]",
  "enabled": true,
  "events": [
    "order.paid"
  ],
  "metadata": {
    "c": "3"
  },
  "name": "crm2",
  "revision": 6,
  "subscriptionId": "[ID]",
  "updatedAt": "[TIME]",
  "url": "https://new.example/"
}

"#]],
    );
    scratch.feed("update crm2 --from - --json", r#"{"enabled": false}"#).answers(str![[r#"
{
  "createdAt": "[TIME]",
  "disabledAt": "[TIME]",
  "enabled": false,
  "events": [
    "order.paid"
  ],
  "metadata": {
    "c": "3"
  },
  "name": "crm2",
  "revision": 7,
  "subscriptionId": "[ID]",
  "updatedAt": "[TIME]",
  "url": "https://new.example/"
}

"#]]);
    scratch.feed("update crm2 --secret-file -", SECRET).code(0);
    assert_eq!(scratch.json("secret crm2 --reveal")[0]["secret"], SECRET);
}

#[test]
fn a_refused_update_changes_nothing() {
    let scratch = Scratch::new();
    scratch.run("update crm --url ftp://x --add-event new --name bi").refuses(str![[r#"
error: 2 problems
  url: a URL begins with http:// or https://, not with ftp:
  events[1]: no event type "new"

"#]]);
    scratch.run("update crm --remove-event user.*").refuses(str![[r#"
error: removeEvent: the subscription has no pattern "user.*"

"#]]);
    scratch.run("update crm --name bi").refuses(str![[r#"
error: name: "bi" is taken by subscription [ID]

"#]]);
    scratch.run("update crm --name x --if-revision 7").refuses(str![[r#"
error: ifRevision: 7 does not fit: subscription [ID] is at revision 1

"#]]);
    scratch.feed("update crm --from -", r#"{"colour": 1, "url": 5}"#).refuses(str![[r#"
error: 2 problems
  colour: unknown key "colour"; the keys are name, url, [..]
  url: expected a string, found a number

"#]]);
    scratch.run("update crm --from x.json --name y").refuses(str![[r#"
error: the argument '--from <FILE>' cannot be used with:
  --name <NAME>
  --url <URL>
  --event <EVENT>
  --add-event <EVENT>
  --remove-event <EVENT>
  --description <TEXT>
  --clear-description
  --metadata <KEY=VALUE>
  --remove-metadata <KEY>
  --clear-metadata
  --secret-file <FILE>

Usage: webhook-registry update --from <FILE> --db <FILE> <NAME_OR_ID>

For more information, try '--help'.

"#]]);
    assert_eq!(scratch.json("show crm")["revision"], 1);
}

#[test]
fn a_subscription_is_disabled_with_a_reason_and_enabled() {
    let scratch = Scratch::new();
    scratch.run("disable crm").answers(str![[r#"
disabled [ID] crm

"#]]);
    scratch.run("disable crm").answers(str![[r#"
unchanged [ID] crm

"#]]);
    scratch.run_args(["disable", "crm", "--reason", "410 Gone"]).answers(str![[r#"
disabled [ID] crm

"#]]);
    scratch.run("list --disabled").answers(str![[r#"
[ID]	crm	disabled	https://crm.example/hook	order.*	410 Gone
[ID]	bi	disabled	https://bi.example/	orders.*, *.v1	

"#]]);
    scratch.run("show crm --changes 1").answers(str![[r#"
id	[ID]
name	crm
state	disabled
url	https://crm.example/hook
patterns	order.*
event types	order.paid, order.refunded
reason	410 Gone
disabled since	[TIME]
created	[TIME]
updated	[TIME]
revision	3

7	[TIME]	disabled	[ID]		disabledReason="410 Gone"

"#]]);
    scratch.run("disable crm --json").answers(str![[r#"
{
  "createdAt": "[TIME]",
  "disabledAt": "[TIME]",
  "disabledReason": "410 Gone",
  "enabled": false,
  "events": [
    "order.*"
  ],
  "name": "crm",
  "revision": 3,
  "subscriptionId": "[ID]",
  "updatedAt": "[TIME]",
  "url": "https://crm.example/hook"
}

"#]]);
    scratch.run("disable crm --reason=").refuses(str![[r#"
error: disabledReason: a reason cannot be empty; leave it out where there is none

"#]]);
    scratch.run("enable crm --json").answers(str![[r#"
{
  "createdAt": "[TIME]",
  "enabled": true,
  "events": [
    "order.*"
  ],
  "name": "crm",
  "revision": 4,
  "subscriptionId": "[ID]",
  "updatedAt": "[TIME]",
  "url": "https://crm.example/hook"
}

"#]]);
    scratch.run("enable nobody").refuses(str![[r#"
error: nameOrId: no subscription "nobody"

"#]]);
}

#[test]
fn without_a_terminal_delete_needs_yes() {
    let scratch = Scratch::new();
    scratch.feed("delete crm", "y\n").refuses(str![[r#"
error: yes: there is no terminal to ask on; give --yes

"#]]);
    assert_eq!(scratch.json("list").as_array().unwrap().len(), 2);
    scratch.run("delete crm nobody --yes").refuses(str![[r#"
error: nameOrId: no subscription "nobody"

"#]]);
    scratch.run("delete crm --yes --if-revision 9").refuses(str![[r#"
error: ifRevision: 9 does not fit: subscription [ID] is at revision 1

"#]]);
    scratch.run("delete crm bi --yes").answers(str![[r#"
deleted [ID] crm
deleted [ID] bi

"#]]);
    scratch.run("create crm https://crm.example/hook order.*").code(0);
    scratch.run("delete crm --yes --json").answers(str![[r#"
{
  "deleted": [
    "[ID]"
  ]
}

"#]]);
    assert_eq!(scratch.json("list"), serde_json::json!([]));
}

#[test]
fn a_damaged_subscription_can_be_deleted_by_its_id() {
    let scratch = Scratch::new();
    let id = scratch.json("show crm")["subscriptionId"].as_str().unwrap().to_owned();
    let connection = rusqlite::Connection::open(scratch.path("reg.db")).unwrap();
    let damage = "UPDATE _webhook_registry_subscription SET url = 'x' WHERE name = 'crm'";
    assert_eq!(connection.execute(damage, []).unwrap(), 1);
    scratch.run(&format!("show {id}")).code(2);
    scratch.run(&format!("delete {id} --yes")).answers(str![[r#"
deleted [ID] [ID] (damaged)

"#]]);
    assert_eq!(scratch.json("list").as_array().unwrap().len(), 1);
}

#[test]
fn hostile_text_cannot_control_the_terminal_or_start_a_field() {
    let scratch = Scratch::new();
    let text = "a\tb\u{1b}[31m\nc\u{202e}d";
    scratch.run_args(["update", "crm", "--description", text, "--metadata", "k=\u{7}v"]).code(0);
    let shown = scratch.run("show crm").code(0).stdout();
    assert!(shown.contains("description\ta\\tb\\u{1b}[31m\\nc\\u{202e}d\n"), "{shown}");
    for command in ["show crm", "changes", "list --metadata k=\u{7}v"] {
        let shown = scratch.run(command).code(0).stdout();
        assert!(!shown.contains(['\u{1b}', '\u{202e}', '\u{7}']), "{shown}");
    }
    let table = scratch.run("show crm --color always").code(0).stdout();
    assert!(!table.contains("\u{1b}[31m") && !table.contains('\u{202e}'), "{table}");
}
