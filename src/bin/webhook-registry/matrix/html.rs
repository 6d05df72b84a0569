//! The matrix as a page that needs no other file.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::data::{DISABLED, ENABLED, Matrix};
use crate::text::{joined, visible};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

pub(super) fn page(matrix: &Matrix) -> String {
    // The policy permits this style and this script alone, so the browser would not run a script
    // in a name even if the escaping failed.
    let policy = format!(
        "default-src 'none'; img-src data:; style-src 'sha256-{}'; script-src 'sha256-{}'",
        hash(STYLE),
        hash(SCRIPT),
    );
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <link rel=\"icon\" href=\"data:,\">\n<title>Webhook matrix</title>\n\
         <style>{STYLE}</style>\n<h1>Webhook matrix</h1>\n\
         <p><input id=\"filter\" type=\"search\" placeholder=\"Event type or subscription\" \
         aria-label=\"Filter by event type or subscription\"> <output id=\"count\"></output></p>\n\
         <p><span class=\"on\">{ENABLED}</span> gets the event \
         <span class=\"off\">{DISABLED}</span> matches, but is disabled</p>\n\
         <div class=\"scroll\">\n<table>\n<thead><tr><th>Event type</th>",
    );
    for (id, column) in &matrix.columns {
        let class = if column.enabled { "" } else { " class=\"off\"" };
        let name = escaped(&column.full_name());
        let title = escaped(&format!("{} {id}", column.label()));
        page.push_str(&format!(
            "<th scope=\"col\" title=\"{title}\"{class}><span>{name}</span></th>"
        ));
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    for row in &matrix.rows {
        page.push_str(&format!("<tr><th scope=\"row\">{}</th>", escaped(row.event_type())));
        let mut entries = row.entries().iter().peekable();
        for (id, column) in &matrix.columns {
            // Both are in the order of ids.
            let Some(entry) = entries.next_if(|entry| entry.subscription_id() == *id) else {
                page.push_str("<td></td>");
                continue;
            };
            let (class, mark) = if entry.enabled() { ("on", ENABLED) } else { ("off", DISABLED) };
            let title = format!("{}: {}", column.label(), joined(entry.patterns()));
            page.push_str(&format!(
                "<td class=\"{class}\" title=\"{}\">{mark}</td>",
                escaped(&title)
            ));
        }
        page.push_str("</tr>\n");
    }
    page.push_str(&format!("</tbody>\n</table>\n</div>\n<script>{SCRIPT}</script>\n</html>\n"));
    page
}

fn hash(text: &str) -> String {
    STANDARD.encode(Sha256::digest(text))
}

/// Escapes text for an element or an attribute in quotes.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in visible(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}
