//! Rows as a Parquet file: a column each, compressed by Snappy; what is not available is null.

use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type as Schema;

use super::cell::{Cell, Rows, Type};

/// Rows that are compressed together.
const GROUP: usize = 1 << 17;

/// The file.
pub(super) fn parquet(rows: &Rows) -> Result<Vec<u8>, ParquetError> {
    let kinds: Vec<Type> = (0..rows.heads.len()).map(|at| rows.kind(at)).collect();
    let fields = rows.heads.iter().zip(&kinds).map(|(head, kind)| field(&head.name, *kind).map(Arc::new));
    let fields = fields.collect::<Result<_, _>>()?;
    let schema = Arc::new(Schema::group_type_builder("rows").with_fields(fields).build()?);
    let properties = Arc::new(WriterProperties::builder().set_compression(Compression::SNAPPY).build());
    let mut file = SerializedFileWriter::new(Vec::new(), schema, properties)?;
    for group in rows.rows.chunks(GROUP) {
        let mut writer = file.next_row_group()?;
        for (at, kind) in kinds.iter().enumerate() {
            let Some(column) = writer.next_column()? else { break };
            write_column(column, group.iter().map(|row| &row[at]), *kind)?;
        }
        writer.close()?;
    }
    file.into_inner()
}

fn field(name: &str, kind: Type) -> Result<Schema, ParquetError> {
    let (physical, logical) = match kind {
        Type::Integer => (Physical::INT64, None),
        Type::Real => (Physical::DOUBLE, None),
        Type::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Type::Json => (Physical::BYTE_ARRAY, Some(LogicalType::Json)),
    };
    let field = Schema::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL);
    field.with_logical_type(logical).build()
}

fn write_column<'a>(
    mut column: SerializedColumnWriter<'_>,
    cells: impl Iterator<Item = &'a Cell>,
    kind: Type,
) -> Result<(), ParquetError> {
    // For each row: 1 if there is a value.
    let mut there = Vec::new();
    let mut note = |is_there: bool| there.push(i16::from(is_there));
    match kind {
        Type::Integer => {
            let values: Vec<i64> = cells.filter_map(|cell| noted(whole(cell), &mut note)).collect();
            column.typed::<Int64Type>().write_batch(&values, Some(&there), None)?;
        }
        Type::Real => {
            let values: Vec<f64> = cells.filter_map(|cell| noted(real(cell), &mut note)).collect();
            column.typed::<DoubleType>().write_batch(&values, Some(&there), None)?;
        }
        Type::Text | Type::Json => {
            let values: Vec<ByteArray> = cells.filter_map(|cell| noted(text(cell), &mut note)).collect();
            column.typed::<ByteArrayType>().write_batch(&values, Some(&there), None)?;
        }
    }
    column.close()
}

fn noted<T>(value: Option<T>, note: &mut impl FnMut(bool)) -> Option<T> {
    note(value.is_some());
    value
}

fn whole(cell: &Cell) -> Option<i64> {
    match cell {
        Cell::Integer(number) => Some(*number),
        _ => None,
    }
}

fn real(cell: &Cell) -> Option<f64> {
    match cell {
        Cell::Integer(number) => Some(*number as f64),
        Cell::Real(number) => Some(*number),
        _ => None,
    }
}

fn text(cell: &Cell) -> Option<ByteArray> {
    match cell {
        Cell::Null => None,
        other => Some(ByteArray::from(other.text().into_bytes())),
    }
}
