//! An artefact that arrives in pieces, in order, and counts only when its hash is right.

use std::io::Write;
use std::path::PathBuf;

use tempfile::NamedTempFile;

use super::{Store, StoreError};
use crate::model::Hash;

/// An artefact on its way in; dropped before `finish`, nothing of it stays.
#[derive(Debug)]
pub struct Incoming {
    store: Store,
    hash: Hash,
    file: NamedTempFile,
    hasher: blake3::Hasher,
    written: u64,
}

impl Incoming {
    pub(super) fn new(store: Store, hash: Hash, file: NamedTempFile) -> Self {
        Self { store, hash, file, hasher: blake3::Hasher::new(), written: 0 }
    }

    /// Has nothing of it come yet?
    pub(super) fn is_empty(&self) -> bool {
        self.written == 0
    }

    /// The next piece, which begins at `offset`.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
        if offset != self.written {
            return Err(StoreError::OutOfOrder { hash: self.hash, expected: self.written, got: offset });
        }
        self.file.write_all(bytes).map_err(|e| self.store.failed(e))?;
        self.hasher.update(bytes);
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// All pieces are there: puts it into the store. It is executable there, as the pieces do not say.
    pub fn finish(self) -> Result<PathBuf, StoreError> {
        let got = Hash::finish(&self.hasher);
        if got != self.hash {
            return Err(StoreError::Damaged { expected: self.hash, got });
        }
        self.store.publish(self.file, self.hash, true)?;
        Ok(self.store.path(self.hash))
    }
}
