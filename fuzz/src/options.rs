//! Arbitrary tables as options of tasks, pools, recipes, searches and budgets, in a script that runs dry: each is taken,
//! or is an error for its author, at the author's line. What is taken fits the specifications of the model.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use harness::model::Hash;
use harness::root::ScriptEnd;
use harness::root::plan::{Terms, run};
use harness::root::port::{Campaign, Index};
use harness::script::check::{made_up, returned};
use harness::script::modules::Modules;
use harness::script::{Content, Ended, ScriptState};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/options.lua");
const OPTIONS: &str = include_str!("../../lua/harness/options.lua");
/// What a script has asked for stays in memory: after so many inputs the next one begins.
const MOST_INPUTS: u32 = 2000;

struct Talk {
    _folder: tempfile::TempDir,
    inputs: File,
    answers: File,
    left: u32,
}

impl Talk {
    fn new() -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").expect("a folder");
        let ((theirs_in, inputs), (answers, theirs_out)) = (pipe(), pipe());
        let name = |file: &File| format!("/proc/self/fd/{}", file.as_raw_fd());
        let empty = folder.path().join("empty");
        std::fs::create_dir(&empty).expect("there is room");
        let args =
            vec![name(&theirs_in), name(&theirs_out), empty.display().to_string(), option_names().join(" ")];
        let campaign = Campaign {
            script: SCRIPT.into(),
            dir: folder.path().to_owned(),
            args,
            verbosity: -1,
            ..Campaign::default()
        };
        std::thread::spawn(move || play(campaign));
        let mut talk = Self { _folder: folder, inputs, answers, left: MOST_INPUTS };
        talk.hear();
        drop((theirs_in, theirs_out)); // it has opened its own
        talk
    }

    fn say(&mut self, data: &[u8]) {
        self.left -= 1;
        let length = (data.len() as u32).to_le_bytes();
        self.inputs.write_all(&[&length, data].concat()).expect("the script has ended");
        self.hear();
    }

    fn hear(&mut self) {
        self.answers.read_exact(&mut [0]).expect("the script has ended");
    }
}

fn pipe() -> (File, File) {
    let (read, write) = rustix::pipe::pipe().expect("there are descriptors");
    (read.into(), write.into())
}

/// All words before a `=`: the options, and a few others.
fn option_names() -> Vec<&'static str> {
    let names: BTreeSet<&str> = OPTIONS
        .split(" = ")
        .filter_map(|part| part.rsplit(|c: char| c != '_' && !c.is_ascii_alphanumeric()).next())
        .filter(|name| !name.is_empty())
        .collect();
    names.into_iter().collect()
}

fn play(campaign: Campaign) {
    let folder = campaign.dir.clone();
    let script = move |port| {
        let add_input = |content: Content<'_>| match content {
            Content::File(path) => Ok(Hash::of(path.as_os_str().as_encoded_bytes())),
            Content::Bytes(bytes) => Ok(Hash::of(bytes)),
        };
        let modules = Arc::new(Modules::of_campaign(&folder, false));
        let ended = ScriptState::new(port, Box::new(add_input), modules).and_then(|state| state.run());
        match ended {
            Ok(Ended::Finished) => ScriptEnd::Finished,
            other => panic!("the script ended: {other:?}"),
        }
    };
    let terms = Terms {
        campaign,
        index: Index::default(),
        most: usize::MAX,
        time: Duration::from_secs(100_000),
        calls: vec![made_up(1).expect("it is a value")],
        returned,
        other: false,
        first: Vec::new(),
    };
    run(terms, Box::new(script)).expect("there are threads");
}

thread_local! {
    static TALK: RefCell<Option<Talk>> = const { RefCell::new(None) };
}

pub fn target(data: &[u8]) {
    TALK.with_borrow_mut(|talk| {
        if talk.as_ref().is_none_or(|talk| talk.left == 0) {
            *talk = None;
            *talk = Some(Talk::new());
        }
        talk.iter_mut().for_each(|talk| talk.say(data));
    });
}
