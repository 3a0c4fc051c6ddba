//! What a user waits for, end to end, in the real binary with local workers: `cargo bench --bench campaign`, or with the
//! program that `HARNESS` names.
//!
//! Rounds are interleaved and medians compared, because machines are noisy. The rate of programs stands beside
//! a bare posix_spawn and wait loop on as many threads, in the same round, and beside one whose programs have a session
//! and a folder of their own and are read to the end of their output, as whoever keeps that must do.
#![allow(clippy::disallowed_methods, unsafe_code)] // starts processes as bare as can be

use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::ptr;
use std::time::Instant;

use rustix::pipe::{PipeFlags, pipe_with};

const ROUNDS: usize = 5;
const PROGRAMS: u32 = 10_000;
const CALLS: u32 = 200_000;
/// Items of a map.
const ITEMS: u32 = 1_000_000;
/// Tasks of a chain and of a diamond.
const LINKS: u32 = 10_000;
/// Futures pending at once.
const FUTURES: u32 = 1_000_000;
/// What each of those may take of the root (B): some three times what it does.
const FUTURE_BYTES: f64 = 1400.0;

const EXEC: &str = r#"
local harness = require "harness"
await(submit(exec { cmd = { "/bin/true" } }))
local began, futures = harness.now(), {}
for i = 1, tonumber(arg[1]) do futures[i] = submit(exec { cmd = { "/bin/true" } }) end
for _, f in ipairs(futures) do assert(await(f).ok) end
print(#futures / (harness.now() - began))
"#;

const MEASURE: &str = r#"
local harness = require "harness"
local began = harness.now()
local m = await(submit(measure { cmd = { "/bin/true" }, runs = math.tointeger(arg[1]), warmup = 0 }))
assert(m.ok, m.reason)
print(m.stats.n / (harness.now() - began))
"#;

const CALL: &str = r#"
local harness = require "harness"
local function nothing() end
await(submit(nothing))
local began, futures = harness.now(), {}
for i = 1, tonumber(arg[1]) do futures[i] = submit(nothing) end
for _, f in ipairs(futures) do await(f) end
print(#futures / (harness.now() - began))
"#;

const MAP: &str = r#"
local harness = require "harness"
local list = {}
for i = 1, tonumber(arg[1]) do list[i] = i end
await(submit(function() end))
local began = harness.now()
local values, count = map(function(x) return x + 1 end, list)
assert(count == #list and values[count] == count + 1)
print(count / (harness.now() - began))
"#;

/// Each task waits for the one before it; then for one before all, and one for all.
const GRAPHS: &str = r#"
local harness = require "harness"
local n = tonumber(arg[1])
local function next(x) return x + 1 end
await(submit(next, 0))
local began = harness.now()
local last = submit(next, 0)
for i = 2, n do last = submit(next, last) end
assert(await(last) == n)
print((harness.now() - began) / n * 1e6)
began = harness.now()
local first, middle = submit(next, 0), {}
for i = 1, n do middle[i] = submit(next, first) end
assert(await(submit(function(all) return #all end, middle)) == n)
print((harness.now() - began) / n * 1e6)
"#;

const AWAIT: &str = r#"
local harness = require "harness"
local function nothing() end
local times = {}
for i = 1, 2000 do
  local began = harness.now()
  await(submit(nothing))
  times[i] = (harness.now() - began) * 1e6
end
table.sort(times)
print(times[1000])
print(times[1980])
"#;

/// What an idle slot occupies, and beside it the keeper: the same program without Lua. MiB, shared pages in parts (PSS).
const MEMORY: &str = r#"
local function here()
  local file <close> = io.open("/proc/self/stat")
  return string.match(file:read "a", "^(%d+) %b() %a (%d+)")
end
local function mib(pid)
  local file <close> = io.open("/proc/" .. pid .. "/smaps_rollup")
  return string.match(file:read "a", "Pss:%s+(%d+)") / 1024
end
local slot, keeper = await(submit(here))
print(mib(slot))
print(mib(keeper))
"#;

/// Prints the calls a second, and the memory (B) the root had taken for each while all of them were pending.
const PENDING: &str = r#"
local harness = require "harness"
local function resident()
  for line in io.lines "/proc/self/status" do
    local kib = line:match "^VmRSS:%s+(%d+)"
    if kib then return tonumber(kib) * 1024 end
  end
end
local function same(x) return x end
await(submit(same))
local n = tonumber(arg[1])
local before, began, futures, sum = resident(), harness.now(), {}, 0
for i = 1, n do futures[i] = submit(same, i) end
local grown = resident() - before
for _, f in ipairs(futures) do sum = sum + await(f) end
assert(sum == n * (n + 1) // 2)
print(n / (harness.now() - began))
print(grown / n)
"#;

const HELLO: &str = "print(await(submit(function() return 'hello' end)))";

fn main() {
    // cargo's own: the loader would look for the libraries of each program in folders of cargo first.
    // SAFETY: no other thread runs yet.
    unsafe { std::env::remove_var("LD_LIBRARY_PATH") };
    let slots = std::thread::available_parallelism().map_or(2, usize::from).min(2);
    let mut table: Vec<(&str, &str, Vec<f64>)> = vec![
        ("bare posix_spawn + wait", "/s", Vec::new()),
        ("with session, folder and output", "/s", Vec::new()),
        ("exec /bin/true", "/s", Vec::new()),
        ("exec / bare", "", Vec::new()),
        ("exec / with session, folder, output", "", Vec::new()),
        ("runs of /bin/true in one measure", "/s", Vec::new()),
        ("measure / bare, one thread", "", Vec::new()),
        ("no-op calls", "/s", Vec::new()),
        ("map over numbers", "/s", Vec::new()),
        ("chain, each link", "µs", Vec::new()),
        ("diamond, each task", "µs", Vec::new()),
        ("submit and await, median", "µs", Vec::new()),
        ("submit and await, 99th percentile", "µs", Vec::new()),
        ("hello, cold", "ms", Vec::new()),
        ("idle slot", "MiB", Vec::new()),
        ("keeper: a process without Lua", "MiB", Vec::new()),
    ];
    for _ in 0..ROUNDS {
        let (bare_rate, alone) = (started(slots, spawn_and_wait), started(1, spawn_and_wait));
        let apart = started(slots, spawn_and_read);
        let exec = harness(EXEC, slots, PROGRAMS)[0];
        let measured = harness(MEASURE, slots, PROGRAMS)[0];
        let calls = harness(CALL, slots, CALLS)[0];
        let mapped = harness(MAP, slots, ITEMS)[0];
        let graphs = harness(GRAPHS, slots, LINKS);
        let latency = harness(AWAIT, slots, 0);
        let began = Instant::now();
        harness(HELLO, slots, 0);
        let hello = began.elapsed().as_secs_f64() * 1e3;
        let memory = harness(MEMORY, slots, 0);
        let round = [
            bare_rate,
            apart,
            exec,
            exec / bare_rate,
            exec / apart,
            measured,
            measured / alone,
            calls,
            mapped,
            graphs[0],
            graphs[1],
            latency[0],
            latency[1],
            hello,
            memory[0],
            memory[1],
        ];
        for ((_, _, values), value) in table.iter_mut().zip(round) {
            values.push(value);
        }
    }
    println!("median of {ROUNDS} interleaved rounds, {slots} slots (smallest to largest)");
    for (what, unit, mut values) in table {
        values.sort_by(f64::total_cmp);
        let digits = if values[0] < 10.0 { 3 } else { 0 };
        println!(
            "{what:<36} {:>10.digits$} {unit:<3} ({:.digits$} to {:.digits$})",
            values[ROUNDS / 2],
            values[0],
            values[ROUNDS - 1]
        );
    }
    let pending = harness(PENDING, slots, FUTURES);
    println!("{FUTURES} pending calls: {:.0} /s, {:.0} B of the root for each", pending[0], pending[1]);
    assert!(pending[1] < FUTURE_BYTES, "a pending future takes {} B", pending[1]);
}

/// Runs a script; the numbers it prints.
fn harness(script: &str, slots: usize, count: u32) -> Vec<f64> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("bench.lua");
    std::fs::write(&path, script).expect("the script is written");
    let built = std::env::var_os("HARNESS").unwrap_or_else(|| env!("CARGO_BIN_EXE_harness").into());
    let output = Command::new(built)
        .args(["-q", "--start", "local", "--slots", &slots.to_string()])
        .arg(&path)
        .arg(count.to_string())
        .output()
        .expect("harness starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().filter_map(|line| line.parse().ok()).collect()
}

/// Programs per second that `threads` threads start and wait for with `one`, and nothing around it.
fn started(threads: usize, one: fn()) -> f64 {
    let began = Instant::now();
    let each = PROGRAMS as usize / threads;
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| (0..each).for_each(|_| one()));
        }
    });
    (each * threads) as f64 / began.elapsed().as_secs_f64()
}

unsafe extern "C" {
    /// What harness hands on, too.
    static environ: *const *mut libc::c_char;
}

fn spawn_and_wait() {
    // SAFETY: neither actions nor attributes are asked for.
    await_end(unsafe { spawn_true(ptr::null(), ptr::null()) });
}

fn spawn_and_read() {
    let null = File::open("/dev/null").expect("the null device");
    let (mut stdout, out) = pipe_with(PipeFlags::CLOEXEC).map(files).expect("a pipe");
    let (mut stderr, err) = pipe_with(PipeFlags::CLOEXEC).map(files).expect("a pipe");
    let mut actions = MaybeUninit::uninit();
    let mut attributes = MaybeUninit::uninit();
    // SAFETY: both are initialised before they are used, and destroyed after; the folder is null-terminated.
    let pid = unsafe {
        let (actions, attributes) = (actions.as_mut_ptr(), attributes.as_mut_ptr());
        assert_eq!(libc::posix_spawn_file_actions_init(actions), 0);
        assert_eq!(libc::posix_spawnattr_init(attributes), 0);
        assert_eq!(libc::posix_spawnattr_setflags(attributes, libc::POSIX_SPAWN_SETSID), 0);
        assert_eq!(libc::posix_spawn_file_actions_addchdir_np(actions, c"/tmp".as_ptr()), 0);
        for (fd, number) in [(null.as_raw_fd(), 0), (out.as_raw_fd(), 1), (err.as_raw_fd(), 2)] {
            assert_eq!(libc::posix_spawn_file_actions_adddup2(actions, fd, number), 0);
        }
        let pid = spawn_true(actions, attributes);
        libc::posix_spawn_file_actions_destroy(actions);
        libc::posix_spawnattr_destroy(attributes);
        pid
    };
    drop((out, err));
    let mut said = Vec::new();
    stdout.read_to_end(&mut said).and_then(|_| stderr.read_to_end(&mut said)).expect("its output is read");
    assert!(said.is_empty());
    await_end(pid);
}

fn files<A: Into<File>, B: Into<File>>((read, write): (A, B)) -> (File, File) {
    (read.into(), write.into())
}

/// # Safety
/// Both are null or initialised.
unsafe fn spawn_true(
    actions: *const libc::posix_spawn_file_actions_t,
    attributes: *const libc::posix_spawnattr_t,
) -> libc::pid_t {
    let program = CString::new("/bin/true").expect("no NUL");
    let argv = [program.as_ptr().cast_mut(), ptr::null_mut()];
    let mut pid = 0;
    // SAFETY: all pointers are to NUL-terminated data that outlives the call; lists end with a null.
    let failed =
        unsafe { libc::posix_spawn(&mut pid, program.as_ptr(), actions, attributes, argv.as_ptr(), environ) };
    assert_eq!(failed, 0);
    pid
}

fn await_end(pid: libc::pid_t) {
    let mut status = 0;
    // SAFETY: a child of ours that nobody else waits for.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    assert_eq!(status, 0);
}
