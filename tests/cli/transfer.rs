//! `export`, `import`, `backup` and `rekey`.

use std::fs;

use snapbox::str;

use crate::support::{SECRET, Scratch};

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n";

#[test]
fn an_export_needs_a_file_or_reveal() {
    let scratch = Scratch::new();
    scratch.run("export").code(2);
    scratch.run("export --output all.json").answers(str![[r#"
exported all.json

"#]]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = scratch.path("all.json").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    scratch.run("export --output all.json").refuses(str![[r#"
error: cannot create all.json: [..]

"#]]);
    let revealed = scratch.run("export --reveal").code(0).stdout();
    assert_eq!(revealed, fs::read_to_string(scratch.path("all.json")).unwrap());
}

#[test]
fn an_export_is_imported_into_an_empty_registry() {
    let scratch = Scratch::new();
    scratch.run("rotate crm").code(0);
    let document = scratch.run("export --reveal").stdout();
    scratch.run("init --db other.db").code(0);
    scratch.feed("import - --db other.db", &document).answers(str![[r#"
imported 2 subscriptions, 3 event types

"#]]);
    let copied = scratch.run("export --reveal --db other.db").stdout();
    assert_eq!(copied, document);
    scratch.feed("import - --db other.db", &document).refuses(str![[r#"
error: registry: holds something already; import needs an empty one

"#]]);
    scratch.run("init --db third.db").code(0);
    scratch.feed("import - --db third.db --json", &document).answers(str![[r#"
{
  "eventTypes": 3,
  "subscriptions": 2
}

"#]]);
    scratch.run("init --db fourth.db").code(0);
    scratch.feed("import - --db fourth.db", "{}").refuses(str![[r#"
error: file: missing keys "formatVersion", "eventTypes", "subscriptions" at line 1 column 2

"#]]);
}

#[test]
fn a_backup_is_a_new_file() {
    let scratch = Scratch::new();
    scratch.run("backup copy.db").answers(str![[r#"
copied to copy.db

"#]]);
    assert_eq!(scratch.json("list --db copy.db"), scratch.json("list"));
    let ran = scratch.run("backup copy.db").code(2);
    assert!(ran.stderr().contains("copy.db"), "{}", ran.stderr());
    assert_eq!(scratch.json("backup copy2.db")["file"], "copy2.db");
}

#[test]
fn rekey_encrypts_changes_the_key_and_decrypts() {
    let scratch = Scratch::new();
    scratch.feed("rotate crm --secret-file -", SECRET).code(0);
    scratch.write("key", KEY);
    scratch.write("key2", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n");
    scratch.run("rekey --new-key-file key").answers(str![[r#"
encrypted with the new key

"#]]);
    let ran = scratch.run("secret crm").code(2);
    assert!(ran.stderr().contains("encrypted"), "{}", ran.stderr());
    scratch.run("rekey --key-file key --new-key-file key2 --json").answers(str![[r#"
{
  "encrypted": true
}

"#]]);
    scratch.run("list --key-file key").code(2);
    let file = fs::read(scratch.path("reg.db")).unwrap();
    assert!(!file.windows(SECRET.len()).any(|bytes| bytes == SECRET.as_bytes()));
    scratch.run("rekey --key-file key2 --decrypt").answers(str![[r#"
decrypted

"#]]);
    assert_eq!(scratch.json("secret crm --reveal")[0]["secret"], SECRET);
}

#[test]
fn a_new_registry_can_be_encrypted_from_the_start() {
    let scratch = Scratch::empty();
    scratch.feed("init --key-file -", KEY).code(0);
    scratch.feed("list --key-file -", KEY).code(0);
    scratch.run("list").code(2);
}

#[test]
fn a_faulty_key_is_refused_and_not_repeated() {
    let scratch = Scratch::new();
    let faulty = KEY.replace("00112233", "0011223x");
    scratch.feed("rekey --new-key-file -", &faulty).refuses(str![[r#"
error: keyFile: a key is 32 bytes in hexadecimal or base64, as `openssl rand -hex 32` prints

"#]]);
    scratch.run("list --key-file missing").refuses(str![[r#"
error: cannot read missing: [..]

"#]]);
}
