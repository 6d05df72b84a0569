//! `subscribers`, `explain`, `expand` and `check`.

use snapbox::str;

use crate::support::Scratch;

#[test]
fn subscribers_lists_who_gets_an_event() {
    let scratch = Scratch::new();
    scratch.run("update crm --metadata team=x").code(0);
    scratch.run("subscribers order.paid").answers(str![[r#"
[ID]	crm	https://crm.example/hook

"#]]);
    scratch.run("subscribers order.paid --json").answers(str![[r#"
[
  {
    "metadata": {
      "team": "x"
    },
    "name": "crm",
    "subscriptionId": "[ID]",
    "url": "https://crm.example/hook"
  }
]

"#]]);
    scratch.run("subscribers order.payed").refuses(str![[r#"
error: eventType: no event type "order.payed"; did you mean "order.paid"?

"#]]);
}

#[test]
fn subscribers_check_exits_with_1_if_nobody_gets_the_event() {
    let scratch = Scratch::new();
    scratch.run("subscribers order.paid --check").code(0);
    let note = str![[r#"
nobody gets user.login.v1

"#]];
    scratch.run("subscribers user.login.v1 --check").ends(1, "", note);
    scratch.run("subscribers user.login.v1 --check --json").ends(
        1,
        str![[r#"
[]

"#]],
        "",
    );
    scratch.run("subscribers user.login.v1").code(0);
    scratch.run("subscribers nothing --check").code(2);
}

#[test]
fn explain_lists_who_has_a_matching_pattern() {
    let scratch = Scratch::new();
    scratch.run("explain user.login.v1").answers(str![[r#"
[ID]	bi	disabled	*.v1	

"#]]);
    scratch.run("explain user.login.v1 --json").answers(str![[r#"
{
  "entries": [
    {
      "enabled": false,
      "name": "bi",
      "patterns": [
        "*.v1"
      ],
      "subscriptionId": "[ID]"
    }
  ],
  "eventType": "user.login.v1"
}

"#]]);
    scratch.run("types add other").code(0);
    scratch.run("explain other").ends(
        0,
        "",
        str![[r#"
no subscription has a pattern that matches other

"#]],
    );
    scratch.run("explain order.payed").refuses(str![[r#"
error: eventType: no event type "order.payed"; did you mean "order.paid"?

"#]]);
}

#[test]
fn explain_says_why_a_subscription_gets_an_event_or_not() {
    let scratch = Scratch::new();
    scratch.run("explain order.paid crm").answers(str![[r#"
event	order.paid
subscription	crm
id	[ID]
receives	yes
matching	order.*

"#]]);
    scratch.run("explain order.paid bi").answers(str![[r#"
event	order.paid
subscription	bi
id	[ID]
receives	no
why	disabled since [TIME]
why	no pattern matches
closest	orders.* (1 character differs)
closest	*.v1 (3 characters differ)

"#]]);
    scratch.run("explain order.paid bi --json").answers(str![[r#"
{
  "closest": [
    {
      "distance": 1,
      "pattern": "orders.*"
    },
    {
      "distance": 3,
      "pattern": "*.v1"
    }
  ],
  "disabledAt": "[TIME]",
  "enabled": false,
  "eventType": "order.paid",
  "name": "bi",
  "patterns": [],
  "reasons": [
    "disabled",
    "noMatchingPattern"
  ],
  "receives": false,
  "subscriptionId": "[ID]"
}

"#]]);
    scratch.run("explain user.login.v1 bi").answers(str![[r#"
event	user.login.v1
subscription	bi
id	[ID]
receives	no
why	disabled since [TIME]
matching	*.v1

"#]]);
    scratch.run_args(["disable", "bi", "--reason", "410 Gone"]).code(0);
    scratch.run("explain user.login.v1").answers(str![[r#"
[ID]	bi	disabled	*.v1	410 Gone

"#]]);
    scratch.run("explain user.login.v1 bi").answers(str![[r#"
event	user.login.v1
subscription	bi
id	[ID]
receives	no
why	disabled since [TIME]: 410 Gone
matching	*.v1

"#]]);
    scratch.run("explain user.login.v1 bi --json").answers(str![[r#"
{
  "closest": [],
  "disabledAt": "[TIME]",
  "disabledReason": "410 Gone",
  "enabled": false,
  "eventType": "user.login.v1",
  "name": "bi",
  "patterns": [
    "*.v1"
  ],
  "reasons": [
    "disabled"
  ],
  "receives": false,
  "subscriptionId": "[ID]"
}

"#]]);
    scratch.run("explain user.login.v1 crm --json").answers(str![[r#"
{
  "closest": [
    {
      "distance": 3,
      "pattern": "order.*"
    }
  ],
  "enabled": true,
  "eventType": "user.login.v1",
  "name": "crm",
  "patterns": [],
  "reasons": [
    "noMatchingPattern"
  ],
  "receives": false,
  "subscriptionId": "[ID]"
}

"#]]);
    scratch.run("explain order.payed crm").refuses(str![[r#"
crm has a matching pattern (order.*), for when it is registered
error: eventType: no event type "order.payed"; did you mean "order.paid"?

"#]]);
    scratch.run("explain order.paid nobody").refuses(str![[r#"
error: nameOrId: no subscription "nobody"

"#]]);
}

#[test]
fn expand_lists_the_matching_event_types() {
    let scratch = Scratch::new();
    scratch.run("expand order.*").answers(str![[r#"
order.paid
order.refunded

"#]]);
    scratch.run("expand order.* --json").answers(str![[r#"
[
  "order.paid",
  "order.refunded"
]

"#]]);
    scratch.run("expand [").refuses(str![[r#"
error: pattern: the set at byte 0 is not closed

"#]]);
}

#[test]
fn check_gives_advice_and_exits_with_1_for_damage() {
    let scratch = Scratch::new();
    scratch.run("check").answers(str![[r#"
advice	subscription "bi" ([ID]): its pattern "orders.*" matches no event type [..]

"#]]);
    scratch.run("check --json").answers(str![[r#"
{
  "advice": [
    {
      "message": "subscription \"bi\" ([ID]): its pattern \"orders.*\" matches no event type [..]",
      "subscriptionId": "[ID]"
    }
  ],
  "findings": []
}

"#]]);
    scratch.run("delete bi --yes").code(0);
    scratch.run("create on https://on.example/ *").code(0);
    scratch.run("check").ends(
        0,
        "",
        str![[r#"
nothing found

"#]],
    );
    let connection = rusqlite::Connection::open(scratch.path("reg.db")).unwrap();
    connection.execute_batch("UPDATE _webhook_registry_subscription SET secret = ''").unwrap();
    let damaged = scratch.run("check").code(1).stdout();
    assert!(damaged.lines().all(|line| line.starts_with("finding\t")), "{damaged}");
    assert!(!scratch.json("check")["findings"].as_array().unwrap().is_empty());
}
