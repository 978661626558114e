//! Notices that the configuration changed, and reads it anew.
//!
//! File events tell at once, also of editors that write another file and rename it over, and of
//! mounted configurations that swap a link. Once a second the file is read in any case: where events
//! do not come, a change is late, said so, but never missed.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::{Backends, Config, ConfigError, file};
use crate::grants::Digest;

/// How often the file is read although no event came.
const POLL: Duration = Duration::from_secs(1);
/// How long a file may be missing, empty or open for writing before it is taken as it is. With the
/// reading itself this keeps an edit within 100 ms.
const PATIENCE: Duration = Duration::from_millis(60);

/// What the watcher has to tell.
#[derive(Debug)]
pub enum Notice {
    /// The file has other bytes than before and is whole and right.
    Changed(Box<Config>),
    /// The file is not to be used as it is now, or not accepted. What was in force should stay so.
    Refused(ConfigError),
    /// File events do not come; changes are noticed once a second.
    Alarm(String),
}

/// A watched configuration. Dropping it ends the watch.
#[derive(Debug)]
pub struct Watch {
    stop: Sender<Signal>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Watches the file of `in_force` and tells `notify`, on a thread of the watch, of each change
    /// from it on, also of one since it was read. It may drop
    /// the watch.
    pub fn start(
        in_force: &Config,
        backends: Backends,
        notify: impl FnMut(Notice) + Send + 'static,
    ) -> Self {
        Self::start_if(in_force, backends, |_| Ok(()), notify)
    }

    /// As [`start`](Self::start), where a changed file, although it is right, is refused with the reason
    /// that `accept` gives. It is asked again with each event of the file, and once a second, so that
    /// what is accepted later takes force then, without another edit.
    pub fn start_if(
        in_force: &Config,
        backends: Backends,
        accept: impl Fn(&Config) -> Result<(), String> + Send + 'static,
        notify: impl FnMut(Notice) + Send + 'static,
    ) -> Self {
        let (stop, signals) = channel();
        let mut watching = Watching {
            file: in_force.file().to_owned(),
            workspace: in_force.workspace().map(Into::into),
            backends,
            accept,
            notify,
            told: Ok(in_force.digest()),
            told_of: Some(in_force.digest()),
            events: None,
            alarmed: false,
            sender: stop.clone(),
        };
        let thread = std::thread::Builder::new()
            .name("strongroom-config".into())
            .spawn(move || watching.run(&signals));
        // Without a thread nothing would be noticed; the next start of the host reads the file.
        let thread = thread.ok();
        Self { stop, thread }
    }

    /// Whether the watch runs. It does not where the system had no thread for it, or `notify` panicked.
    pub fn is_alive(&self) -> bool {
        self.thread
            .as_ref()
            .is_some_and(|thread| !thread.is_finished())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.stop.send(Signal::Stop);
        if let Some(thread) = self.thread.take()
            // Whoever is told of a change may hold the last broker, and so drop the watch right there.
            && thread.thread().id() != std::thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

#[derive(Debug)]
enum Signal {
    /// Something was done to the file, and more may follow.
    Touched,
    /// Someone closed the file after writing, or put another in its place.
    Settled,
    /// The events end: the folder went, or the system gave up.
    Lost(String),
    Stop,
}

/// What was last told, so that nothing is told twice.
type Told = Result<Digest, ConfigError>;

struct Watching<A, N> {
    file: PathBuf,
    workspace: Option<Box<str>>,
    backends: Backends,
    accept: A,
    notify: N,
    told: Told,
    /// The text that this was about, whatever came of it; none where there was none.
    told_of: Option<Digest>,
    events: Option<RecommendedWatcher>,
    alarmed: bool,
    sender: Sender<Signal>,
}

impl<A: Fn(&Config) -> Result<(), String>, N: FnMut(Notice)> Watching<A, N> {
    fn run(&mut self, signals: &Receiver<Signal>) {
        self.subscribe();
        // The file may have changed between its reading and the first event.
        self.tell(self.read());
        loop {
            match signals.recv_timeout(POLL) {
                Ok(signal) => {
                    if !self.follow(signal, signals) {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    if !self.poll(signals) {
                        return;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Waits until the file seems whole, then tells. False: stop.
    fn follow(&mut self, first: Signal, signals: &Receiver<Signal>) -> bool {
        let deadline = Instant::now() + PATIENCE;
        let mut signal = Some(first);
        loop {
            let settled = match signal {
                Some(Signal::Stop) => return false,
                Some(Signal::Lost(why)) => {
                    self.resubscribe(&why);
                    true
                }
                Some(Signal::Settled) => true,
                Some(Signal::Touched) | None => false,
            };
            let now = Instant::now();
            if settled || now >= deadline {
                let read = self.read();
                if now >= deadline || !unfinished(&read) {
                    self.tell(read);
                    return true;
                }
            }
            signal = match signals.recv_timeout(deadline.saturating_duration_since(now)) {
                Ok(signal) => Some(signal),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return false,
            };
        }
    }

    /// Looks whether a change went unnoticed. False: stop.
    fn poll(&mut self, signals: &Receiver<Signal>) -> bool {
        if self.events.is_none() {
            self.subscribe();
        }
        let read = self.read();
        if !self.differs(&read) {
            return true;
        }
        if self.told_of.is_some() && text_of(&read) == self.told_of {
            // Nothing was done to the file, so no event is missing: what refused it accepts it now.
            self.tell(read);
            return true;
        }
        // The event may be on its way.
        match signals.recv_timeout(PATIENCE) {
            Ok(signal) => return self.follow(signal, signals),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return false,
        }
        self.alarm("a change came without one");
        self.tell(self.read());
        true
    }

    fn read(&self) -> Result<Vec<u8>, ConfigError> {
        file::read(&self.file)
    }

    fn differs(&self, read: &Result<Vec<u8>, ConfigError>) -> bool {
        match (read, &self.told) {
            (Ok(bytes), Ok(told)) => Digest::of(bytes) != *told,
            (Err(error), Err(told)) => error != told,
            // A refusal of the text is told anew with each reading; comparing takes a parse.
            (Ok(bytes), Err(told)) => match self.examine(bytes) {
                Ok(_) => true,
                Err(error) => error != *told,
            },
            (Err(_), Ok(_)) => true,
        }
    }

    fn parse(&self, bytes: &[u8]) -> Result<Config, ConfigError> {
        let workspace = self.workspace.as_deref();
        let config = Config::parse_in(bytes, &self.file, &self.backends, workspace)?;
        file::refuse_shared_files(&config)?;
        Ok(config)
    }

    /// The configuration in a text that is not in force yet.
    fn examine(&self, bytes: &[u8]) -> Result<Config, ConfigError> {
        let config = self.parse(bytes)?;
        (self.accept)(&config).map_err(|why| ConfigError::file(&self.file, why))?;
        Ok(config)
    }

    fn tell(&mut self, mut read: Result<Vec<u8>, ConfigError>) {
        if !self.differs(&read) {
            return;
        }
        if self.file.is_symlink() {
            // It may point into another folder now. What happened there before is in this reading.
            self.subscribe();
            read = self.read();
        }
        self.told_of = text_of(&read);
        let parsed = read.and_then(|bytes| self.examine(&bytes));
        let notice = match parsed {
            Ok(config) => {
                self.told = Ok(config.digest());
                Notice::Changed(Box::new(config))
            }
            Err(error) => {
                self.told = Err(error.clone());
                Notice::Refused(error)
            }
        };
        (self.notify)(notice);
    }

    fn resubscribe(&mut self, why: &str) {
        self.events = None;
        self.subscribe();
        if self.events.is_none() {
            self.alarm(why);
        }
    }

    fn subscribe(&mut self) {
        match subscribe(&self.file, self.sender.clone()) {
            Ok(events) => {
                self.events = Some(events);
                self.alarmed = false;
            }
            Err(error) => self.alarm(&error.to_string()),
        }
    }

    fn alarm(&mut self, why: &str) {
        if !self.alarmed {
            self.alarmed = true;
            let file = self.file.display();
            let text =
                format!("no file events for {file} ({why}): it is read once a second instead");
            (self.notify)(Notice::Alarm(text));
        }
    }
}

fn text_of(read: &Result<Vec<u8>, ConfigError>) -> Option<Digest> {
    read.as_ref().ok().map(|bytes| Digest::of(bytes))
}

/// Gone or empty for a moment is what a file is while an editor saves it.
fn unfinished(read: &Result<Vec<u8>, ConfigError>) -> bool {
    read.as_ref().map_or(true, Vec::is_empty)
}

/// Watches the folder of the file, not the file: a rename puts another file in its place. Where the
/// file is a symbolic link, also the folder of its target.
fn subscribe(file: &Path, sender: Sender<Signal>) -> notify::Result<RecommendedWatcher> {
    let target = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    let folder = |path: &Path| path.parent().map(Path::to_owned).unwrap_or_default();
    let mut folders = vec![folder(file)];
    let linked = file.is_symlink();
    if linked && !folders.contains(&folder(&target)) {
        folders.push(folder(&target));
    }
    let filter = Filter {
        names: [file, &target]
            .into_iter()
            .filter_map(|path| path.file_name().map(ToOwned::to_owned))
            .collect(),
        folders: folders.clone(),
        linked,
    };
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        let signal = match event {
            Ok(event) => filter.signal(&event),
            Err(error) => Some(Signal::Lost(error.to_string())),
        };
        if let Some(signal) = signal {
            let _ = sender.send(signal);
        }
    })?;
    for folder in &folders {
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

/// Tells the events of the configuration from those of what lies beside it: logs and stores are
/// written all the time.
struct Filter {
    names: Vec<OsString>,
    folders: Vec<PathBuf>,
    linked: bool,
}

impl Filter {
    fn signal(&self, event: &Event) -> Option<Signal> {
        if event.need_rescan() {
            return Some(Signal::Settled);
        }
        let of_folder = event.paths.iter().any(|path| self.folders.contains(path));
        let moved = matches!(event.kind, EventKind::Modify(ModifyKind::Name(_)));
        if of_folder && (moved || event.kind.is_remove()) {
            return Some(Signal::Lost("its folder was moved or removed".into()));
        }
        let named = |path: &PathBuf| {
            let name = path.file_name();
            name.is_some_and(|name| self.names.iter().any(|known| known == name))
        };
        let ours = event.paths.iter().any(named);
        match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) if ours => {
                Some(Signal::Settled)
            }
            EventKind::Access(_) => None,
            EventKind::Modify(ModifyKind::Metadata(_)) if ours => Some(Signal::Settled),
            EventKind::Modify(ModifyKind::Name(_)) if ours || self.linked => Some(Signal::Settled),
            // A link in the way to the target may have been swapped under any name.
            EventKind::Create(_) | EventKind::Remove(_) if ours || self.linked => {
                Some(Signal::Touched)
            }
            _ if ours => Some(Signal::Touched),
            _ => None,
        }
    }
}
