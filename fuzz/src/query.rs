//! A journal of any lines behind a good header, asked and exported in every way.

use harness::query::{ask, hyperfine, overview, parquet, rows, summary, table_names, trace};

const GOOD: &[u8] = include_bytes!("../corpus/journal/tasks");

pub fn target(data: &[u8]) {
    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder");
    let header = GOOD.iter().position(|byte| *byte == b'\n').expect("it has lines") + 1;
    let path = folder.path().join("c.journal");
    std::fs::write(&path, [&GOOD[..header], data, b"\n"].concat()).expect("there is room");
    let journals = [path];
    let Ok(measurements) = rows(&journals, "measurements", true) else { return };
    parquet(&measurements.it).expect("it is a table");
    let _ = (summary(&journals, true), overview(&journals), hyperfine(&journals, true), trace(&journals));
    // Tables of SQLite take long to make: one for each input.
    let tables = table_names();
    let table = tables[data.len() % tables.len()];
    let _ = match data.len() / tables.len() % 2 {
        0 => rows(&journals, table, false),
        _ => ask(&journals, &format!("select * from {table}"), 1.0),
    };
}
