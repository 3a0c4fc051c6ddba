//! Values in rows: what SQLite, CSV, JSON and Parquet all have in common.
//!
//! Nothing (`NULL`) means *not available* and is no 0. Numbers read as the shortest text that gives back the same
//! number, as `results:csv` of a script writes them. Knows no table and no format.

use serde::Serialize;

/// One value.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Cell {
    /// Not available.
    #[default]
    Null,
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Real(f64),
    /// Text; in a column of [`Type::Json`] a value of JSON.
    Text(String),
    /// A value of JSON that is none of these, among others in a column of any type: `true`, a list, an object.
    Json(String),
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Whole numbers; 0 and 1 for no and yes.
    Integer,
    /// Numbers.
    Real,
    /// Text.
    Text,
    /// Text that is JSON.
    Json,
}

impl Type {
    /// As SQLite is told. What has `TEXT` in its name is kept as it is.
    pub fn sql(self) -> &'static str {
        match self {
            Type::Integer => "INTEGER",
            Type::Real => "REAL",
            Type::Text => "TEXT",
            Type::Json => "JSON TEXT",
        }
    }

    /// The type of a column that SQLite calls so.
    pub(super) fn of_sql(name: &str) -> Option<Self> {
        [Type::Integer, Type::Real, Type::Text, Type::Json].into_iter().find(|kind| kind.sql() == name)
    }
}

/// The name of a column, and what it holds; none if that was not said.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// What stands above it.
    pub name: String,
    /// What it was declared as.
    pub kind: Option<Type>,
}

/// Rows of one table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// Its columns.
    pub heads: Vec<Head>,
    /// A value for each of them.
    pub rows: Vec<Vec<Cell>>,
}

impl Rows {
    /// The type of a column: as declared, else of all that is in it.
    pub(super) fn kind(&self, column: usize) -> Type {
        let mut found = self.heads[column].kind;
        if found.is_none() {
            for row in &self.rows {
                found = match (&row[column], found) {
                    (Cell::Null, before) => before,
                    (Cell::Integer(_), None | Some(Type::Integer)) => Some(Type::Integer),
                    (Cell::Integer(_) | Cell::Real(_), None | Some(Type::Integer | Type::Real)) => {
                        Some(Type::Real)
                    }
                    _ => return Type::Text,
                };
            }
        }
        found.unwrap_or(Type::Text)
    }
}

impl Cell {
    /// JSON, in a column of [`Type::Json`].
    pub(super) fn json(value: &(impl Serialize + ?Sized)) -> Self {
        serde_json::to_string(value).map_or(Cell::Null, Cell::Text)
    }

    /// The word that JSON has for it.
    pub(super) fn word(value: &impl Serialize) -> Self {
        serde_json::to_value(value).map_or(Cell::Null, |value| Cell::of_value(&value))
    }

    /// The text of it; nothing of what is not available.
    pub(super) fn text(&self) -> String {
        match self {
            Cell::Null => String::new(),
            Cell::Integer(number) => number.to_string(),
            Cell::Real(number) => number_text(*number),
            Cell::Text(text) | Cell::Json(text) => text.clone(),
        }
    }

    /// What it takes of memory.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + if let Cell::Text(text) | Cell::Json(text) = self { text.len() } else { 0 }
    }

    /// A value of JSON as a cell: numbers and words as themselves, everything else as JSON.
    pub(super) fn of_value(value: &serde_json::Value) -> Self {
        match value {
            serde_json::Value::Null => Cell::Null,
            serde_json::Value::String(text) => Cell::Text(text.clone()),
            serde_json::Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(whole), _) => Cell::Integer(whole),
                (None, Some(number)) => Cell::Real(number),
                (None, None) => Cell::Text(number.to_string()),
            },
            other => Cell::Json(other.to_string()),
        }
    }
}

/// The shortest text that reads back as the same number; a whole one has no point.
pub(super) fn number_text(number: f64) -> String {
    if !number.is_finite() {
        return if number.is_nan() { "nan".into() } else { if number > 0.0 { "inf" } else { "-inf" }.into() };
    }
    let shortest = format!("{number:e}");
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let digits = mantissa.chars().filter(char::is_ascii_digit).count() as i32;
    if exponent < -4 || exponent >= digits.max(15) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    format!("{number}")
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Cell::Null, Into::into)
    }
}

impl From<f64> for Cell {
    fn from(value: f64) -> Self {
        if value.is_nan() { Cell::Null } else { Cell::Real(value) }
    }
}

impl From<i64> for Cell {
    fn from(value: i64) -> Self {
        Cell::Integer(value)
    }
}

impl From<u64> for Cell {
    fn from(value: u64) -> Self {
        i64::try_from(value).map_or(Cell::Real(value as f64), Cell::Integer)
    }
}

impl From<u32> for Cell {
    fn from(value: u32) -> Self {
        Cell::Integer(value.into())
    }
}

impl From<i32> for Cell {
    fn from(value: i32) -> Self {
        Cell::Integer(value.into())
    }
}

impl From<usize> for Cell {
    fn from(value: usize) -> Self {
        Cell::from(value as u64)
    }
}

impl From<bool> for Cell {
    fn from(value: bool) -> Self {
        Cell::Integer(value.into())
    }
}

impl From<&str> for Cell {
    fn from(value: &str) -> Self {
        Cell::Text(value.into())
    }
}

impl From<&String> for Cell {
    fn from(value: &String) -> Self {
        Cell::Text(value.clone())
    }
}

impl From<String> for Cell {
    fn from(value: String) -> Self {
        Cell::Text(value)
    }
}

impl From<crate::model::Hash> for Cell {
    fn from(value: crate::model::Hash) -> Self {
        Cell::Text(value.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_in_a_script() {
        for (number, text) in [
            (64.0, "64"),
            (0.1, "0.1"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e-5, "1e-05"),
            (6.78e-5, "6.78e-05"),
            (1e15, "1e+15"),
            (123_456_789_012_345.0, "123456789012345"),
            (-0.001_25, "-0.00125"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(number_text(number), text);
        }
    }

    #[test]
    fn a_column_is_what_is_in_it() {
        let column = |cells: &[Cell]| Rows {
            heads: vec![Head { name: "x".into(), kind: None }],
            rows: cells.iter().map(|cell| vec![cell.clone()]).collect(),
        };
        let (whole, real, word) = (Cell::Integer(1), Cell::Real(0.5), Cell::Text("a".into()));
        assert_eq!(column(&[Cell::Null, whole.clone()]).kind(0), Type::Integer);
        assert_eq!(column(&[whole.clone(), real.clone(), whole.clone()]).kind(0), Type::Real);
        assert_eq!(column(&[real, whole, word]).kind(0), Type::Text);
        assert_eq!(column(&[Cell::Null]).kind(0), Type::Text);
    }
}
