//! Modules for slots, read on a thread of its own: a file system that does not answer holds up who asked, not
//! the driver. Knows neither Lua nor where modules lie.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::model::{Module, WorkerId};
use crate::process::Wake;

/// Finds a module by its name.
pub(super) type Sources = Box<dyn Fn(&str) -> Module + Send>;

/// A module that a worker asked for.
pub(super) struct Found {
    pub(super) worker: WorkerId,
    pub(super) name: String,
    pub(super) module: Module,
}

/// See the module. Dropping it ends its thread.
pub(super) struct Reader {
    wanted: Sender<(WorkerId, String)>,
    found: Receiver<Found>,
}

impl Reader {
    /// Starts the thread; `wake` says that something was found.
    pub(super) fn start(sources: Sources, wake: Arc<Wake>) -> io::Result<Self> {
        let (wanted, asked) = channel::<(WorkerId, String)>();
        let (give, found) = channel();
        std::thread::Builder::new().name("modules".into()).spawn(move || {
            for (worker, name) in asked {
                let module = sources(&name);
                if give.send(Found { worker, name, module }).is_err() {
                    return;
                }
                wake.signal();
            }
        })?;
        Ok(Self { wanted, found })
    }

    /// Has a module read. Never waits.
    pub(super) fn want(&self, worker: WorkerId, name: String) {
        // The thread lives as long as `self`.
        let _ = self.wanted.send((worker, name));
    }

    /// One that was read, if there is one.
    pub(super) fn found(&self) -> Option<Found> {
        self.found.try_recv().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::time::{Duration, Instant};

    use rustix::event::{PollFd, PollFlags};

    use crate::transport::wait::wait;

    #[test]
    fn who_asks_does_not_wait_and_is_woken() {
        let (answer, hangs) = channel();
        let wake = Arc::new(Wake::new().unwrap());
        let sources = move |name: &str| {
            let text: String = hangs.recv().unwrap();
            Module::Missing(format!("{text} {name}"))
        };
        let reader = Reader::start(Box::new(sources), wake.clone()).unwrap();
        reader.want(WorkerId(3), "m".into());
        assert!(reader.found().is_none());
        answer.send("no".into()).unwrap();
        let mut fds = [PollFd::from_borrowed_fd(wake.as_fd(), PollFlags::IN)];
        wait(&mut fds, Some(Instant::now() + Duration::from_secs(60))).unwrap();
        let found = reader.found().unwrap();
        assert_eq!((found.worker, found.name.as_str()), (WorkerId(3), "m"));
        assert_eq!(found.module, Module::Missing("no m".into()));
    }
}
