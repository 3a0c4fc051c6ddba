//! A journal of any lines behind a good header, asked and exported in every way.
#![no_main]

use harness::query::{ask, hyperfine, overview, rows, summary, table_names, trace};
use libfuzzer_sys::fuzz_target;

const GOOD: &[u8] = include_bytes!("../corpus/journal/tasks");

fuzz_target!(|data: &[u8]| {
    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder");
    let header = GOOD.iter().position(|byte| *byte == b'\n').expect("it has lines") + 1;
    let path = folder.path().join("c.journal");
    std::fs::write(&path, [&GOOD[..header], data, b"\n"].concat()).expect("there is room");
    let journals = [path];
    let Ok(_) = rows(&journals, "measurements", true) else { return };
    let _ = (rows(&journals, "samples", false), summary(&journals, true), overview(&journals));
    let _ = (hyperfine(&journals, true), trace(&journals));
    for table in table_names() {
        let _ = ask(&journals, &format!("select * from {table}"), 1.0);
    }
});
