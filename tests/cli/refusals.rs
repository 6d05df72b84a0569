//! Wrong use and refusals: exit status 2, a reason on stderr, and nothing on stdout.

use std::fs;

use snapbox::str;

use crate::support::{Scratch, assertion, program};

#[test]
fn a_registry_has_to_be_named() {
    let ran = snapbox::cmd::Command::from_std({
        let mut command = program();
        command.arg("list");
        command
    });
    ran.with_assert(assertion()).assert().code(2).stdout_eq("").stderr_eq(str![[r#"
error: db: give the file with --db or WEBHOOK_REGISTRY_DB

"#]]);
}

#[test]
fn only_init_creates_a_file() {
    let scratch = Scratch::empty();
    for command in [
        "list",
        "show a",
        "types list",
        "types add a",
        "create a https://a.example/ *",
        "check",
        "changes",
        "import -",
        "apply -",
        "backup copy.db",
        "subscribers a",
        "matrix",
    ] {
        let ran = scratch.feed(command, "[]").code(2);
        assert!(ran.stderr().starts_with("error: path: no registry at "), "{}", ran.stderr());
        assert_eq!(ran.stdout(), "");
    }
    assert_eq!(fs::read_dir(scratch.path("")).unwrap().count(), 0);
}

#[test]
fn another_file_is_refused_and_left_as_it_is() {
    let scratch = Scratch::empty();
    scratch.write("reg.db", "a text");
    scratch.run("init").refuses(str![[r#"
error: [..]reg.db is not an SQLite file, or an encrypted one

"#]]);
    assert_eq!(fs::read_to_string(scratch.path("reg.db")).unwrap(), "a text");
}

#[test]
fn every_problem_is_printed_with_its_field() {
    let scratch = Scratch::new();
    let create = "create crm ftp://x order.payed [ --metadata =x";
    scratch.run(create).refuses(str![[r#"
error: 4 problems
  url: a URL begins with http:// or https://, not with ftp:
  events[0]: no event type "order.payed"; did you mean "order.paid"?
  events[1]: the set at byte 0 is not closed
  metadata: a key cannot be empty

"#]]);
    scratch.run(&format!("{create} --json")).refuses(str![[r#"
{
  "detail": "url: a URL begins with http:// or https://, [..]; metadata: a key cannot be empty",
  "errors": [
    {
      "field": "url",
      "message": "a URL begins with http:// or https://, not with ftp:"
    },
    {
      "field": "events[0]",
      "message": "no event type \"order.payed\"; did you mean \"order.paid\"?"
    },
    {
      "field": "events[1]",
      "message": "the set at byte 0 is not closed"
    },
    {
      "field": "metadata",
      "message": "a key cannot be empty"
    }
  ],
  "status": 422,
  "title": "Invalid input"
}

"#]]);
    scratch.run("create crm https://x.example/ *").refuses(str![[r#"
error: name: "crm" is taken by subscription [ID]

"#]]);
    scratch.run("show nobody --json").refuses(str![[r#"
{
  "detail": "no subscription \"nobody\"",
  "errors": [
    {
      "field": "nameOrId",
      "message": "no subscription \"nobody\""
    }
  ],
  "status": 404,
  "title": "Not found"
}

"#]]);
    scratch.run("subscribers nothing --json").refuses(str![[r#"
{
  "detail": "no event type \"nothing\"",
  "errors": [
    {
      "field": "eventType",
      "message": "no event type \"nothing\""
    }
  ],
  "status": 404,
  "title": "Not found"
}

"#]]);
    scratch.run("init --types missing --json").code(2);
}

#[test]
fn a_read_only_registry_refuses_changes() {
    let scratch = Scratch::new();
    scratch.run("list --read-only").code(0);
    scratch.run("disable crm --read-only").refuses(str![[r#"
error: the registry is open read-only

"#]]);
    scratch.run("--read-only --db none.db init").code(2);
    assert!(!scratch.path("none.db").exists());
}

#[test]
fn the_url_policy_acts_on_what_is_stored() {
    let scratch = Scratch::new();
    scratch.run("create a http://a.example/ * --url-policy https-only").refuses(str![[r#"
error: url: the scheme has to be https, not http

"#]]);
    scratch.run("create a https://10.0.0.1/ * --url-policy public-https").refuses(str![[r#"
error: url: the host has to be public, but 10.0.0.1 is a private address

"#]]);
}

#[test]
fn wrong_arguments_are_refused() {
    let scratch = Scratch::new();
    for args in [
        "",
        "nonsense",
        "create",
        "create a",
        "create a https://a.example/",
        "list --nonsense",
        "list --enabled --disabled",
        "create a https://a.example/ * --metadata x",
        "export",
        "create --from x a",
        "rekey",
        "changes --after -1",
        "completions nonsense",
        "man nonsense",
        "man --json",
    ] {
        let ran = scratch.run(args).code(2);
        assert_eq!(ran.stdout(), "", "{args}");
        assert!(!ran.stderr().is_empty(), "{args}");
    }
}

#[test]
fn the_help_fits_80_columns() {
    let scratch = Scratch::new();
    let commands = [
        "",
        "init",
        "types",
        "types import",
        "create",
        "list",
        "show",
        "update",
        "delete",
        "rotate",
        "secret",
        "explain",
        "matrix",
        "changes",
        "plan",
        "apply",
        "export",
        "rekey",
        "man",
    ];
    for command in commands {
        let help = scratch.run(&format!("{command} --help")).code(0).stdout();
        for line in help.lines() {
            assert!(line.chars().count() <= 80, "{command}: {line}");
        }
    }
    scratch.run("--help").answers(str![[r#"
Reads and changes a registry of webhook subscriptions: one SQLite file, which
any number of programs can use at the same time

Usage: webhook-registry [OPTIONS] <COMMAND>

Commands:
  init         Create a registry, or leave an existing one as it is
  types        List, add, import or remove event types
  create       Create a subscription, and print its secret once
  list         List subscriptions [alias: ls]
  show         Show a subscription, its event types and its last changes
  update       Change a subscription
  enable       Enable a subscription
  disable      Disable a subscription
  delete       Delete subscriptions
  rotate       Replace the secret; the old one stays valid for the overlap
  revoke-old   Drop all secrets but the newest
  secret       List the valid secrets by fingerprint, or reveal them
  subscribers  List who gets an event
  explain      Explain who gets an event, and why a subscription does not
  expand       List the event types that a pattern matches
  matrix       Show event types × subscriptions, also as HTML or Mermaid
  check        Check the file for damage, and advise on its content
  changes      Print the history of changes
  plan         Show what `apply` would change
  apply        Make the subscriptions equal to a declared list
  export       Write everything as one JSON document, with the secrets
  import       Read an exported document into an empty registry
  backup       Copy the registry to a new file while others use it
  rekey        Encrypt the secrets with another key, or decrypt them
  owners       List the owners that have subscriptions
  completions  Print a completion script for a shell
  man          Print the manual page

Options:
  -h, --help     Print help
  -V, --version  Print version

Registry:
      --db <FILE>              The registry file [env: WEBHOOK_REGISTRY_DB]
      --owner <OWNER>          Work on the subscriptions of this owner; without
                               it, on those without an owner
      --every-owner            Work on the subscriptions of every owner
      --guest                  The file is an application's database, in which
                               the registry is a guest
      --read-only              Refuse every change
      --key-file <FILE>        File with the encryption key: 32 bytes in
                               hexadecimal or base64
      --url-policy <POLICY>    The URLs that this command may store [default:
                               any] [possible values: any, https-only,
                               public-https]
      --min-secret-bytes <N>   The shortest secret that this command may store
                               [default: 32]
      --max-subscriptions <N>  The most subscriptions that this command may
                               leave to an owner

Output:
      --json          Write one JSON document: the JSON of the library
      --color <WHEN>  When to use colour (NO_COLOR and CLICOLOR act on auto);
                      always also writes tables [default: auto] [possible
                      values: auto, always, never]

stdout has the answer, stderr everything else. On a terminal the answer is a
table; elsewhere each line has one record, with a tab between its fields and
without a heading. With --json it is one JSON document.

Exit status: 0 done; 1 findings (check), differences (plan --check) or nobody
(subscribers --check); 2 a refusal or wrong use.

"#]]);
}

#[test]
fn completions_and_the_manual_need_no_registry() {
    let scratch = Scratch::empty();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = scratch.run(&format!("completions {shell}")).code(0).stdout();
        assert!(script.contains("revoke-old"), "{shell}");
    }
    let page = scratch.run("man").code(0).stdout();
    assert!(page.contains(".TH webhook-registry 1"), "{page}");
    let page = scratch.run("man changes").code(0).stdout();
    assert!(page.contains("follow") && page.contains(".TH webhook-registry-changes 1"), "{page}");
}
