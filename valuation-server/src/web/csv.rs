//! A cell of comma-separated values, by RFC 4180: lines end with [`END`].

/// The end of a line.
pub(crate) const END: &str = "\r\n";

/// Appends a cell, without the comma after it. NULL is nothing, and an empty text is quoted, as PostgreSQL reads
/// and writes CSV. The crate `csv` can't quote some empty cells and not others.
pub(crate) fn cell(text: &mut String, cell: Option<&str>) {
    let Some(cell) = cell else { return };
    // Spreadsheets take such a cell for a formula, and a customer chooses the VRM. A number is none.
    let is_formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let marked = if is_formula && cell.parse::<i64>().is_err() { "'" } else { "" };
    // A line that begins with # is a comment of a report.
    let is_quoted = cell.contains(['"', ',', '\r', '\n', '#']);
    if cell.is_empty() || is_quoted || cell.trim() != cell {
        text.push('"');
        text.push_str(marked);
        text.push_str(&cell.replace('"', "\"\""));
        text.push('"');
    } else {
        text.push_str(marked);
        text.push_str(cell);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_no_formula_no_comment_and_no_other_cell() {
        for (given, expected) in [
            (None, ""),
            (Some(""), "\"\""),
            (Some("=1+1"), "'=1+1"),
            (Some("@a,b"), "\"'@a,b\""),
            (Some("-3"), "-3"),
            (Some("-3+x"), "'-3+x"),
            (Some("#1"), "\"#1\""),
            (Some(" a \"b\" "), "\" a \"\"b\"\" \""),
        ] {
            let mut text = String::new();
            cell(&mut text, given);
            assert_eq!(text, expected);
        }
    }
}
