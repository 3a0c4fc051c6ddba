//! Text in tables of GitHub's Markdown. Pure.

/// In a cell, as it stands there: nothing of it is markup, and it is on one line.
pub fn cell(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => shown.push_str("&lt;"),
            '&' => shown.push_str("&amp;"),
            '|' | '*' | '_' | '`' | '\\' | '[' | ']' | '~' => shown.extend(['\\', c]),
            c if c.is_control() => shown.push(' '),
            c => shown.push(c),
        }
    }
    shown
}

/// A line of a table.
pub fn line<T: AsRef<str>>(cells: &[T]) -> String {
    let cells: Vec<&str> = cells.iter().map(AsRef::as_ref).collect();
    format!("| {} |\n", cells.join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_markup_by_accident() {
        assert_eq!(cell("a|b_*`[x]~\\\n<b>&amp;"), "a\\|b\\_\\*\\`\\[x\\]\\~\\\\ &lt;b>&amp;amp;");
        assert_eq!(line(&["a", "b"]), "| a | b |\n");
    }
}
