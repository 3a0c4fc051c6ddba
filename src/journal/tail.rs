//! What is written to a journal while somebody looks at it: the last records there are, and those that come.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::model::Record;

/// So much of what is there already is read (B); records before that are not looked at.
const LOOKED_BACK: u64 = 1 << 20;
/// So much at a time is read (B): what is left is for the next look.
const AT_ONCE: u64 = 4 << 20;

/// See the module.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    /// Read up to here.
    at: u64,
    /// The beginning of a line whose end is not written yet.
    begun: Vec<u8>,
    /// The first line read is the rest of one.
    within: bool,
}

impl Tail {
    /// That of the journal at `path`.
    pub fn of(path: &Path) -> io::Result<Self> {
        let length = std::fs::metadata(path)?.len();
        let at = length.saturating_sub(LOOKED_BACK);
        Ok(Self { path: path.into(), at, begun: Vec::new(), within: at > 0 })
    }

    /// The records written since the last look, by a campaign at work: in the present format. What is no record is passed
    /// over: `harness status` says what is wrong.
    pub fn more(&mut self) -> io::Result<Vec<Record>> {
        let mut file = File::open(&self.path)?;
        if file.metadata()?.len() < self.at {
            // It was begun anew.
            *self = Self { path: std::mem::take(&mut self.path), at: 0, begun: Vec::new(), within: false };
        }
        file.seek(SeekFrom::Start(self.at))?;
        self.at += file.take(AT_ONCE).read_to_end(&mut self.begun)? as u64;
        let Some(end) = self.begun.iter().rposition(|byte| *byte == b'\n') else { return Ok(Vec::new()) };
        let rest = self.begun.split_off(end + 1);
        let lines = std::mem::replace(&mut self.begun, rest);
        let skipped = usize::from(std::mem::take(&mut self.within));
        let lines = lines.split(|byte| *byte == b'\n').skip(skipped);
        Ok(lines.filter_map(|line| Record::parse(line).ok()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::State;
    use std::io::Write;

    fn line(name: &str) -> String {
        let state = State { name: name.into(), value: serde_json::Value::Null, saved_unix_s: 0.0 };
        serde_json::to_string(&Record::State(state)).unwrap() + "\n"
    }

    fn names(tail: &mut Tail) -> Vec<String> {
        let name = |record| match record {
            Record::State(state) => state.name,
            other => panic!("{other:?}"),
        };
        tail.more().unwrap().into_iter().map(name).collect()
    }

    #[test]
    fn what_comes_is_read_once_and_only_whole() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let write = |text: &str| file.as_file().write_all(text.as_bytes()).unwrap();
        write(&line("first"));
        let mut tail = Tail::of(file.path()).unwrap();
        assert_eq!(names(&mut tail), ["first"]);
        assert_eq!(names(&mut tail), [""; 0]);
        let second = line("second");
        write(&second[..10]);
        assert_eq!(names(&mut tail), [""; 0]);
        write(&second[10..]);
        write("no record\n");
        write(&line("third"));
        assert_eq!(names(&mut tail), ["second", "third"]);
        file.as_file().set_len(0).unwrap();
        std::fs::write(file.path(), line("anew")).unwrap();
        assert_eq!(names(&mut tail), ["anew"]);
    }

    #[test]
    fn of_a_long_one_the_end_is_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let many = LOOKED_BACK as usize / line("00000").len() + 2;
        let text: String = (0..many).map(|number| line(&format!("{number:05}"))).collect();
        file.as_file().write_all(text.as_bytes()).unwrap();
        let names = names(&mut Tail::of(file.path()).unwrap());
        assert!(names.len() < many && names.len() + 4 > many, "{} of {many}", names.len());
        assert_eq!(names.last(), Some(&format!("{:05}", many - 1)));
    }
}
