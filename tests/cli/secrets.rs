//! `rotate`, `revoke-old` and `secret`, and where secrets are not.

use snapbox::str;

use crate::support::{SECRET, Scratch};

#[test]
fn rotate_prints_the_new_secret_and_the_old_one_stays_valid() {
    let scratch = Scratch::new();
    scratch.run("rotate crm").answers(str![[r#"
[ID]	crm	[SECRET]

"#]]);
    scratch.run("secret crm").answers(str![[r#"
[FINGERPRINT]	[TIME]	never
[FINGERPRINT]	[TIME]	[TIME]

"#]]);
    scratch.run("revoke-old crm").answers(str![[r#"
[FINGERPRINT]	[TIME]	never

"#]]);
    scratch.run("rotate crm --json").ends(
        0,
        str![[r#"
{
  "fingerprint": "[FINGERPRINT]",
  "subscriptionId": "[ID]"
}

"#]],
        str![[r#"
the secret is left out: --reveal writes it, and `secret NAME --reveal` later

"#]],
    );
    scratch.run("rotate crm --json --reveal --overlap 0s").answers(str![[r#"
{
  "fingerprint": "[FINGERPRINT]",
  "secret": "[SECRET]",
  "subscriptionId": "[ID]"
}

"#]]);
    scratch.run("rotate crm --overlap 40days").refuses(str![[r#"
error: overlap: the overlap is at most 30 days

"#]]);
    scratch.run("rotate crm --overlap soon").refuses(str![[r#"
error: invalid value 'soon' for '--overlap <TIME>': expected number at 0

For more information, try '--help'.

"#]]);
}

#[test]
fn a_given_secret_comes_from_a_file_or_stdin_only() {
    let scratch = Scratch::new();
    scratch.feed("rotate crm --secret-file - --overlap 1h", SECRET).code(0);
    scratch.run("secret crm --reveal").answers(str![[r#"
[FINGERPRINT]	[TIME]	never	c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0
[FINGERPRINT]	[TIME]	[TIME]	[SECRET]

"#]]);
    scratch.feed("rotate crm --secret-file -", "short").refuses(str![[r#"
error: secret: a secret has to be standard base64 of whole bytes: [..]

"#]]);
    scratch.feed("rotate crm --secret-file -", "c2hvcnQ=").refuses(str![[r#"
error: secret: a secret has at least 32 bytes once decoded, not 5

"#]]);
    scratch.feed("rotate crm --secret-file - --min-secret-bytes 5", "c2hvcnQ=").code(0);
    let refused = scratch.run_args(["rotate", "crm", "--secret", SECRET]).code(2).stderr();
    assert!(!refused.contains(SECRET), "{refused}");
}

#[test]
fn secrets_are_revealed_on_request_only() {
    let scratch = Scratch::new();
    scratch.run("secret crm --json").answers(str![[r#"
[
  {
    "createdAt": "[TIME]",
    "fingerprint": "[FINGERPRINT]"
  }
]

"#]]);
    scratch.run("secret crm --json --reveal").answers(str![[r#"
[
  {
    "createdAt": "[TIME]",
    "fingerprint": "[FINGERPRINT]",
    "secret": "[SECRET]"
  }
]

"#]]);
    let secret = scratch.json("secret crm --reveal")[0]["secret"].as_str().unwrap().to_owned();
    for command in [
        "list",
        "show crm",
        "secret crm",
        "subscribers order.paid",
        "explain order.paid",
        "explain order.paid crm",
        "matrix",
        "matrix --color always",
        "matrix --html -",
        "matrix --mermaid",
        "changes",
        "check",
        "disable crm",
        "owners",
        "enable crm",
        "revoke-old crm",
    ] {
        for json in ["", "--json"] {
            let ran = scratch.run(&format!("{command} {json}"));
            assert!(!ran.stdout().contains(&secret), "{command} {json}");
            assert!(!ran.stderr().contains(&secret), "{command} {json}");
        }
    }
}

#[test]
fn no_option_takes_a_secret_or_key_as_its_value() {
    let scratch = Scratch::new();
    for command in ["create", "update", "rotate", "rekey"] {
        let help = scratch.run(&format!("{command} --help")).code(0).stdout();
        let options = help.lines().filter_map(|line| line.trim().strip_prefix("--"));
        for option in options.filter(|option| option.contains('<')) {
            let (name, value) = option.split_once(' ').unwrap();
            if name.contains("secret") || name.contains("key") {
                assert!(value.starts_with("<FILE>") || name == "min-secret-bytes", "{option}");
            }
        }
    }
}
