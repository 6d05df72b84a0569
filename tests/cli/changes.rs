//! `changes`, once and live.

use std::io::{BufRead, BufReader};
use std::thread;
use std::time::Duration;

use snapbox::str;
use webhook_registry::{NewSubscription, Registry};

use crate::support::Scratch;

#[test]
fn the_history_is_printed_from_the_oldest_change() {
    let scratch = Scratch::new();
    scratch.run("rotate crm").code(0);
    scratch.run("changes").answers(str![[r#"
1	[TIME]	eventTypeRegistered	order.paid		name="order.paid"
2	[TIME]	eventTypeRegistered	order.refunded		name="order.refunded"
3	[TIME]	eventTypeRegistered	user.login.v1		name="user.login.v1"
4	[TIME]	created	[ID]		name="crm" [..] enabled=true secret
5	[TIME]	created	[ID]		name="bi" [..] enabled=false secret
6	[TIME]	secretRotated	[ID]		secret

"#]]);
    scratch.run("changes --after 4 --json").answers(str![[r#"
[
  {
    "at": "[TIME]",
    "fields": [
      {
        "after": "bi",
        "name": "name"
      },
      {
        "after": "https://bi.example/",
        "name": "url"
      },
      {
        "after": [
          "orders.*",
          "*.v1"
        ],
        "name": "events"
      },
      {
        "after": false,
        "name": "enabled"
      },
      {
        "name": "secret"
      }
    ],
    "kind": "created",
    "sequence": 5,
    "subject": "[ID]"
  },
  {
    "at": "[TIME]",
    "fields": [
      {
        "name": "secret"
      }
    ],
    "kind": "secretRotated",
    "sequence": 6,
    "subject": "[ID]"
  }
]

"#]]);
    scratch.run("changes --after 6").answers(str![[r#""#]]);
    scratch.run("changes --after 7").refuses(str![[r#"
error: the history ends at 6; 7 is another file's, or one's before a restore

"#]]);
}

#[test]
fn the_history_begins_where_it_is_still_kept() {
    let scratch = Scratch::new();
    let registry = Registry::options().keep_changes(3).open(scratch.path("reg.db")).unwrap();
    for n in 0..20 {
        registry.register_event_type(format!("t{n}")).unwrap();
    }
    let kept = scratch.json("changes");
    let numbers: Vec<u64> =
        kept.as_array().unwrap().iter().map(|c| c["sequence"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [23, 24, 25]);
    scratch.run("changes --after 1").refuses(str![[r#"
error: the changes after 1 are no longer kept; the history begins after 22

"#]]);
    // The changes of a subscription can be gone while it exists.
    assert_eq!(scratch.json("show crm")["changes"], serde_json::json!([]));
}

#[test]
fn a_long_history_is_complete() {
    let scratch = Scratch::new();
    let names = (0..2_500).map(|n| format!("t{n:04}"));
    scratch.registry().register_event_types(names).unwrap();
    assert_eq!(scratch.json("changes").as_array().unwrap().len(), 2_505);
    assert_eq!(scratch.run("changes").stdout().lines().count(), 2_505);
    assert_eq!(scratch.json("show crm")["changes"][0]["kind"], "created");
}

#[test]
fn follow_prints_the_changes_of_another_process_in_order() {
    let scratch = Scratch::new();
    let mut follower = scratch.spawn("changes --after 5 --follow --json");
    let lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let writer = thread::spawn({
        let registry = scratch.registry();
        move || {
            for n in 0..30 {
                let new = NewSubscription::new(format!("s{n}"), "https://a.example/", ["*"]);
                registry.create(new).unwrap();
                thread::sleep(Duration::from_millis(5));
            }
        }
    });
    for (line, number) in lines.take(30).zip(6_u64..) {
        let change: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        assert_eq!(change["sequence"], number);
        assert_eq!(change["kind"], "created");
    }
    writer.join().unwrap();
    // The reader has gone: the next change ends the program quietly.
    scratch.run("types add last").code(0);
    let output = follower.wait_with_output().unwrap();
    assert!(output.status.success(), "{:?}", output.status);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[cfg(unix)]
#[test]
fn follow_ends_when_its_reader_has_gone_also_without_a_change() {
    let scratch = Scratch::new();
    let mut follower = scratch.spawn("changes --after 0 --follow");
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("1\t"));
    assert!(follower.try_wait().unwrap().is_none());
    drop(lines);
    let output = follower.wait_with_output().unwrap();
    assert!(output.status.success(), "{:?}", output.status);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn follow_begins_with_the_next_change() {
    let scratch = Scratch::new();
    let mut follower = scratch.spawn("changes --follow");
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let first = thread::spawn(move || lines.next().unwrap().unwrap());
    let mut added = 0;
    while !first.is_finished() {
        // The follower may not have begun yet, so the change is repeated.
        added += 1;
        scratch.run(&format!("types add new.{added}")).code(0);
        assert!(added < 500, "the follower prints nothing");
    }
    let line = first.join().unwrap();
    assert!(line.contains("\teventTypeRegistered\tnew."), "{line}");
    follower.kill().unwrap();
    follower.wait().unwrap();
}
