//! `init` and `types`.

use snapbox::str;

use crate::support::Scratch;

#[test]
fn init_creates_a_registry_with_a_catalog_and_leaves_an_existing_one_as_it_is() {
    let scratch = Scratch::empty();
    scratch.write("types.txt", "order.paid\n\n  order.refunded \n");
    let created = scratch.run("init --types types.txt").code(0).stdout();
    assert!(created.starts_with("created "), "{created}");
    assert!(created.ends_with("reg.db\nregistered 2 event types\n"), "{created}");
    assert!(scratch.run("init").code(0).stdout().starts_with("exists "));
    let document = scratch.json("init");
    assert_eq!(document["created"], false);
    scratch.run("types list").answers(str![[r#"
order.paid		
order.refunded		

"#]]);
}

#[test]
fn init_reads_the_catalog_before_it_creates_the_file() {
    let scratch = Scratch::empty();
    scratch.run("init --types missing.txt").refuses(str![[r#"
error: cannot read missing.txt: [..]

"#]]);
    assert!(!scratch.path("reg.db").exists());
}

#[cfg(unix)]
#[test]
fn a_new_registry_is_readable_by_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;

    let scratch = Scratch::new();
    let mode = scratch.path("reg.db").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn event_types_are_read_from_a_catalog_an_array_or_lines() {
    let scratch = Scratch::new();
    let catalog = r#"{"eventTypes": [{"name": "a", "description": "first", "jsonSchema": {}}]}"#;
    scratch.feed("types import -", catalog).answers(str![[r#"
registered a

"#]]);
    scratch.feed("types import -", r#"["b", "c"]"#).answers(str![[r#"
registered b
registered c

"#]]);
    scratch.feed("types import - --json", r#"[{"name": "d"}]"#).answers(str![[r#"
[
  {
    "name": "d"
  }
]

"#]]);
    scratch.feed("types import -", "e\nf\n").answers(str![[r#"
registered e
registered f

"#]]);
    scratch.run("types list ?").answers(str![[r#"
a	schema	first
b		
c		
d		
e		
f		

"#]]);
}

#[test]
fn event_types_are_added_replaced_and_removed() {
    let scratch = Scratch::new();
    scratch.run("types add user.logout --description bye").answers(str![[r#"
registered user.logout

"#]]);
    scratch.run("types list user.*").answers(str![[r#"
user.login.v1		
user.logout		bye

"#]]);
    scratch.run("types list user.* --json").answers(str![[r#"
[
  {
    "name": "user.login.v1"
  },
  {
    "description": "bye",
    "name": "user.logout"
  }
]

"#]]);
    scratch.run("types remove user.logout").answers(str![[r#"
removed user.logout

"#]]);
    scratch.run("types remove user.logout").refuses(str![[r#"
error: eventType: no event type "user.logout"; did you mean "user.login.v1"?

"#]]);
    scratch.run("create a https://a.example/ order.paid").code(0);
    scratch.run("types remove order.paid").refuses(str![[r#"
error: name: "order.paid" is still named by "a" ([ID])

"#]]);
    scratch.run("types remove order.refunded --json").answers(str![[r#"
{
  "removed": [
    "order.refunded"
  ]
}

"#]]);
}

#[test]
fn every_invalid_event_type_is_reported() {
    let scratch = Scratch::new();
    scratch.feed("types import -", "good\nnot good\n*\n").refuses(str![[r#"
error: 2 problems
  [1].name: a name cannot contain ' ' (at byte 3), only letters, digits and _ - . : /
  [2].name: a name cannot contain '*' (at byte 0), only letters, digits and _ - . : /

"#]]);
    scratch.feed("types import -", r#"{"eventTypes": 5}"#).refuses(str![[r#"
error: file: eventTypes: expected an array, found a number at line 1 column 16

"#]]);
    scratch.run_args(["types", "add", ""]).refuses(str![[r#"
error: [0].name: an event type needs a name

"#]]);
}

#[test]
fn nothing_is_an_empty_array() {
    let scratch = Scratch::empty();
    scratch.run("init").code(0);
    for command in ["types list", "list", "expand *", "changes", "matrix"] {
        assert_eq!(scratch.json(command), serde_json::json!([]), "{command}");
        assert_eq!(scratch.run(command).code(0).stdout(), "", "{command}");
    }
}
