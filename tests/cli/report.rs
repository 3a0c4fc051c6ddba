//! `harness report`: where the page goes, what it does not overwrite, and whom its server answers. What it looks like is
//! judged by `tests/page`.

use std::io::{Read, Write};
use std::net::TcpStream;

use rustix::fs::{FlockOperation, flock};
use rustix::process::Signal;

use crate::said;
use crate::support::{Folder, Ran, Running};

const PRINTS: &str = "
local pool <close> = spawn { slots = 1 }
submit(measure { name = 'm', cmd = { 'echo', 'x: 1' }, runs = 8, objective = 'x', metrics = { x = 'x: (%d)' } })
";

fn measured() -> Folder {
    let folder = Folder::with(PRINTS);
    let ran = folder.run(&["-q", "c.lua"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    folder
}

fn report(folder: &Folder, args: &[&str]) -> Ran {
    folder.run(&[&["report"], args].concat())
}

#[test]
fn the_page_is_beside_the_journal_and_replaces_only_a_page() {
    let folder = measured();
    for args in [&["c.lua"][..], &[], &["c.lua.journal"]] {
        let ran = report(&folder, args);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:#?}");
        assert!(
            ran.stdout.contains("c.lua.html: ") && ran.stdout.ends_with("opens in any browser\n"),
            "{ran:#?}"
        );
        assert!(folder.read("c.lua.html").starts_with("<!doctype html>"));
        folder.write("c.lua.html", &folder.read("c.lua.html")[..900]);
    }
    folder.write("mine.html", "<p>mine</p>");
    let refusal = "harness: report: mine.html is there, and no report of harness: name another file with -o, or replace it with --force\n";
    said(&folder, report(&folder, &["c.lua", "-o", "mine.html"]), 2, "", refusal);
    assert_eq!(folder.read("mine.html"), "<p>mine</p>");
    let ran = report(&folder, &["c.lua", "-o", "mine.html", "--force"]);
    assert!(ran.code == Some(0) && folder.read("mine.html").contains("harness report"), "{ran:#?}");
    let ran = report(&folder, &["c.lua", "-o", "not/there.html"]);
    assert!(
        ran.code == Some(73) && ran.stderr.starts_with("harness: report: cannot write not/there.html: "),
        "{ran:#?}"
    );
    let ran = report(&folder, &["c.lua", "-o", "-"]);
    assert!(ran.code == Some(0) && ran.stdout.starts_with("<!doctype html>"), "{ran:#?}");
    assert!(ran.stdout.trim_end().ends_with("</html>") && ran.stderr.is_empty(), "{ran:#?}");
    let left: Vec<_> =
        std::fs::read_dir(folder.path("")).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left.len(), 5, "script, journal, cache and two pages: {left:?}");
}

/// To open a pipe would be to wait for somebody, with `--force` too.
#[test]
fn a_page_goes_into_no_pipe() {
    let folder = measured();
    rustix::fs::mknodat(rustix::fs::CWD, folder.path("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .unwrap();
    let refusal = "harness: report: pipe is no regular file: name another one after -o, or `-` for the standard output\n";
    said(&folder, report(&folder, &["c.lua", "-o", "pipe"]), 2, "", refusal);
    said(&folder, report(&folder, &["c.lua", "-o", "pipe", "--force"]), 2, "", refusal);
    said(
        &folder,
        report(&folder, &["c.lua", "-o", "/dev/stdout"]),
        2,
        "",
        &refusal.replace("pipe", "/dev/stdout"),
    );
}

#[test]
fn several_campaigns_are_one_page_and_what_is_no_journal_is_said() {
    let folder = measured();
    folder.write("d.lua.journal", folder.read("c.lua.journal"));
    let ran = report(&folder, &["c.lua", "d.lua.journal", "-o", "both.html"]);
    let page = folder.read("both.html");
    assert!(
        ran.code == Some(0) && page.contains("<title>2 campaigns") && page.contains("d.lua.journal"),
        "{ran:#?}"
    );
    let ran = report(&folder, &["e.lua"]);
    assert!(ran.code == Some(2) && ran.stderr.starts_with("harness: report: there is neither "), "{ran:#?}");
    folder.write("f.journal", "something\n");
    let ran = report(&folder, &["f.journal"]);
    assert!(ran.code == Some(4) && ran.stderr.contains("this is no journal of harness"), "{ran:#?}");
}

/// What a server says to these bytes: the status line, and all of it.
fn ask(port: u16, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(crate::support::LIMIT)).unwrap();
    // Who asks too much is not heard to the end.
    let mut answer = String::new();
    let _ = stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut answer));
    (answer.lines().next().unwrap_or_default().to_owned(), answer)
}

fn get(port: u16, target: &str, host: &str) -> (String, String) {
    ask(port, &format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
}

/// Its port, and the token.
fn served(server: &mut Running) -> (u16, String) {
    let line = server.await_stderr_line("harness: http://127.0.0.1:");
    let (port, rest) = line.trim_start_matches("harness: http://127.0.0.1:").split_once("/?token=").unwrap();
    (port.parse().unwrap(), rest.split(' ').next().unwrap().to_owned())
}

#[test]
fn a_server_beside_its_campaign_says_so() {
    let folder = measured();
    let journal = std::fs::File::open(folder.path("c.lua.journal")).unwrap();
    flock(&journal, FlockOperation::LockExclusive).unwrap(); // as a campaign has it
    let mut server = folder.start(&["report", "--serve", "c.lua"]);
    server.await_stderr_line(
        "harness: report: the campaign has its root on this host, and what is measured here may be",
    );
    let (port, token) = served(&mut server);
    let (_, answer) = get(port, &format!("/data?token={token}"), "localhost");
    assert!(answer.contains(r#""running":true"#), "{answer}");
}

#[test]
fn a_server_without_descriptors_goes_on_when_it_has_some_again() {
    let folder = measured();
    let mut server = Running::start(folder.harness_after("ulimit -n 12", &["report", "--serve", "c.lua"]));
    let (port, token) = served(&mut server);
    // As many as it takes at a time: more than it has descriptors for. Those that wait are taken when others are gone.
    let idle: Vec<TcpStream> = (0..16).map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap()).collect();
    let open =
        || std::fs::read_dir(format!("/proc/{}/fd", server.pid.as_raw_nonzero())).map_or(0, Iterator::count);
    crate::support::await_that("the last descriptor is used", || open() >= 12);
    drop(idle);
    let target = format!("/?token={token}");
    crate::support::await_that("an answer", || get(port, &target, "127.0.0.1").0 == "HTTP/1.1 200 OK");
    assert!(!server.is_over());
}

#[test]
fn a_server_answers_who_has_the_token_and_means_this_host() {
    let folder = measured();
    let mut server = folder.start(&["report", "--serve", "c.lua"]);
    let (port, token) = served(&mut server);
    let local = format!("127.0.0.1:{port}");
    let (page, data) = (format!("/?token={token}"), format!("/data?token={token}"));

    let (status, answer) = get(port, &page, &local);
    assert!(status == "HTTP/1.1 200 OK" && answer.contains("\r\n\r\n<!doctype html>"), "{status}");
    assert!(answer.contains("\r\nCache-Control: no-store\r\n") && answer.contains("connect-src 'self'"));
    for target in
        ["/", "/data", "/?token=", "/?token=0", &format!("/?other={token}"), &format!("/?token={token}0")]
    {
        let (status, answer) = get(port, target, &local);
        assert!(
            status.starts_with("HTTP/1.1 403 ") && !answer.contains("measurements"),
            "{target}: {answer}"
        );
    }
    for host in ["evil.example", &format!("evil.example:{port}"), "127.0.0.1.evil.example", ""] {
        let (status, answer) = get(port, &page, host);
        assert!(status.starts_with("HTTP/1.1 403 ") && !answer.contains("measurements"), "{host}: {answer}");
    }
    for host in ["localhost:8000", "[::1]:1", "127.0.0.1"] {
        assert_eq!(get(port, &page, host).0, "HTTP/1.1 200 OK", "{host}");
    }
    let (status, _) = ask(port, &format!("GET {page} HTTP/1.1\r\n\r\n"));
    assert!(status.starts_with("HTTP/1.1 403 "), "without a host: {status}");
    let (status, _) = ask(port, &format!("POST {page} HTTP/1.1\r\nHost: {local}\r\n\r\n"));
    assert!(status.starts_with("HTTP/1.1 405 "), "{status}");
    assert!(get(port, &format!("/etc/passwd?token={token}"), &local).0.starts_with("HTTP/1.1 404 "));
    assert_eq!(ask(port, &"x".repeat(9000)).0, "", "too long");

    // What is newer, and only that.
    let (_, answer) = get(port, &data, &local);
    let (_, json) = answer.split_once("\r\n\r\n").unwrap();
    let told: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(told["measurements"].as_array().unwrap().len(), 1);
    let since = format!("{data}&since={}", told["state"].as_str().unwrap());
    assert_eq!(get(port, &since, &local).0, "HTTP/1.1 204 No Content");
    let journal = folder.read("c.lua.journal");
    folder.write(
        "c.lua.journal",
        format!("{journal}{{\"type\":\"state\",\"name\":\"s\",\"value\":1,\"saved_unix_s\":1.0}}\n"),
    );
    assert_eq!(get(port, &since, &local).0, "HTTP/1.1 200 OK");
    folder.write("c.lua.journal", "no journal any more\n");
    let (status, answer) = get(port, &since, &local);
    assert!(
        status.starts_with("HTTP/1.1 500 ") && answer.contains("this is no journal of harness"),
        "{answer}"
    );

    server.signal(Signal::INT);
    let ran = server.end(crate::support::LIMIT);
    assert_eq!((ran.signal, ran.stdout.as_str()), (Some(Signal::INT.as_raw()), ""), "{ran:#?}");
    assert_eq!(folder.read("c.lua.html"), "", "it writes no file");
}
