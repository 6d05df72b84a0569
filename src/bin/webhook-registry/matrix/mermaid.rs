//! The matrix as a Mermaid flowchart.

use std::io::{self, Write};

use super::data::Matrix;
use crate::text::visible;

/// Writes an arrow from each event type to each subscription that gets it, dotted where the
/// subscription is disabled.
pub(super) fn write(matrix: &Matrix, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "flowchart LR")?;
    for (row, number) in matrix.rows.iter().zip(1_usize..) {
        writeln!(out, "  e{number}[\"{}\"]", escaped(row.event_type()))?;
    }
    for (column, number) in matrix.columns.values().zip(1_usize..) {
        writeln!(out, "  s{number}([\"{}\"])", escaped(&column.full_name()))?;
    }
    for (row, number) in matrix.rows.iter().zip(1_usize..) {
        for entry in row.entries() {
            let column = matrix.columns.range(..=entry.subscription_id()).count();
            let arrow = if entry.enabled() { "-->" } else { "-.->" };
            writeln!(out, "  e{number} {arrow} s{column}")?;
        }
    }
    out.flush()
}

/// Writes every character that could end the label or be Markdown, HTML or an entity of Mermaid by
/// its number.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in visible(text).chars() {
        if c.is_alphanumeric() || matches!(c, '.' | '-' | ':' | '/' | ' ') {
            escaped.push(c);
        } else {
            escaped.push_str(&format!("#{};", u32::from(c)));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn a_label_cannot_end_itself_or_contain_markup() {
        assert_eq!(escaped("order.paid_v1"), "order.paid#95;v1");
        assert_eq!(escaped("a\"]; click `<b>#"), "a#34;#93;#59; click #96;#60;b#62;#35;");
    }
}
