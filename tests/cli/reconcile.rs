//! `plan` and `apply`.

use std::thread;

use snapbox::str;

use crate::support::Scratch;

const DECLARED: &str = r#"[
    {"name": "crm", "url": "https://other.example/", "events": ["order.*"]},
    {"name": "new", "url": "https://new.example/", "events": ["*"]}
]"#;

#[test]
fn a_plan_lists_the_steps_and_changes_nothing() {
    let scratch = Scratch::new();
    scratch.write("list.json", DECLARED);
    scratch.run("plan list.json").answers(str![[r#"
update	crm	url
create	new	

"#]]);
    scratch.run("plan list.json --prune").answers(str![[r#"
update	crm	url
create	new	
delete	bi	

"#]]);
    scratch.run("plan list.json --json").answers(str![[r#"
{
  "steps": [
    {
      "fields": [
        "url"
      ],
      "kind": "update",
      "name": "crm"
    },
    {
      "fields": [],
      "kind": "create",
      "name": "new"
    }
  ]
}

"#]]);
    assert_eq!(scratch.json("list").as_array().unwrap().len(), 2);
}

#[test]
fn plan_check_exits_with_1_while_there_is_something_to_do() {
    let scratch = Scratch::new();
    scratch.write("list.json", DECLARED);
    scratch.run("plan list.json --check").code(1);
    scratch.run("apply list.json").code(0);
    scratch.run("plan list.json --check").ends(
        0,
        "",
        str![[r#"
nothing to do

"#]],
    );
    scratch.run("plan list.json --check --json").answers(str![[r#"
{
  "steps": []
}

"#]]);
    scratch.run("plan list.json --check --prune").code(1);
}

#[test]
fn apply_makes_the_registry_equal_to_the_list() {
    let scratch = Scratch::new();
    scratch.run("create fax https://fax.example/ *").code(0);
    scratch.feed("apply - --prune", DECLARED).ends(
        0,
        str![[r#"
created	[ID]	new
updated	[ID]	crm
deleted	[ID]	bi
deleted	[ID]	fax

"#]],
        str![[r#"
the secret is left out: --reveal writes it, and `secret NAME --reveal` later

"#]],
    );
    scratch.run("list").answers(str![[r#"
[ID]	crm	enabled	https://other.example/	order.*	
[ID]	new	enabled	https://new.example/	*	

"#]]);
    scratch.feed("apply - --prune", DECLARED).ends(
        0,
        "",
        str![[r#"
nothing to do

"#]],
    );
    let more = r#"[{"name": "more", "url": "https://more.example/", "events": ["*"]}]"#;
    scratch.feed("apply - --json", more).ends(
        0,
        str![[r#"
{
  "created": [
    {
      "createdAt": "[TIME]",
      "enabled": true,
      "events": [
        "*"
      ],
      "name": "more",
      "revision": 1,
      "subscriptionId": "[ID]",
      "updatedAt": "[TIME]",
      "url": "https://more.example/"
    }
  ],
  "deleted": [],
  "updated": []
}

"#]],
        str![[r#"
the secret is left out: --reveal writes it, and `secret NAME --reveal` later

"#]],
    );
    scratch.run("delete more --yes").code(0);
    scratch.feed("apply - --reveal", more).answers(str![[r#"
created	[ID]	more	[SECRET]

"#]]);
    scratch.run("delete more --yes").code(0);
    scratch.feed("apply - --json --reveal", more).answers(str![[r#"
{
  "created": [
    {
      "createdAt": "[TIME]",
      "enabled": true,
      "events": [
        "*"
      ],
      "name": "more",
      "revision": 1,
      "secret": "[SECRET]",
      "subscriptionId": "[ID]",
      "updatedAt": "[TIME]",
      "url": "https://more.example/"
    }
  ],
  "deleted": [],
  "updated": []
}

"#]]);
}

#[test]
fn a_faulty_list_changes_nothing() {
    let scratch = Scratch::new();
    let faulty = r#"[{"name": "a", "url": "x", "events": ["*"]},
                     {"name": "", "url": "https://b.example/", "events": ["order.payed"]}]"#;
    scratch.feed("apply - --prune", faulty).refuses(str![[r#"
error: 3 problems
  [0].url: a URL begins with http:// or https://
  [1].name: a subscription needs a name
  [1].events[0]: no event type "order.payed"; did you mean "order.paid"?

"#]]);
    scratch.feed("plan -", r#"[{"name": 1}, {"name": "b", "url": 2}]"#).refuses(str![[r#"
error: 5 problems
  [0].name: expected a string, found a number
  [0].url: missing key "url"
  [0].events: missing key "events"
  [1].url: expected a string, found a number
  [1].events: missing key "events"

"#]]);
    assert_eq!(scratch.json("list").as_array().unwrap().len(), 2);
}

#[test]
fn programs_that_apply_at_the_same_time_leave_one_of_the_lists() {
    let scratch = Scratch::new();
    let lists: Vec<String> = (0..4)
        .map(|n| {
            let new = |m: u32| {
                format!(r#"{{"name": "s{m}", "url": "https://{n}.example/", "events": ["*"]}}"#)
            };
            format!("[{}]", (0..20).map(new).collect::<Vec<_>>().join(","))
        })
        .collect();
    thread::scope(|scope| {
        for list in &lists {
            scope.spawn(|| {
                for _ in 0..5 {
                    let ran = scratch.feed("apply - --prune", list);
                    // Another program can have been faster: the plan no longer fits.
                    let fits = ran.status() == Some(0);
                    assert!(fits || ran.stderr().contains("changed"), "{}", ran.stderr());
                }
            });
        }
    });
    let listed = scratch.json("list");
    let urls: std::collections::BTreeSet<&str> =
        listed.as_array().unwrap().iter().map(|s| s["url"].as_str().unwrap()).collect();
    assert_eq!(listed.as_array().unwrap().len(), 20);
    assert_eq!(urls.len(), 1, "{urls:?}");
}
