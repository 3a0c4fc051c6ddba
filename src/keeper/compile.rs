//! `compile`: a build in a fresh folder, answered from the store where the same was built before.
//!
//! ```text
//! Identify (`cc --version`, each program once) ─> question ─┬─ known, headers unchanged ─> its answer
//!                                              └─> Build ─> headers ─> remembered ─> the answer
//! ```
//! Refusals are remembered like artefacts, failures of the machine are not. The headers come from `-MD -MF` of the build itself; where
//! that cannot tell (several sources overwrite each other's list, a failed build may leave none) the
//! preprocessor is asked once more (`-M`), and if it fails too nothing is remembered.

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::SystemTime;

use super::headers::{file_time, outside};
use super::job::{Learned, Step};
use super::met::met;
use super::question::{content_key, include_dirs, question, tells_version};
use super::run::{Ended, Finished, Keep};
use super::scratch::Scratch;
use super::site::{Command, Failure, Site, inside, path_of};
use super::verdict::{judge, not_started};
use crate::artefact::{CachedBuild, Stored, text_hash};
use crate::model::machine_fault::machine_fault;
use crate::model::{
    CacheUse, CommandSpec, CompileResult, CompileSpec, Cwd, Detail, Hash, Outcome, Sink, Status,
};
use crate::process::{SpawnError, find_program};

/// Kept of what the compiler says (B).
const DIAGNOSTICS_LIMIT: usize = 64 * 1024;
/// Where the compiler lists what it read.
const DEPFILE: &str = ".harness.d";

/// So linkers begin what is missing, or there twice.
const OF_LINKER: &[&str] = &["undefined reference to ", "cannot find -l", "multiple definition of "];

/// A build under way.
pub struct Compile {
    spec: CompileSpec,
    mark: String,
    include_dirs: Vec<PathBuf>,
    /// Path and version line of its programs, as far as they are known.
    programs: Vec<String>,
    stage: Stage,
}

enum Stage {
    Start,
    Identify { path: PathBuf, changed: Option<SystemTime> },
    Build(Build),
    Headers(Build, Box<CachedBuild>),
    Over,
}

struct Build {
    question: Hash,
    compiler: String,
    command: Rc<Command>,
    scratch: Scratch,
    since: SystemTime,
}

impl Compile {
    /// Nothing is prepared yet: the answer may be known.
    pub fn new(mut spec: CompileSpec, mark: &str) -> Self {
        spec.command.cwd = Cwd::Scratch;
        spec.command.stdout = Sink::Capture;
        spec.command.stderr = Sink::Capture;
        Self {
            include_dirs: include_dirs(&spec),
            spec,
            mark: mark.into(),
            programs: Vec::new(),
            stage: Stage::Start,
        }
    }

    /// The next run, or the answer.
    pub fn next(&mut self, last: Option<Finished>, site: &Site, learned: &Learned) -> Step {
        let step = match (std::mem::replace(&mut self.stage, Stage::Over), last) {
            (Stage::Start, _) => self.identify(site, learned),
            (Stage::Identify { path, changed }, Some(finished)) => {
                self.identified(path, changed, finished, site, learned)
            }
            (Stage::Build(build), Some(Ok(ended))) => self.built(build, ended, site, learned),
            (Stage::Headers(build, answer), Some(finished)) => {
                let rules =
                    finished.ok().filter(|ended| judge(ended, &[]).is_ok() && ended.stdout.is_whole());
                let rules = rules.map(|ended| String::from_utf8_lossy(&ended.stdout.bytes).into_owned());
                self.remember(build, *answer, rules, site, learned)
            }
            (_, Some(Err(error))) => Err(not_started(&error)),
            _ => Err(Failure::setup("the build was asked to go on after its end")),
        };
        step.unwrap_or_else(Step::failed)
    }

    /// Learns of its programs, one after another, which version they are; then the answer may be known.
    fn identify(&mut self, site: &Site, learned: &Learned) -> Result<Step, Failure> {
        inside(&self.spec.output)?;
        let environment = site.environment(&self.spec.command.env, &self.mark)?;
        let first = site.argv(&self.spec.command)?.into_iter().next();
        let mut programs = vec![first.ok_or_else(|| not_started(&SpawnError::Empty.into()))?];
        for tool in &self.spec.tools {
            programs.push(CString::new(tool.as_str()).map_err(Failure::setup)?);
        }
        for program in programs.into_iter().skip(self.programs.len()) {
            let path = if program.as_bytes().contains(&b'/') {
                path_of(&program).to_path_buf()
            } else {
                let search = environment.search_path();
                let found = find_program(&program.to_string_lossy(), search, Path::new("/"));
                found.map_err(|error| not_started(&error.into()))?
            };
            // A program inside the scratch folder is among the inputs.
            if !path.is_absolute() {
                self.programs.push(path.display().to_string());
                continue;
            }
            let changed = fs::metadata(&path).and_then(|data| data.modified()).ok();
            let version = learned.compilers.get(&(path.clone(), changed)).or_else(|| {
                let content =
                    || learned.hashes.hash(&path).map_or("unreadable".into(), |hash| hash.to_string());
                (!tells_version(&path)).then(content)
            });
            if let Some(version) = version {
                self.programs.push(format!("{} ({version})", path.display()));
                continue;
            }
            // In any folder: the campaign's may not be on this node.
            let anywhere = CommandSpec { cwd: Cwd::Path("/".into()), ..CommandSpec::default() };
            let (place, _) = site.command(&anywhere, &self.mark)?;
            let ask = Command { environment, ..place }.with_argv(vec![program, c"--version".to_owned()]);
            self.stage = Stage::Identify { path, changed };
            return Ok(Step::Run(Rc::new(ask), Keep { stdout: 4096, stderr: 4096 }));
        }
        self.look_up(self.programs.join("; "), site, learned)
    }

    fn identified(
        &mut self,
        path: PathBuf,
        changed: Option<SystemTime>,
        finished: Finished,
        site: &Site,
        learned: &Learned,
    ) -> Result<Step, Failure> {
        let ended = finished.map_err(|error| not_started(&error))?;
        if ended.forced.is_some() {
            judge(&ended, &[])?;
        }
        let first_line = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            text.lines().map(str::trim).find(|line| !line.is_empty()).map(String::from)
        };
        let version = first_line(&ended.stdout.bytes).or_else(|| first_line(&ended.stderr.bytes));
        let version = version.unwrap_or_else(|| "no version".into());
        self.programs.push(format!("{} ({version})", path.display()));
        learned.compilers.insert((path, changed), version);
        self.identify(site, learned)
    }

    fn look_up(&mut self, compiler: String, site: &Site, learned: &Learned) -> Result<Step, Failure> {
        let environment = site.environment(&self.spec.command.env, &self.mark)?;
        let question = question(&self.spec, &compiler, &environment, &self.include_dirs)?;
        if self.spec.cache {
            let store = site.store()?;
            let usable = store.builds(question).into_iter().find(|build| {
                if build.failure.is_some() && machine_fault(&build.result.diagnostics).is_some() {
                    return false; // remembered by an earlier harness
                }
                // One that is damaged is built again, which replaces it.
                let whole = |hash| matches!(store.check(hash), Ok(Stored::Whole));
                build.result.artefact.is_none_or(whole)
                    && build
                        .headers
                        .iter()
                        .all(|(path, hash)| learned.hashes.hash(Path::new(path)) == Some(*hash))
            });
            if let Some(build) = usable {
                let cache = if build.failure.is_some() { CacheUse::Negative } else { CacheUse::Hit };
                return Ok(answer(build, cache));
            }
        }
        self.build(question, compiler, site)
    }

    fn build(&mut self, question: Hash, compiler: String, site: &Site) -> Result<Step, Failure> {
        let (mut command, scratch) = site.command(&self.spec.command, &self.mark)?;
        let scratch = scratch.ok_or_else(|| Failure::setup("a build needs a scratch folder"))?;
        let output = inside(&self.spec.output)?;
        let folders = self.spec.folders.iter().map(|folder| inside(folder));
        for folder in folders.chain(output.parent().map(Ok)) {
            fs::create_dir_all(scratch.path().join(folder?)).map_err(Failure::setup)?;
        }
        if self.spec.depfile {
            command.argv.extend(self.include_flags()?);
            command.argv.extend([c"-MD", c"-MF"].map(CString::from));
            command.argv.push(CString::new(DEPFILE).map_err(Failure::setup)?);
        }
        let command = Rc::new(command);
        let step = Step::Run(command.clone(), Keep { stdout: DIAGNOSTICS_LIMIT, stderr: DIAGNOSTICS_LIMIT });
        self.stage = Stage::Build(Build { question, compiler, command, scratch, since: file_time() });
        Ok(step)
    }

    fn include_flags(&self) -> Result<Vec<CString>, Failure> {
        let mut flags = Vec::new();
        for dir in &self.include_dirs {
            flags.push(c"-iquote".to_owned());
            flags.push(CString::new(dir.as_os_str().as_bytes()).map_err(Failure::setup)?);
        }
        Ok(flags)
    }

    fn built(&mut self, build: Build, ended: Ended, site: &Site, learned: &Learned) -> Result<Step, Failure> {
        let mut result = CompileResult {
            diagnostics: diagnostics(&ended, build.scratch.path()),
            cache: if self.spec.cache { CacheUse::Miss } else { CacheUse::Off },
            wall_s: ended.usage.wall_s,
            argv: build.command.argv_text(),
            compiler: build.compiler.clone(),
            exit_code: ended.exit.code(),
            signal: ended.exit.signal(),
            ..CompileResult::default()
        };
        let failure = match judge(&ended, &[]) {
            Ok(()) => self.fetch(&build, &mut result, site)?,
            Err(failure) if failure.status == Status::NonzeroExit => {
                let machine = |line: &str| format!("the machine failed it, not the source: {line}");
                let limit = met(&ended);
                if let Some(why) = limit.or_else(|| machine_fault(&result.diagnostics).map(machine)) {
                    let failure = Failure::setup(format!("{}: {why}", build.compiler));
                    let detail = Detail::Compile(Box::new(result));
                    return Ok(Step::Done(Box::new(Outcome { detail, ..failure.into() })));
                }
                let error = first_error(&failure.reason, &result.diagnostics);
                Some(format!("{}: {error}{}", build.compiler, self.several_in_one()))
            }
            // Ended from outside: says nothing about the source.
            Err(failure) => {
                let detail = Detail::Compile(Box::new(result));
                return Ok(Step::Done(Box::new(Outcome { detail, ..failure.into() })));
            }
        };
        let answer = CachedBuild { headers: Vec::new(), failure, result };
        if !self.spec.depfile {
            return self.remember(build, answer, Some(String::new()), site, learned);
        }
        if answer.failure.is_none() && self.sources() == 1 {
            let rules = fs::read_to_string(build.scratch.path().join(DEPFILE)).ok();
            return self.remember(build, answer, rules, site, learned);
        }
        let ask = self.ask_for_headers(&build, site)?;
        self.stage = Stage::Headers(build, Box::new(answer));
        Ok(Step::Run(Rc::new(ask), Keep { stdout: 4 << 20, stderr: 4096 }))
    }

    /// A word that looks like several flags is right in few places: it is told where the build fails.
    fn several_in_one(&self) -> String {
        let words = self.spec.command.argv.iter().filter_map(|arg| match arg {
            crate::model::Arg::Text(text) => Some(String::from_utf8_lossy(text)),
            _ => None,
        });
        let looks_so = |word: &str| {
            word.starts_with('-')
                && !word.starts_with("-D")
                && word.contains(" -")
                && !word.contains(['"', '\''])
        };
        let Some(word) = words.skip(1).find(|word| looks_so(word)) else { return String::new() };
        let apart: Vec<String> = word.split_whitespace().map(|flag| format!("\"{flag}\"")).collect();
        format!("; \"{word}\" is one word of the command: several flags are {{ {} }}", apart.join(", "))
    }

    /// The same arguments, but only the names of what would be read. Several sources and `-o` exclude
    /// each other here, and `-c` is implied.
    fn ask_for_headers(&self, build: &Build, site: &Site) -> Result<Command, Failure> {
        let mut argv = Vec::new();
        let mut given = site.argv(&self.spec.command)?.into_iter();
        while let Some(arg) = given.next() {
            match arg.as_bytes() {
                b"-o" => drop(given.next()),
                b"-c" => {}
                _ => argv.push(arg),
            }
        }
        argv.extend(self.include_flags()?);
        argv.push(c"-M".to_owned());
        Ok(build.command.with_argv(argv))
    }

    /// How many inputs are named on the command line.
    fn sources(&self) -> usize {
        let named =
            |path: &str| {
                self.spec.command.argv.iter().any(
                    |arg| matches!(arg, crate::model::Arg::Text(text) if text.as_slice() == path.as_bytes()),
                )
            };
        self.spec.command.inputs.iter().filter(|input| named(&input.path)).count()
    }

    /// Puts the artefact into the store, or says why there is none.
    fn fetch(
        &self,
        build: &Build,
        result: &mut CompileResult,
        site: &Site,
    ) -> Result<Option<String>, Failure> {
        let output = build.scratch.path().join(&self.spec.output);
        if !output.is_file() {
            return Ok(Some(format!("it exited 0 but left no file `{}`", self.spec.output)));
        }
        let hash = site.store()?.put_file(&output).map_err(Failure::setup)?;
        result.artefact = Some(hash);
        result.artefact_bytes = site.store()?.size(hash).unwrap_or(0);
        result.text_hash = fs::File::open(&output).ok().and_then(|file| text_hash(&file));
        Ok(None)
    }

    fn remember(
        &mut self,
        build: Build,
        mut done: CachedBuild,
        rules: Option<String>,
        site: &Site,
        learned: &Learned,
    ) -> Result<Step, Failure> {
        let paths = rules.map(|rules| outside(&rules, build.scratch.path()));
        let headers = paths.and_then(|paths| learned.hashes.snapshot(paths, build.since));
        let cache = done.result.cache;
        if let Some(headers) = headers {
            done.result.content_key = Some(content_key(build.question, &headers));
            done.headers = headers;
            if self.spec.cache {
                site.store()?.remember_build(build.question, done.clone()).map_err(Failure::setup)?;
            }
        }
        Ok(answer(done, cache))
    }
}

fn answer(build: CachedBuild, cache: CacheUse) -> Step {
    let detail = Detail::Compile(Box::new(CompileResult { cache, ..build.result }));
    let outcome = match build.failure {
        None => super::exec::succeeded(),
        Some(reason) => Outcome::failed(Status::CompileFailed, reason),
    };
    Step::Done(Box::new(Outcome { detail, ..outcome }))
}

/// Files of the scratch folder by their names in it: where it lay matters to nobody.
fn diagnostics(ended: &Ended, scratch: &Path) -> String {
    let parts = [&ended.stderr.bytes, &ended.stdout.bytes].map(|bytes| String::from_utf8_lossy(bytes));
    let scratch = scratch.display().to_string();
    parts.concat().replace(&format!("{scratch}/"), "").replace(&scratch, ".")
}

/// The first line that looks like an error says more than the last ones. Of a linker's it is the part that says what is
/// missing: before it stand folders that are gone, and after it that there was an error.
fn first_error(reason: &str, diagnostics: &str) -> String {
    let exit = reason.split(';').next().unwrap_or(reason);
    let says =
        diagnostics.lines().find_map(|line| match OF_LINKER.iter().find_map(|words| line.find(words)) {
            Some(at) => Some(&line[at..]),
            None => Some(line).filter(|line| line.to_lowercase().contains("error")),
        });
    match says.or_else(|| diagnostics.lines().find(|line| !line.trim().is_empty())) {
        Some(line) => format!("{exit}: {}", line.trim()),
        None => exit.into(),
    }
}
