//! Files that a run wrote: have they the content that was demanded?
//!
//! They stand in the scratch folder of the task, so that none is there from another time, and what an earlier run
//! wrote is removed before one that is looked at. Both sides are read line by line: a big file makes no big keeper.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::site::{Failure, Site, inside};
use super::verify::{Compared, Tolerance, compare};
use crate::artefact::StoreError;
use crate::model::FileSpec;

/// No longer files are compared (B): nothing else is done here meanwhile.
const FILE_LIMIT: u64 = 256 << 20;

/// All that were asked for.
#[derive(Default)]
pub struct Files(Vec<Demanded>);

struct Demanded {
    /// In the scratch folder.
    path: PathBuf,
    /// In the store.
    reference: PathBuf,
    tolerance: Tolerance,
}

impl Files {
    /// The references must be in the store.
    pub fn new(asked: &BTreeMap<String, FileSpec>, site: &Site) -> Result<Self, Failure> {
        let demanded = asked.iter().map(|(path, spec)| {
            let store = site.store()?;
            if !store.contains(spec.reference) {
                return Err(Failure::setup(StoreError::Missing(spec.reference)));
            }
            Ok(Demanded {
                path: inside(path)?.to_path_buf(),
                reference: store.path(spec.reference),
                tolerance: Tolerance { rtol: spec.rtol, atol: spec.atol },
            })
        });
        Ok(Self(demanded.collect::<Result<_, Failure>>()?))
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Removes what an earlier run wrote.
    pub fn remove(&self, folder: &Path) {
        for file in &self.0 {
            // What is not there need not go; what does not go is found out by who writes it.
            let _ = fs::remove_file(folder.join(&file.path));
        }
    }

    /// The first difference, and the largest of two numbers anywhere.
    pub fn check(&self, folder: &Path) -> Compared {
        let mut all = Compared::default();
        for file in &self.0 {
            let name = file.path.display();
            let found = file.compared(folder).unwrap_or_else(|what| Compared::failed(what.to_string()));
            let told = found.difference.map(|what| format!("file `{name}` {what}"));
            all.difference = all.difference.or(told);
            all.max_abs_err = all.max_abs_err.into_iter().chain(found.max_abs_err).reduce(f64::max);
        }
        all
    }
}

impl Demanded {
    fn compared(&self, folder: &Path) -> io::Result<Compared> {
        let path = folder.join(&self.path);
        let found = match fs::metadata(&path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Compared::failed("was not written".into()));
            }
            Err(error) => return Ok(Compared::failed(format!("cannot be read: {error}"))),
        };
        if !found.is_file() {
            return Ok(Compared::failed("is not a file".into()));
        }
        if found.len() > FILE_LIMIT {
            return Ok(Compared::failed(format!("of {} B is too long to be verified", found.len())));
        }
        let mut problem = None;
        let expected = lines(&self.reference, &mut problem)?;
        let mut also = None;
        let got = lines(&path, &mut also)?;
        let compared = compare(expected, got, self.tolerance).told(self.tolerance);
        match problem.or(also) {
            Some(error) => Ok(Compared::failed(format!("cannot be read: {error}"))),
            None => Ok(compared),
        }
    }
}

/// The lines of a file until the first problem.
fn lines(path: &Path, problem: &mut Option<io::Error>) -> io::Result<impl Iterator<Item = Vec<u8>>> {
    let lines = BufReader::new(File::open(path)?).split(b'\n');
    Ok(lines.map_while(|line| line.map_err(|error| *problem = Some(error)).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found where the reference has `expected` and a run wrote `got`.
    fn checked(expected: &str, got: Option<&str>, rtol: f64) -> Compared {
        let folder = tempfile::tempdir().unwrap();
        let reference = folder.path().join("reference");
        fs::write(&reference, expected).unwrap();
        if let Some(got) = got {
            fs::write(folder.path().join("out"), got).unwrap();
        }
        let tolerance = Tolerance { rtol, atol: 0.0 };
        Files(vec![Demanded { path: "out".into(), reference, tolerance }]).check(folder.path())
    }

    #[test]
    fn numbers_agree_within_the_tolerances_and_the_first_difference_is_told() {
        let found = checked("x 1.0\ny 2.0\n", Some("x 1.001\ny  2.0"), 1e-2);
        assert_eq!(found.difference, None);
        assert!((found.max_abs_err.unwrap() - 0.001).abs() < 1e-12);
        let found = checked("x 1.0\ny 2.0\n", Some("x 1.0\ny 2.5\n"), 1e-2);
        let told = "file `out` differs in line 2: expected `y 2.0`, got `y 2.5`; the numbers are off by \
                    up to 2.5e-1 of those expected, rtol is 1e-2";
        assert_eq!((found.difference.as_deref(), found.max_abs_err), (Some(told), Some(0.5)));
        assert_eq!(checked("a\n", Some("a\n\n \n"), 0.0).difference, None, "white space at the end");
        let found = checked("a\nb\n", Some("a\n"), 0.0).difference;
        assert_eq!(found.as_deref(), Some("file `out` differs in line 2: expected `b`, got no such line"));
        assert!(checked("", Some("a\n"), 0.0).difference.is_some());
        assert!(checked("1 nan\n", Some("1 2\n"), 1.0).difference.is_some());
    }

    #[test]
    fn what_was_not_written_or_is_no_file_is_told() {
        assert_eq!(checked("a", None, 0.0).difference.as_deref(), Some("file `out` was not written"));
        let folder = tempfile::tempdir().unwrap();
        let demanded = |path: &str| Demanded {
            path: path.into(),
            reference: folder.path().join("none"),
            tolerance: Tolerance { rtol: 0.0, atol: 0.0 },
        };
        fs::create_dir(folder.path().join("folder")).unwrap();
        let found = Files(vec![demanded("folder")]).check(folder.path());
        assert_eq!(found.difference.as_deref(), Some("file `folder` is not a file"));
    }

    #[test]
    fn what_an_earlier_run_wrote_goes() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("out"), "old").unwrap();
        let demanded = Demanded {
            path: "out".into(),
            reference: folder.path().join("none"),
            tolerance: Tolerance { rtol: 0.0, atol: 0.0 },
        };
        let files = Files(vec![demanded]);
        files.remove(folder.path());
        files.remove(folder.path());
        assert_eq!(files.check(folder.path()).difference.as_deref(), Some("file `out` was not written"));
    }
}
