//! Several nodes without several machines: workers that call themselves by other host names. Who measures beside the
//! root, what becomes of a worker in the wrong place, gangs of calls, pools that lose workers and grow.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use harness::machine;
use harness::model::{FromWorker, Hello, PROTOCOL};
use harness::wire::Stream;

use crate::said;
use crate::support::{Folder, Ran, skip};

const GONE: Duration = Duration::from_secs(10);

/// `unshare` execs, so the descriptors of the worker stay what they are.
pub const ELSEWHERE: &str =
    "exec unshare --uts sh -c 'hostname elsewhere && exec \"$0\" \"$@\"' \"$HARNESS\" \"$@\"";

/// The root's node has two workers; the one that starts first is called by its name, all others are elsewhere.
fn on_two_nodes(script: &str) -> Option<(Folder, Ran)> {
    let folder = Folder::with(&format!(
        "pool = spawn {{ workers = 2, slots = 2, placement = 'warn' }}\n\
         for _, w in ipairs(pool.workers) do if w.host == 'elsewhere' then there = w else here = w end end\n{script}"
    ));
    let worker = format!("mkdir first 2>/dev/null && exec \"$HARNESS\" \"$@\"\n{ELSEWHERE}");
    let ran = finish_elsewhere(&folder, &worker, &["-v", "c.lua"])?;
    Some((folder, ran))
}

/// Runs it with workers of which some are elsewhere; none where no host can have another name.
pub fn finish_elsewhere(folder: &Folder, worker: &str, args: &[&str]) -> Option<Ran> {
    let ran = folder.finish(folder.harness_with_worker(worker, args));
    if ran.stderr.contains("unshare: ") {
        skip("another host name needs root and unshare");
        return None;
    }
    folder.assert_nothing_left(GONE);
    Some(ran)
}

#[track_caller]
pub fn printed(folder: &Folder, ran: &Ran, stdout: &str) {
    assert_eq!((folder.normal(&ran.stdout).as_str(), ran.code), (stdout, Some(0)), "{ran:#?}");
}

const CHILD: &str = "It is a child of the root: the name of this host has changed since the root started. Run the same \
                     command again";

#[test]
fn a_worker_in_the_wrong_place_is_refused() {
    let folder = Folder::with("print(pcall(spawn, { workers = 1 }))\n");
    let ran = folder.finish(folder.harness_with_worker(ELSEWHERE, &["c.lua"]));
    if ran.stderr.contains("unshare: ") {
        return skip("another host name needs root and unshare");
    }
    let loss = format!(
        "worker 0 on HOST is lost: wrong placement: worker 0 was to start on HOST and came up on elsewhere\n  {CHILD}"
    );
    let stderr = format!("harness: {loss}\n");
    // It is the script's error, and not said besides. (The worker may complain.)
    assert!(!folder.normal(&ran.stderr).contains(&stderr), "{ran:#?}");
    printed(&folder, &ran, &format!("false\tc.lua:1: spawn: {loss}\n"));
    folder.assert_nothing_left(GONE);
}

#[test]
fn a_worker_in_the_wrong_place_works_where_that_is_only_told() {
    let Some((folder, ran)) = on_two_nodes(
        "print(#pool.workers, there.host)\nprint(await(submit(call { function() return require('harness').worker.host end, host = \
         'elsewhere' })))\n",
    ) else {
        return;
    };
    printed(&folder, &ran, "2\telsewhere\nelsewhere\n");
    let said = folder.normal(&ran.stderr);
    let warning = format!("was to start on HOST and came up on elsewhere\n  {CHILD}\n");
    assert!(said.contains("harness: wrong placement: worker ") && said.contains(&warning), "{said}");
}

#[test]
fn measurements_keep_off_the_root_s_node_and_say_so_where_they_do_not() {
    let Some((folder, ran)) = on_two_nodes(
        "local function look(options)\n\
         options.runs, options.cmd, options.timeout = 1, { 'true' }, '60 s'\n\
         local m = await(submit(measure(options)))\n\
         print(m.host, m.status, (table.concat(m.flags, ' '):match 'shares_root'))\n\
         end\n\
         print(here.measures, there.measures)\n\
         print((tostring(here):gsub('%d+', 'N')))\n\
         for i = 1, 3 do look { key = i } end\n\
         look { host = here.host }\n\
         look { nodes = 1, launcher = 'none', key = 4 }\n\
         print(await(submit(exec { cmd = { 'true' }, not_on = 'elsewhere' })).host)\n\
         pool:close()\n\
         pool = spawn { workers = 2, slots = 2, placement = 'warn', root_node = 'measure' }\n\
         print(pool.workers[1].measures, pool.workers[2].measures)\n",
    ) else {
        return;
    };
    let first = "elsewhere\tok\tnil\n".repeat(3);
    printed(
        &folder,
        &ran,
        &format!(
            "false\ttrue\nworker N on HOST: N slots, N cores, local, measures only what others cannot\n{first}HOST\tok\t\
             shares_root\nelsewhere\tok\tnil\nHOST\ntrue\ttrue\n"
        ),
    );
    let said = folder.normal(&ran.stderr);
    assert!(
        said.contains(" on HOST (2 slots, ") && said.contains(", local, measures only what others cannot)"),
        "{said}"
    );
}

#[test]
fn a_call_has_several_nodes_and_nothing_of_it_is_left_on_any() {
    let Some((folder, ran)) = on_two_nodes(
        "local nodes, ranks, hosts = await(submit(call { function()\n\
         local list = io.popen 'sort $HARNESS_HOSTFILE'\n\
         os.execute \"setsid sh -c 'echo $$ >left; exec sleep 600' & until [ -s left ]; do sleep 0.01; done\"\n\
         return os.getenv 'HARNESS_NODELIST', os.getenv 'HARNESS_NUM_RANKS', list:read 'a'\n\
         end, nodes = 2, timeout = '60 s' }))\n\
         print(io.open 'left':read 'n' > 1, os.execute '! grep -q \"^State:.[^Z]\" /proc/$(cat left)/status 2>/dev/null')\n\
         print(#nodes == #here.host + #', elsewhere' - 1, ranks)\n\
         io.write(hosts)\n\
         local m = await(submit(measure { shell = 'true', nodes = 2, launcher = 'none', runs = 1, timeout = '60 s' }))\n\
         print(m.status, #m.hosts, (table.concat(m.flags, ' '):match 'shares_root'))\n",
    ) else {
        return;
    };
    let mut stdout: Vec<String> = folder.normal(&ran.stdout).lines().map(str::to_owned).collect();
    stdout[2..4].sort();
    assert_eq!(
        stdout,
        ["true\ttrue\texit\t0", "true\t2", "HOST", "elsewhere", "ok\t2\tshares_root"],
        "{ran:#?}"
    );
    assert_eq!(ran.code, Some(0), "{ran:#?}");
}

#[test]
fn a_pool_that_lost_a_worker_grows_again() {
    let Some((folder, ran)) = on_two_nodes(
        "local kill = 'kill -9 $(ps -o ppid= -p $(ps -o ppid= -p $$)); sleep 60'\n\
         print(await(submit(exec { shell = kill, host = 'elsewhere', retries = 0 })).status)\n\
         local m = await(submit(measure { cmd = { 'true' }, runs = 1, key = 1 }))\n\
         print(m.host, (table.concat(m.flags, ' '):match 'shares_root'))\n\
         print(pcall(pool.grow, pool))\n\
         local new = pool:grow { workers = 1 }\n\
         print(#new, new[1].host, new[1].slots, new[1].measures, here.measures, #pool.workers, pool.workers[1] == here)\n\
         m = await(submit(measure { cmd = { 'true' }, runs = 1, key = 2 }))\n\
         print(m.host)\n\
         for w = 1, 2 do print(await(submit(call { function() return require('harness').worker.host end, host = pool.workers[w].host }))) end\n",
    ) else {
        return;
    };
    printed(
        &folder,
        &ran,
        "lost_worker\nHOST\tnil\nfalse\tc.lua:7: pool:grow: every node has a worker already (HOST): say how many more, \
         `workers = N` or `per_node = N`\n1\telsewhere\t2\ttrue\tfalse\t2\ttrue\nelsewhere\nHOST\nelsewhere\n",
    );
}

/// Of a worker that is lost nothing is left at the root but what it says of it. (For a moment the last one's process may be.)
#[test]
fn workers_that_are_lost_and_replaced_take_no_descriptors() {
    let folder = Folder::with(
        "local kill = 'kill -9 $(ps -o ppid= -p $(ps -o ppid= -p $$)); sleep 60'\n\
         local stat <close> = io.open '/proc/self/stat'\n\
         local root = stat:read 'n'\n\
         local pool = spawn { workers = 2, slots = 1 }\n\
         local function lose_one()\n\
           assert(await(submit(exec { shell = kill, retries = 0 })).status == 'lost_worker')\n\
           assert(#pool:grow { workers = 1 } == 1 and await(submit(function() return 7 end)) == 7)\n\
           local list <close> = io.popen('ls /proc/' .. root .. '/fd | wc -l')\n\
           return list:read 'n'\n\
         end\n\
         local first = lose_one()\n\
         for _ = 1, 4 do lose_one() end\n\
         print(lose_one() - first < 3, #pool.workers)\n",
    );
    let ran = folder.run(&["-q", "c.lua"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "true\t2\n"), "{ran:#?}");
    folder.assert_nothing_left(GONE);
}

/// Set where the next function is to be a worker: the file whose appearance, or absence, it waits for.
const FAKE: &str = "HARNESS_TEST_WORKER";

/// Not a test but a worker: it says who it is, to its standard input, and goes when another one has a task.
#[test]
fn a_worker_that_says_hello_and_is_gone() {
    let Some(taken) = std::env::var_os(FAKE) else { return };
    let size = std::fs::metadata(env!("CARGO_BIN_EXE_harness")).unwrap().len();
    let mut root = Stream::new(std::io::stdin().as_fd().try_clone_to_owned().unwrap()).unwrap();
    root.queue(&FromWorker::Hello(Box::new(Hello {
        protocol: PROTOCOL,
        build: format!("{}-{size}", env!("CARGO_PKG_VERSION")),
        host: machine::hostname(),
        pid: std::process::id(),
        env: Default::default(),
        cores: 2,
        sockets: vec![2],
        memory_bytes: 1 << 30,
        gpus: None,
    })));
    root.flush().unwrap();
    let until = Instant::now() + Duration::from_secs(2);
    while !Path::new(&taken).exists() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// One that came has no task that would be lost when another one does not come.
#[test]
fn a_growth_that_fails_loses_no_task() {
    let folder = Folder::with(
        "local pool = spawn { workers = 1, slots = 1 }\n\
         local hold = 'while [ ! -e go ]; do sleep 0.01; done'\n\
         local first = submit(exec { shell = hold, retries = 0 })\n\
         local second = submit(exec { shell = '[ -e go ] || touch taken; ' .. hold, retries = 0 })\n\
         print(pcall(pool.grow, pool, { workers = 2 }))\n\
         io.open('go', 'w'):close()\n\
         print(await(first).status, await(second).status, #pool.workers)\n",
    );
    let fake = std::env::current_exe().unwrap();
    let worker = format!(
        "mkdir first 2>/dev/null || mkdir second 2>/dev/null || {FAKE}=taken exec '{}' --exact \
         places::a_worker_that_says_hello_and_is_gone <&3 3<&- >/dev/null\nexec \"$HARNESS\" \"$@\"",
        fake.display()
    );
    let ran = folder.finish(folder.harness_with_worker(&worker, &["-q", "c.lua"]));
    // Either of the two may be the one.
    let (stdout, stderr) =
        (ran.stdout.replace("worker 1", "worker 2"), ran.stderr.replace("worker 1", "worker 2"));
    let loss = "worker 2 on HOST is lost: its process ended";
    let expected = format!("false\tc.lua:5: pool:grow: {loss}\nok\tok\t1\n");
    said(&folder, Ran { stdout, stderr, ..ran }, 0, &expected, "");
    folder.assert_nothing_left(GONE);
}

/// The pool keeps what it has when what was to come does not.
#[test]
fn a_growth_that_fails_leaves_the_pool_as_it_was() {
    let folder = Folder::with(
        "local pool = spawn { workers = 1 }\nprint(pcall(pool.grow, pool, { workers = 1 }))\nprint(#pool.workers, \
         await(submit(function() return 'goes on' end)))\n",
    );
    let ran = folder.finish(
        folder.harness_with_worker("mkdir first 2>/dev/null || exit 3\nexec \"$HARNESS\" \"$@\"", &["c.lua"]),
    );
    let loss = "worker 1 on HOST is lost: its process ended";
    let stdout = format!("false\tc.lua:2: pool:grow: {loss}\n1\tgoes on\n");
    said(&folder, ran, 0, &stdout, "harness: 1 task: 1 ok\n");
    folder.assert_nothing_left(GONE);
}
