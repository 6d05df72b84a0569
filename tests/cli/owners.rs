//! `--owner`, `--every-owner`, `owners` and `delete --all`.

use snapbox::str;

use crate::support::Scratch;

/// Makes a registry in which `acme` has `crm` and `erp`, `bolt` has `crm`, and nobody owns `crm`
/// and `bi`.
fn shared() -> Scratch {
    let scratch = Scratch::new();
    for (owner, name) in [("acme", "crm"), ("acme", "erp"), ("bolt", "crm")] {
        let url = format!("https://{owner}.example/{name}");
        scratch.run_args(["--owner", owner, "create", name, &url, "order.*"]).code(0);
    }
    scratch
}

fn id(scratch: &Scratch, command: &str) -> String {
    scratch.json(command)["subscriptionId"].as_str().unwrap().to_owned()
}

#[test]
fn owners_lists_who_has_subscriptions() {
    let scratch = shared();
    scratch.run("owners").answers(str![[r#"
acme
bolt

"#]]);
    assert_eq!(scratch.json("owners"), serde_json::json!(["acme", "bolt"]));
    scratch.run("owners --owner acme").refuses(str![[r#"
error: owner: a handle that is limited to an owner cannot do this; use the registry itself

"#]]);
    let empty = Scratch::new();
    assert_eq!(empty.json("owners"), serde_json::json!([]));
}

#[test]
fn a_long_list_of_owners_is_complete() {
    let scratch = Scratch::new();
    let registry = scratch.registry();
    for n in 0..2_001 {
        let new = webhook_registry::NewSubscription::new("a", "https://a.example/", ["*"]);
        registry.for_owner(format!("owner-{n}")).unwrap().create(new).unwrap();
    }
    assert_eq!(scratch.json("owners").as_array().unwrap().len(), 2_001);
    assert_eq!(scratch.run("owners").stdout().lines().count(), 2_001);
}

#[test]
fn a_command_works_on_the_subscriptions_of_its_owner() {
    let scratch = shared();
    scratch.run("list --owner acme").answers(str![[r#"
[ID]	crm	enabled	https://acme.example/crm	order.*	
[ID]	erp	enabled	https://acme.example/erp	order.*	

"#]]);
    scratch.run("subscribers order.paid --owner bolt --json").answers(str![[r#"
[
  {
    "name": "crm",
    "owner": "bolt",
    "subscriptionId": "[ID]",
    "url": "https://bolt.example/crm"
  }
]

"#]]);
    scratch.run("show crm --owner bolt --changes 0").answers(str![[r#"
id	[ID]
name	crm
owner	bolt
state	enabled
url	https://bolt.example/crm
patterns	order.*
event types	order.paid, order.refunded
created	[TIME]
updated	[TIME]
revision	1

"#]]);
    scratch.run("disable crm --owner acme").code(0);
    scratch.run("explain order.paid --owner acme").answers(str![[r#"
[ID]	crm	disabled	order.*	
[ID]	erp	enabled	order.*	

"#]]);
    scratch.run("changes --owner bolt").answers(str![[r#"
8	[TIME]	created	[ID]	bolt	name="crm" url="https://bolt.example/crm" [..] enabled=true secret

"#]]);
    scratch.run("matrix order.paid --owner acme").answers(str![[r#"
order.paid	[ID]	crm	disabled	order.*	
order.paid	[ID]	erp	enabled	order.*	

"#]]);
    assert_eq!(scratch.json("show crm")["enabled"], true);
    scratch.run("show erp --owner bolt").refuses(str![[r#"
error: nameOrId: no subscription "erp"

"#]]);
    scratch.run("types add x --owner acme").refuses(str![[r#"
error: owner: a handle that is limited to an owner cannot do this; use the registry itself

"#]]);
    scratch.run_args(["list", "--owner", ""]).refuses(str![[r#"
error: owner: an owner cannot be empty

"#]]);
    assert_eq!(scratch.json("list --owner nobody"), serde_json::json!([]));
}

#[test]
fn a_plan_prunes_only_the_subscriptions_of_its_owner() {
    let scratch = shared();
    let list = r#"[{"name": "crm", "url": "https://acme.example/crm", "events": ["order.*"]}]"#;
    scratch.feed("plan - --prune --owner acme", list).answers(str![[r#"
delete	erp	

"#]]);
    scratch.feed("apply - --prune --owner acme", list).code(0);
    assert_eq!(scratch.json("list --every-owner").as_array().unwrap().len(), 4);
    scratch.feed("apply - --every-owner", list).refuses(str![[r#"
error: owner: a handle of every owner does not say whose subscriptions are meant; [..]

"#]]);
}

#[test]
fn every_owner_shows_whose_each_subscription_is() {
    let scratch = shared();
    scratch.run("list --every-owner").answers(str![[r#"
[ID]	crm	enabled	https://crm.example/hook	order.*		
[ID]	bi	disabled	https://bi.example/	orders.*, *.v1		
[ID]	crm	enabled	https://acme.example/crm	order.*		acme
[ID]	erp	enabled	https://acme.example/erp	order.*		acme
[ID]	crm	enabled	https://bolt.example/crm	order.*		bolt

"#]]);
    scratch.run("subscribers order.paid --every-owner").answers(str![[r#"
[ID]	crm	https://crm.example/hook	
[ID]	crm	https://acme.example/crm	acme
[ID]	erp	https://acme.example/erp	acme
[ID]	crm	https://bolt.example/crm	bolt

"#]]);
    scratch.run("explain order.paid --every-owner").answers(str![[r#"
[ID]	crm	enabled	order.*		
[ID]	crm	enabled	order.*		acme
[ID]	erp	enabled	order.*		acme
[ID]	crm	enabled	order.*		bolt

"#]]);
    scratch.run("matrix order.paid --every-owner").answers(str![[r#"
order.paid	[ID]	crm	enabled	order.*		
order.paid	[ID]	crm	enabled	order.*		acme
order.paid	[ID]	erp	enabled	order.*		acme
order.paid	[ID]	crm	enabled	order.*		bolt

"#]]);
    let table = scratch.run("matrix order.paid --every-owner --color always").code(0).stdout();
    let table = anstream::adapter::strip_str(&table).to_string();
    assert!(table.contains("acme / erp"), "{table}");
    scratch.run("changes --after 6").answers(str![[r#"
7	[TIME]	created	[ID]	acme	name="erp" url="https://acme.example/erp" [..] enabled=true secret
8	[TIME]	created	[ID]	bolt	name="crm" url="https://bolt.example/crm" [..] enabled=true secret

"#]]);
}

#[test]
fn every_owner_finds_a_name_that_one_owner_has_and_any_id() {
    let scratch = shared();
    assert_eq!(scratch.json("show erp --every-owner")["owner"], "acme");
    scratch.run("show crm --every-owner").refuses(str![[r#"
error: 3 subscriptions are named "crm": give an id
  nameOrId: [ID] of no owner
  nameOrId: [ID] of "acme"
  nameOrId: [ID] of "bolt"

"#]]);
    scratch.run("show nobody --every-owner").refuses(str![[r#"
error: nameOrId: no subscription "nobody"

"#]]);
    let bolt = id(&scratch, "show crm --owner bolt");
    scratch.run(&format!("disable {bolt} --every-owner")).code(0);
    assert_eq!(scratch.json("show crm --owner bolt")["enabled"], false);
    scratch.run("create a https://a.example/ * --every-owner").refuses(str![[r#"
error: owner: a handle of every owner does not say whose subscriptions are meant; [..]

"#]]);
    for both in ["list --every-owner --owner acme", "--owner acme list --every-owner"] {
        scratch.run(both).refuses(str![[r#"
error: owner: --owner and --every-owner exclude each other

"#]]);
    }
}

#[test]
fn a_forgotten_owner_is_suggested() {
    let scratch = shared();
    scratch.run("show erp").refuses(str![[r#"
error: nameOrId: no subscription "erp" without an owner; add --owner "acme"

"#]]);
    scratch.run("delete bi crm --yes").code(0);
    scratch.run("enable crm").refuses(str![[r#"
error: nameOrId: no subscription "crm" without an owner; add --owner "acme" or "bolt"

"#]]);
    scratch.run("explain order.paid crm").refuses(str![[r#"
error: nameOrId: no subscription "crm" without an owner; add --owner "acme" or "bolt"

"#]]);
}

#[test]
fn explain_says_that_a_subscription_belongs_to_another_owner() {
    let scratch = shared();
    scratch.run("explain order.paid erp").answers(str![[r#"
event	order.paid
subscription	erp
id	[ID]
receives	no
why	belongs to the owner "acme"
matching	order.*

"#]]);
    scratch.run("explain user.login.v1 erp --json").answers(str![[r#"
{
  "closest": [
    {
      "distance": 3,
      "pattern": "order.*"
    }
  ],
  "enabled": true,
  "eventType": "user.login.v1",
  "name": "erp",
  "owner": "acme",
  "patterns": [],
  "reasons": [
    "otherOwner",
    "noMatchingPattern"
  ],
  "receives": false,
  "subscriptionId": "[ID]"
}

"#]]);
    // One owner's question does not tell whose it is, or what its name is.
    let erp = id(&scratch, "show erp --owner acme");
    scratch.run(&format!("explain order.paid {erp} --owner bolt")).answers(str![[r#"
event	order.paid
id	[ID]
receives	no
why	the subscription belongs to another owner

"#]]);
    scratch.run(&format!("explain order.paid {erp} --owner bolt --json")).answers(str![[r#"
{
  "eventType": "order.paid",
  "reasons": [
    "otherOwner"
  ],
  "receives": false,
  "subscriptionId": "[ID]"
}

"#]]);
    scratch.run("explain order.paid erp --owner bolt").refuses(str![[r#"
error: nameOrId: no subscription "erp"

"#]]);
}

#[test]
fn delete_all_deletes_what_one_owner_has() {
    let scratch = shared();
    scratch.run("delete --all --owner acme").refuses(str![[r#"
error: yes: there is no terminal to ask on; give --yes

"#]]);
    scratch.run("delete --all --owner acme --yes").answers(str![[r#"
deleted 2 subscriptions

"#]]);
    assert_eq!(scratch.json("owners"), serde_json::json!(["bolt"]));
    scratch.run("delete --all --yes --json").answers(str![[r#"
{
  "count": 2
}

"#]]);
    scratch.run("delete --all --yes --every-owner").refuses(str![[r#"
error: owner: a handle of every owner does not say whose subscriptions are meant; [..]

"#]]);
    scratch.run("delete --all crm --yes").code(2);
    assert_eq!(scratch.json("list --every-owner").as_array().unwrap().len(), 1);
}

#[test]
fn a_limit_holds_for_each_owner() {
    let scratch = shared();
    let create = "create new https://new.example/ order.* --max-subscriptions 2";
    scratch.run(&format!("{create} --owner acme")).refuses(str![[r#"
error: the limit is 2 subscriptions of one owner, and this call would leave 3; [..]

"#]]);
    scratch.run(&format!("{create} --owner bolt")).code(0);
}

#[test]
fn an_import_counts_the_subscriptions_of_every_owner() {
    let scratch = shared();
    let document = scratch.run("export --reveal").stdout();
    scratch.run("init --db other.db").code(0);
    scratch.feed("import - --db other.db", &document).answers(str![[r#"
imported 5 subscriptions, 3 event types

"#]]);
    assert_eq!(scratch.json("owners --db other.db"), serde_json::json!(["acme", "bolt"]));
    scratch.run("init --owner acme").refuses(str![[r#"
error: owner: a registry is created for all owners

"#]]);
}
