//! `harness report --serve`: the page to browsers on this host, and what is newer to the page.
//!
//! A server for one person: on the loopback address alone, on a port the system picks, for whoever has the token, which is
//! told on standard error and nowhere else. Other users of the host can connect, and pages of other sites can make a
//! browser do so: both lack the token, and the latter mostly name another host. It only ever answers GET, a few
//! connections at a time, each for a short time.

use std::convert::Infallible;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::rand::{GetRandomFlags, getrandom};

use super::{ReportError, page, text_of};
use crate::journal::{is_held, last_session};
use crate::machine;
use crate::model::Hash;
use crate::say::say;
use crate::transport::wait::wait;

/// A request is no longer (B), and takes no longer to come.
const MOST_REQUEST: usize = 8 << 10;
const REQUEST_TIME: Duration = Duration::from_secs(5);
/// An answer is read in this time, all of it, or not at all.
const ANSWER_TIME: Duration = Duration::from_secs(30);
/// Where no connection can be taken, this long later one perhaps can.
const BREATH: Duration = Duration::from_millis(100);
/// Browsers open a few at a time.
const MOST_CONNECTIONS: usize = 16;

/// What is served, and to whom.
struct Server {
    journals: Vec<PathBuf>,
    token: String,
    /// One reads journals at a time.
    reading: Mutex<()>,
    connections: AtomicUsize,
}

/// What is said to a browser.
struct Answer {
    status: &'static str,
    kind: &'static str,
    body: String,
}

/// Serves until the process is ended.
pub(super) fn serve(journals: &[PathBuf]) -> Result<Infallible, ReportError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(ReportError::Serve)?;
    let port = listener.local_addr().map_err(ReportError::Serve)?.port();
    let mut random = [0; 16];
    getrandom(&mut random, GetRandomFlags::empty()).map_err(|error| ReportError::Serve(error.into()))?;
    let token = Hash(random).to_string();
    let server = Server {
        journals: journals.to_vec(),
        token,
        reading: Mutex::new(()),
        connections: AtomicUsize::new(0),
    };
    page(&server.journals, None)?; // what cannot be read is said here, not in a browser
    if server.journals.iter().any(|journal| is_written_here(journal)) {
        say(
            "harness: report: the campaign has its root on this host, and what is measured here may be disturbed: a login \
             node that sees the journal is a better place",
        );
    }
    say(format_args!("harness: http://127.0.0.1:{port}/?token={} (until Ctrl-C)", server.token));
    thread::scope(|scope| {
        loop {
            let Ok((stream, _)) = listener.accept() else {
                // Gone before it was taken, or there are no descriptors left for the moment.
                let _ = wait(&mut [], Some(Instant::now() + BREATH));
                continue;
            };
            if server.connections.fetch_add(1, Ordering::Relaxed) >= MOST_CONNECTIONS {
                server.connections.fetch_sub(1, Ordering::Relaxed);
                continue; // closed
            }
            let of_thread = &server;
            let talk = move || {
                let _ = of_thread.talk(&stream); // whoever asked is gone
                of_thread.connections.fetch_sub(1, Ordering::Relaxed);
            };
            if thread::Builder::new().spawn_scoped(scope, talk).is_err() {
                server.connections.fetch_sub(1, Ordering::Relaxed); // closed: no thread for it
            }
        }
    })
}

/// Does a campaign on this host write to it?
fn is_written_here(journal: &Path) -> bool {
    is_held(journal).unwrap_or(false)
        && last_session(journal).is_some_and(|session| session.host == machine::hostname())
}

impl Server {
    fn talk(&self, stream: &TcpStream) -> io::Result<()> {
        let Some(request) = request(stream)? else { return Ok(()) };
        let Answer { status, kind, body } = self.answer(&request);
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\
             Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\n\
             Referrer-Policy: no-referrer\r\nCross-Origin-Resource-Policy: same-origin\r\n\r\n",
            body.len()
        );
        write(stream, (head + &body).as_bytes(), Instant::now() + ANSWER_TIME)
    }

    fn answer(&self, request: &str) -> Answer {
        let mut lines = request.split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (Some(method), Some(target)) = (words.next(), words.next()) else {
            return Answer::refusal("400 Bad Request", "this is no request");
        };
        let host =
            lines.filter_map(|line| line.split_once(':')).find(|(name, _)| name.eq_ignore_ascii_case("host"));
        if !host.is_some_and(|(_, host)| is_loopback(host.trim())) {
            // A name of somebody else's that leads to this address.
            return Answer::refusal("403 Forbidden", "this server is called 127.0.0.1 or localhost");
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let of = |name: &str| {
            query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name)
        };
        // Hashes, so that the time says nothing of how much is right.
        let own = Hash::of(self.token.as_bytes());
        if of("token").is_none_or(|(_, token)| Hash::of(token.as_bytes()) != own) {
            return Answer::refusal(
                "403 Forbidden",
                "open the address that `harness report --serve` printed, with its token",
            );
        }
        match (method, path) {
            ("GET", "/") => self.told("text/html", |state| page(&self.journals, Some(state))),
            ("GET", "/data") if of("since").is_some_and(|(_, since)| since == self.state()) => {
                Answer::new("204 No Content", "text/plain", String::new())
            }
            ("GET", "/data") => self
                .told("application/json", |state| text_of(&self.journals, Some(state), |told| told.json())),
            ("GET", _) => Answer::refusal("404 Not Found", "there is nothing else here"),
            _ => Answer::refusal("405 Method Not Allowed", "this server only shows something"),
        }
    }

    fn told(&self, kind: &'static str, text: impl Fn(&str) -> Result<String, ReportError>) -> Answer {
        let _alone = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        // Asked before reading: what comes meanwhile is newer than this state.
        match text(&self.state()) {
            Ok(text) => Answer::new("200 OK", kind, text),
            Err(error) => Answer::refusal("500 Internal Server Error", &error.to_string()),
        }
    }

    /// A word for what the journals are now, and whether somebody writes to them.
    fn state(&self) -> String {
        let of = |journal: &PathBuf| {
            let there =
                fs::metadata(journal).map(|data| (data.ino(), data.len(), data.mtime(), data.mtime_nsec()));
            (there.ok(), is_held(journal).unwrap_or(false))
        };
        let all: Vec<_> = self.journals.iter().map(of).collect();
        Hash::of(format!("{all:?}").as_bytes()).to_string()
    }
}

impl Answer {
    fn new(status: &'static str, kind: &'static str, body: String) -> Self {
        Self { status, kind, body }
    }

    fn refusal(status: &'static str, why: &str) -> Self {
        Self::new(status, "text/plain", format!("{why}\n"))
    }
}

/// The request without its body; none if it is too long, does not come in time or is no text.
fn request(mut stream: &TcpStream) -> io::Result<Option<String>> {
    let until = Instant::now() + REQUEST_TIME;
    let mut text = Vec::new();
    let mut piece = [0; 1024];
    while text.len() < MOST_REQUEST {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        stream.set_read_timeout(Some(left))?;
        let bytes = stream.read(&mut piece)?;
        if bytes == 0 {
            return Ok(None);
        }
        text.extend_from_slice(&piece[..bytes]);
        if text.windows(4).any(|end| end == b"\r\n\r\n") {
            return Ok(String::from_utf8(text).ok());
        }
    }
    Ok(None)
}

/// Writes it all until then, however slowly it is read.
fn write(mut stream: &TcpStream, mut text: &[u8], until: Instant) -> io::Result<()> {
    while !text.is_empty() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_write_timeout(Some(left))?;
        match stream.write(text) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(bytes) => text = &text[bytes..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// With whatever port: the page may come through a tunnel.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    };
    ["127.0.0.1", "localhost", "[::1]"].iter().any(|own| name.eq_ignore_ascii_case(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connected() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let reader = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener.accept().unwrap().0, reader)
    }

    /// However willing the reader is at each moment: the time is that of the whole answer.
    #[test]
    fn an_answer_has_one_time_for_all_of_it() {
        let (stream, mut reader) = connected();
        write(&stream, b"all", Instant::now() + ANSWER_TIME).unwrap();
        let mut read = [0; 3];
        reader.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"all");
        let late = write(&stream, b"late", Instant::now()).unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        // Nobody reads: it ends all the same.
        let until = Instant::now() + Duration::from_millis(50);
        assert!(write(&stream, &vec![0; 64 << 20], until).is_err());
    }
}
