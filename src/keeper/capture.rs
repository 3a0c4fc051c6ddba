//! What is kept of a stream: its head and its tail, whatever its length. A program that writes 1 GiB
//! costs no more memory than one that writes 1 MiB.

use std::collections::VecDeque;
use std::ops::Range;

/// Collects a stream that may be endless.
#[derive(Debug)]
pub struct Capture {
    limit: usize,
    head: Vec<u8>,
    tail: VecDeque<u8>,
    total: u64,
}

/// What was kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Captured {
    /// All of it, or head and tail with a line between that says how much is missing.
    pub bytes: Vec<u8>,
    /// Bytes there were.
    pub total: u64,
    /// Where in `bytes` the line is that stands for what is missing; none if that is nothing.
    pub cut: Option<Range<usize>>,
}

impl Captured {
    /// Is it all there was?
    pub fn is_whole(&self) -> bool {
        self.cut.is_none()
    }
}

impl Capture {
    /// Keeps `limit` bytes: half of them from the start, half from the end.
    pub fn new(limit: usize) -> Self {
        Self { limit, head: Vec::new(), tail: VecDeque::new(), total: 0 }
    }

    /// The next bytes of the stream.
    pub fn push(&mut self, mut bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let room = (self.limit / 2 - self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..room]);
        bytes = &bytes[room..];
        let tail_limit = self.limit - self.limit / 2;
        bytes = &bytes[bytes.len().saturating_sub(tail_limit)..];
        let too_many = (self.tail.len() + bytes.len()).saturating_sub(tail_limit);
        self.tail.drain(..too_many);
        self.tail.extend(bytes);
    }

    /// Bytes there were so far.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The end of the stream.
    pub fn finish(self) -> Captured {
        let kept = (self.head.len() + self.tail.len()) as u64;
        let cut = self.total - kept;
        let mut bytes = self.head;
        let begin = bytes.len();
        if cut > 0 && self.limit > 0 {
            bytes.extend_from_slice(format!("\n[… {cut} bytes cut …]\n").as_bytes());
        }
        let cut = (cut > 0).then_some(begin..bytes.len());
        let (front, back) = self.tail.as_slices();
        bytes.extend_from_slice(front);
        bytes.extend_from_slice(back);
        Captured { bytes, total: self.total, cut }
    }
}

/// What a reason quotes of what a program wrote: so many of the last lines, and bytes of them.
const QUOTED_LINES: usize = 5;
const QUOTED_BYTES: usize = 600;

/// The end of what a program wrote, as a reason quotes it.
pub fn end_of(bytes: &[u8]) -> String {
    last_lines(bytes, QUOTED_LINES, QUOTED_BYTES)
}

/// The last lines of a text for a message, at most `limit` bytes of it; what is not UTF-8, or NUL, as an escape, so that what differs
/// looks different.
pub fn last_lines(bytes: &[u8], lines: usize, limit: usize) -> String {
    let mut text = String::new();
    for chunk in bytes[bytes.len().saturating_sub(limit)..].utf8_chunks() {
        text += &chunk.valid().replace('\0', "\\x00");
        chunk.invalid().iter().for_each(|byte| text += &format!("\\x{byte:02x}"));
    }
    let all: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(limit: usize, pieces: &[&[u8]]) -> Captured {
        let mut capture = Capture::new(limit);
        pieces.iter().for_each(|piece| capture.push(piece));
        capture.finish()
    }

    #[test]
    fn up_to_the_limit_every_byte_is_kept() {
        let all = captured(10, &[b"0123", b"45", b"6789"]);
        assert_eq!(all, Captured { bytes: b"0123456789".to_vec(), total: 10, cut: None });
    }

    #[test]
    fn beyond_it_head_and_tail_remain_whatever_the_pieces() {
        let expected =
            Captured { bytes: "01234\n[… 16 bytes cut …]\nvwxyz".into(), total: 26, cut: Some(5..29) };
        let text = b"01234fghijklmnopqrstuvwxyz";
        for size in [1, 3, 7, 26] {
            assert_eq!(captured(10, &text.chunks(size).collect::<Vec<_>>()), expected, "pieces of {size}");
        }
    }

    #[test]
    fn with_no_room_bytes_are_only_counted() {
        assert_eq!(captured(0, &[b"abc"]), Captured { bytes: Vec::new(), total: 3, cut: Some(0..0) });
        assert!(captured(0, &[]).is_whole());
    }

    #[test]
    fn the_last_lines_are_bounded_and_printable() {
        assert_eq!(last_lines(b"a\nb\n\nc\xff\xfe \0\n", 2, 100), "b\nc\\xff\\xfe \\x00");
        assert_eq!(last_lines(&[b'x'; 500], 3, 10), "xxxxxxxxxx");
    }
}
