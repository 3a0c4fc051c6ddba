//! What of a built file the machine runs: its code and data, hashed without what only tells people about it.
//!
//! Two builds with the same hash do the same; they may differ in debug information, symbol tables, comments and the
//! linker's build id. Only executables and shared libraries have one: in an object file or an archive what the code
//! refers to stands beside it, in relocations. Reads in pieces: who asks has to stay small.

use std::fs::File;
use std::os::unix::fs::FileExt;

use object::elf::{ET_DYN, ET_EXEC, FileHeader32, FileHeader64, PT_NOTE, SHF_ALLOC, SHT_NOTE, SHT_PROGBITS};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};
use object::{Endianness, FileKind, ReadCache};

use crate::model::{CHUNK_BYTES, Hash};

/// The hash of a file's code and data; none if it is no ELF executable or library, or cannot be understood.
pub fn text_hash(file: &File) -> Option<Hash> {
    let cache = ReadCache::new(file);
    match FileKind::parse(&cache).ok()? {
        FileKind::Elf64 => of_elf::<FileHeader64<Endianness>>(file, &cache),
        FileKind::Elf32 => of_elf::<FileHeader32<Endianness>>(file, &cache),
        _ => None,
    }
}

fn of_elf<Elf: FileHeader<Endian = Endianness>>(file: &File, cache: &ReadCache<&File>) -> Option<Hash> {
    let elf = Elf::parse(cache).ok()?;
    let endian = elf.endian().ok()?;
    let kind = elf.e_type(endian);
    if ![ET_EXEC, ET_DYN].contains(&kind) {
        return None;
    }
    let mut hasher = blake3::Hasher::new();
    let numbers = |hasher: &mut blake3::Hasher, numbers: &[u64]| {
        numbers.iter().for_each(|number| _ = hasher.update(&number.to_le_bytes()));
    };
    let machine = [kind.into(), elf.e_machine(endian).into(), elf.e_flags(endian).into()];
    numbers(&mut hasher, &machine);
    numbers(&mut hasher, &[elf.e_entry(endian).into()]);
    for segment in elf.program_headers(endian, cache).ok()? {
        if segment.p_type(endian) != PT_NOTE {
            let what = [segment.p_type(endian).into(), segment.p_flags(endian).into()];
            numbers(&mut hasher, &what);
            numbers(&mut hasher, &[segment.p_vaddr(endian).into(), segment.p_memsz(endian).into()]);
        }
    }
    let sections = elf.sections(endian, cache).ok()?;
    let mut has_code = false;
    for section in sections.iter() {
        let name = sections.section_name(endian, section).ok()?;
        let is_id = section.sh_type(endian) == SHT_NOTE && name == b".note.gnu.build-id";
        let flags: u64 = section.sh_flags(endian).into();
        if flags & u64::from(SHF_ALLOC) == 0 || is_id {
            continue;
        }
        has_code |= section.sh_type(endian) == SHT_PROGBITS;
        let place = [section.sh_addr(endian).into(), section.sh_size(endian).into(), flags];
        numbers(&mut hasher, &place);
        numbers(&mut hasher, &[name.len() as u64]);
        hasher.update(name);
        if let Some((offset, size)) = section.file_range(endian) {
            absorb(&mut hasher, file, offset, size)?; // what is zero at the start has none
        }
    }
    // Without a table of its sections a file says nothing here, and is not like any other.
    has_code.then(|| Hash::finish(&hasher))
}

fn absorb(hasher: &mut blake3::Hasher, file: &File, mut offset: u64, mut size: u64) -> Option<()> {
    let mut buffer = vec![0; CHUNK_BYTES];
    while size > 0 {
        let piece = size.min(CHUNK_BYTES as u64);
        let bytes = &mut buffer[..piece as usize];
        file.read_exact_at(bytes, offset).ok()?;
        hasher.update(bytes);
        (offset, size) = (offset + piece, size - piece);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::*;

    #[allow(clippy::disallowed_methods, reason = "a compiler for the test, not one of a campaign")]
    /// What `cc` makes of this source with these flags.
    fn built(folder: &Path, source: &str, flags: &[&str]) -> File {
        let (input, output) = (folder.join("a.c"), folder.join("a.out"));
        std::fs::write(&input, source).unwrap();
        let done = Command::new("cc").args(flags).arg(&input).arg("-o").arg(&output).status().unwrap();
        assert!(done.success(), "{flags:?}");
        File::open(output).unwrap()
    }

    #[test]
    fn only_what_is_run_counts() {
        let folder = tempfile::tempdir().unwrap();
        let source = "int table[100] = {1}; int main(int n, char **a) { return table[n] * 7; }";
        let of = |source: &str, flags: &[&str]| text_hash(&built(folder.path(), source, flags));
        let plain = of(source, &["-O1"]);
        assert!(plain.is_some());
        assert_eq!(plain, of(source, &["-O1", "-DUNUSED=1"]));
        assert_eq!(plain, of(source, &["-O1", "-g"]));
        assert_eq!(plain, of(source, &["-O1", "-s"]));
        assert_eq!(plain, of(source, &["-O1", "-Wl,--build-id=0x1234567890123456789012345678901234567890"]));
        let others = [
            of(&source.replace("* 7", "* 9"), &["-O1"]),
            of(&source.replace("{1}", "{2}"), &["-O1"]),
            of(&source.replace("= {1}", ""), &["-O1"]),
            of(source, &["-O1", "-z", "execstack"]),
            of(source, &["-O1", "-pg"]),
        ];
        for (at, other) in others.iter().enumerate() {
            assert!(other.is_some() && *other != plain && !others[..at].contains(other), "{at}");
        }
    }

    #[test]
    fn what_is_no_program_has_none() {
        let folder = tempfile::tempdir().unwrap();
        let object = built(folder.path(), "int f(void) { return 1; }", &["-c"]);
        assert_eq!(text_hash(&object), None, "its relocations stand elsewhere");
        let program = built(folder.path(), "int main(void) { return 1; }", &[]);
        assert!(text_hash(&program).is_some());
        let program = std::fs::read(folder.path().join("a.out")).unwrap();
        let of_bytes = |bytes: &[u8]| {
            let path = folder.path().join("cut");
            std::fs::write(&path, bytes).unwrap();
            text_hash(&File::open(path).unwrap())
        };
        for end in [0, 1, 16, 64, 200, program.len() / 2, program.len() - 1] {
            assert_eq!(of_bytes(&program[..end]), None, "{end}");
        }
        assert_eq!(of_bytes(b"#!/bin/sh\n"), None);
    }
}
