//! `matrix` as lines, table, JSON and Mermaid. `page` tests its page.

use snapbox::str;

use crate::support::Scratch;

#[test]
fn the_matrix_has_a_line_for_each_mark() {
    let scratch = Scratch::new();
    scratch.run("matrix").answers(str![[r#"
order.paid	[ID]	crm	enabled	order.*	
order.refunded	[ID]	crm	enabled	order.*	
user.login.v1	[ID]	bi	disabled	*.v1	

"#]]);
    scratch.run("matrix user.*").answers(str![[r#"
user.login.v1	[ID]	bi	disabled	*.v1	

"#]]);
    scratch.run("matrix user.* --json").answers(str![[r#"
[
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
]

"#]]);
    scratch.run("matrix [").refuses(str![[r#"
error: pattern: the set at byte 0 is not closed

"#]]);
}

#[test]
fn the_table_has_a_column_for_each_subscription() {
    let scratch = Scratch::new();
    scratch.run("matrix --color always").code(0);
    let table =
        anstream::adapter::strip_str(&scratch.run("matrix --color always").stdout()).to_string();
    snapbox::assert_data_eq!(
        table,
        str![[r#"
EVENT TYPE      crm  bi  
order.paid      ●    
order.refunded  ●    
user.login.v1        ○   

"#]]
    );
}

#[test]
fn a_wide_matrix_has_numbered_columns_and_a_list_of_them() {
    let scratch = Scratch::new();
    for n in 0..12 {
        scratch.run(&format!("create a-subscription-{n} https://a.example/ order.paid")).code(0);
    }
    let table = scratch.run("matrix order.* --color always").stdout();
    let table = anstream::adapter::strip_str(&table).to_string();
    assert!(table.starts_with("EVENT TYPE      1  2  3"), "{table}");
    assert!(table.lines().any(|line| line.starts_with("13") && line.contains("a-subscription-11")));
}

#[test]
fn the_diagram_has_an_arrow_for_each_mark() {
    let scratch = Scratch::new();
    scratch.run_args(["create", "a\"]; <b>", "https://a.example/", "order.paid"]).code(0);
    scratch.run("matrix --mermaid").answers(str![[r#"
flowchart LR
  e1["order.paid"]
  e2["order.refunded"]
  e3["user.login.v1"]
  s1(["crm"])
  s2(["bi"])
  s3(["a#34;#93;#59; #60;b#62;"])
  e1 --> s1
  e1 --> s3
  e2 --> s1
  e3 -.-> s2

"#]]);
    scratch.run("matrix --mermaid --json").refuses(str![[r#"
error: the argument '--mermaid' cannot be used with '--json'

Usage: webhook-registry matrix --mermaid --db <FILE> [PATTERN]

For more information, try '--help'.

"#]]);
}
