//! The page of `matrix --html` in a browser, and a script that drives the program.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Scratch, installed, script};

/// A page that shows another one in a frame as wide as a telephone, and reports what it finds.
const PROBE: &str = r#"<!doctype html>
<iframe id="frame" src="matrix.html" style="width: 390px; height: 800px; border: 0"></iframe>
<pre id="found"></pre>
<script>
const frame = document.getElementById('frame');
window.onload = () => {
  const inner = frame.contentDocument, found = {};
  const shown = () => ({
    rows: [...inner.querySelectorAll('tbody tr')].filter(row => !row.hidden)
      .map(row => row.cells[0].textContent),
    columns: [...inner.querySelectorAll('thead th')].slice(1).filter(cell => !cell.hidden)
      .map(cell => cell.textContent),
    count: inner.getElementById('count').textContent,
  });
  const filter = inner.getElementById('filter');
  found.all = shown();
  for (const text of ['refunded', 'BI', 'nothing']) {
    filter.value = text;
    filter.dispatchEvent(new frame.contentWindow.Event('input'));
    found[text] = shown();
  }
  filter.value = '';
  filter.dispatchEvent(new frame.contentWindow.Event('input'));
  found.again = shown();
  found.width = [inner.documentElement.clientWidth, inner.documentElement.scrollWidth];
  found.requests = frame.contentWindow.performance.getEntriesByType('resource').length;
  found.foreign = inner.querySelectorAll('img, b, iframe, object').length;
  found.scripts = inner.querySelectorAll('script').length;
  found.ran = frame.contentWindow.ran ?? null;
  found.marks = [...inner.querySelectorAll('td.on, td.off')].map(cell => cell.title);
  document.getElementById('found').textContent = JSON.stringify(found);
};
</script>
"#;

/// Names that would do something on a page that did not escape them.
const HOSTILE: [&str; 3] = [
    "<img src=x onerror=\"ran=1\">",
    "</script><script>ran=1</script>",
    "\" onclick='ran=1' <b>&amp;",
];

#[test]
fn the_page_renders_filters_fits_a_telephone_and_makes_no_request() {
    let Some(browser) = installed(&["chromium", "chromium-browser", "google-chrome"]) else {
        return;
    };
    let scratch = Scratch::new();
    for name in HOSTILE {
        scratch.run_args(["create", name, "https://a.example/", "order.paid"]).code(0);
    }
    for n in 0..20 {
        scratch.run(&format!("create filler-{n} https://a.example/ order.paid")).code(0);
    }
    scratch.run_args(["disable", "bi", "--reason", "<b>410\"</b>"]).code(0);
    scratch.run("matrix --html matrix.html").code(0);
    let found = browse(browser, &scratch);

    assert_eq!(found["all"]["rows"], json!(["order.paid", "order.refunded", "user.login.v1"]));
    let columns: Vec<&str> =
        found["all"]["columns"].as_array().unwrap().iter().map(|c| c.as_str().unwrap()).collect();
    assert_eq!(columns[..2], ["crm", "bi"]);
    assert_eq!(columns[2..5], HOSTILE);
    assert_eq!(found["all"]["count"], "3 of 3 event types, 25 of 25 subscriptions");
    assert_eq!(found["refunded"]["rows"], json!(["order.refunded"]));
    assert_eq!(found["refunded"]["columns"], json!(["crm"]));
    assert_eq!(found["BI"]["rows"], json!(["user.login.v1"]));
    assert_eq!(found["BI"]["columns"], json!(["bi"]));
    assert_eq!(found["nothing"]["count"], "0 of 3 event types, 0 of 25 subscriptions");
    assert_eq!(found["again"], found["all"]);
    // The frame has 390 pixels, of which a scroll bar can take some.
    let width = |at: usize| found["width"][at].as_u64().unwrap();
    assert!(width(0) > 360 && width(1) == width(0), "{}", found["width"]);
    assert_eq!(found["requests"], 0);
    assert_eq!((&found["foreign"], &found["scripts"]), (&json!(0), &json!(1)));
    assert_eq!(found["ran"], Value::Null);
    let marks = found["marks"].as_array().unwrap();
    assert_eq!(marks.len(), 2 + 1 + HOSTILE.len() + 20);
    assert!(marks.contains(&json!("bi (disabled: <b>410\"</b>): *.v1")));
}

#[test]
fn the_page_refers_to_nothing_outside() {
    let scratch = Scratch::new();
    let page = scratch.run("matrix --html -").code(0).stdout();
    for reference in ["src=", "url(", "@import", "http:", "https:", "fetch(", "style=", "onclick"] {
        assert!(!page.contains(reference), "{reference}");
    }
    assert_eq!(page.matches("href=").count(), 1);
    assert!(page.contains("href=\"data:,\""));
    assert!(page.contains("default-src 'none'"));
}

/// Opens the probe in headless Chromium, and returns what it has found.
fn browse(browser: &str, scratch: &Scratch) -> Value {
    scratch.write("probe.html", PROBE);
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        // The probe reads the frame, which is another file.
        .args(["--allow-file-access-from-files", "--disable-web-security", "--dump-dom"])
        .arg(format!("--user-data-dir={}", scratch.path("profile").display()))
        .arg(format!("file://{}", scratch.path("probe.html").display()))
        .output()
        .unwrap();
    let dom = String::from_utf8_lossy(&output.stdout);
    let found = dom.split("<pre id=\"found\">").nth(1).and_then(|rest| rest.split("</pre>").next());
    let found =
        found.unwrap_or_else(|| panic!("{dom}\n{}", String::from_utf8_lossy(&output.stderr)));
    let found = found.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    serde_json::from_str(&found).unwrap_or_else(|error| panic!("{error}: {found}\n{dom}"))
}

#[test]
fn a_page_replaces_the_one_before() {
    let scratch = Scratch::new();
    scratch.write("matrix.html", "before");
    scratch.run("matrix --html matrix.html").code(0);
    let page = fs::read_to_string(scratch.path("matrix.html")).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.contains("order.paid"));
    scratch.run("matrix --html missing/matrix.html").code(2);
}

#[test]
fn a_python_program_drives_the_registry_with_json() {
    let Some(python) = installed(&["python3"]) else { return };
    let scratch = Scratch::empty();
    let mut command = Command::new(python);
    command.arg(script("driver.py")).arg(env!("CARGO_BIN_EXE_webhook-registry"));
    let output = command.current_dir(scratch.path("")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
