//! `create`, from arguments and from documents.

use snapbox::str;

use crate::support::{SECRET, Scratch};

#[test]
fn create_prints_the_secret_once() {
    let scratch = Scratch::new();
    scratch.run("create a https://a.example/ order.*").answers(str![[r#"
[ID]	a	[SECRET]

"#]]);
    assert!(!scratch.run("show a").stdout().contains("=="));
}

#[test]
fn create_takes_every_field_and_the_secret_from_a_file_or_stdin() {
    let scratch = Scratch::new();
    let args = "create a https://a.example/ order.* *.v1 --description d --metadata team=x=y \
                --metadata z= --secret-file - --disabled --reveal --json";
    scratch.feed(args, &format!("{SECRET}\n")).answers(str![[r#"
{
  "createdAt": "[TIME]",
  "description": "d",
  "disabledAt": "[TIME]",
  "enabled": false,
  "events": [
    "order.*",
    "*.v1"
  ],
  "metadata": {
    "team": "x=y",
    "z": ""
  },
  "name": "a",
  "revision": 1,
  "secret": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0",
  "subscriptionId": "[ID]",
  "updatedAt": "[TIME]",
  "url": "https://a.example/"
}

"#]]);
    scratch
        .run("create d https://d.example/ * --disabled --reason paused --json --reveal")
        .answers(str![[r#"
{
  "createdAt": "[TIME]",
  "disabledAt": "[TIME]",
  "disabledReason": "paused",
  "enabled": false,
  "events": [
    "*"
  ],
  "name": "d",
  "revision": 1,
  "secret": "[SECRET]",
  "subscriptionId": "[ID]",
  "updatedAt": "[TIME]",
  "url": "https://d.example/"
}

"#]]);
    scratch.run("create e https://e.example/ * --reason paused").code(2);
    scratch.write("secret.txt", SECRET);
    let created = scratch.run("create b https://a.example/ order.* --secret-file secret.txt");
    assert!(created.code(0).stdout().contains(SECRET));
}

#[test]
fn json_has_no_secret_without_reveal() {
    let scratch = Scratch::new();
    scratch.run("create a https://a.example/ order.* --json").ends(
        0,
        str![[r#"
{
  "createdAt": "[TIME]",
  "enabled": true,
  "events": [
    "order.*"
  ],
  "name": "a",
  "revision": 1,
  "subscriptionId": "[ID]",
  "updatedAt": "[TIME]",
  "url": "https://a.example/"
}

"#]],
        str![[r#"
the secret is left out: --reveal writes it, and `secret NAME --reveal` later

"#]],
    );
    scratch.run("create b https://a.example/ order.* --json --reveal").answers(str![[r#"
{
  "createdAt": "[TIME]",
  "enabled": true,
  "events": [
    "order.*"
  ],
  "name": "b",
  "revision": 1,
  "secret": "[SECRET]",
  "subscriptionId": "[ID]",
  "updatedAt": "[TIME]",
  "url": "https://a.example/"
}

"#]]);
}

#[test]
fn create_reads_one_document_or_an_array() {
    let scratch = Scratch::new();
    let one = r#"{"name": "a", "url": "https://a.example/", "events": ["order.paid"]}"#;
    scratch.feed("create --from - --json --reveal", one).answers(str![[r#"
{
  "createdAt": "[TIME]",
  "enabled": true,
  "events": [
    "order.paid"
  ],
  "name": "a",
  "revision": 1,
  "secret": "[SECRET]",
  "subscriptionId": "[ID]",
  "updatedAt": "[TIME]",
  "url": "https://a.example/"
}

"#]]);
    let two = r#"[{"name": "b", "url": "https://b.example/", "events": ["order.paid"]},
                  {"name": "c", "url": "https://c.example/", "events": ["new"]}]"#;
    scratch.write("two.json", two);
    scratch.run("create --from two.json").refuses(str![[r#"
error: [1].events[0]: no event type "new"

"#]]);
    scratch.run("create --from two.json --allow-unknown-events").answers(str![[r#"
[ID]	b	[SECRET]
[ID]	c	[SECRET]

"#]]);
    scratch.feed("create --from - --json", "[]").ends(
        0,
        str![[r#"
[]

"#]],
        str![""],
    );
}

#[test]
fn every_fault_of_every_document_is_reported() {
    let scratch = Scratch::new();
    let faulty = r#"[{"name": "b", "url": 5, "events": ["order.paid"], "colour": 1},
                     {"name": "c", "url": "https://c.example/"}]"#;
    scratch.feed("create --from -", faulty).refuses(str![[r#"
error: 3 problems
  [0].colour: unknown key "colour"; the keys are name, url, [..]
  [0].url: expected a string, found a number
  [1].events: missing key "events"

"#]]);
    scratch.feed("create --from -", r#"{"name": true}"#).refuses(str![[r#"
error: 3 problems
  name: expected a string, found a boolean
  url: missing key "url"
  events: missing key "events"

"#]]);
    scratch.feed("create --from -", "[{]").refuses(str![[r#"
error: file: key must be a string at line 1 column 3

"#]]);
    let twice = r#"[{"name": "b", "name": "c", "url": "https://b.example/", "events": ["*"]}]"#;
    scratch.feed("create --from -", twice).refuses(str![[r#"
error: file: the key "name" appears twice at line 1 column 21

"#]]);
    // A secret under a wrong key is not repeated.
    let secret = format!(r#"[{{"name": "b", "enabled": "{SECRET}"}}]"#);
    let refused = scratch.feed("create --from -", &secret).code(2).stderr();
    assert!(!refused.contains(SECRET), "{refused}");
}
