//! How a running guest is stopped from outside: by a signal or by its deadline.

use std::io;
use std::thread;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval, sleep};
use wasmtime::Engine;

/// How often a guest that loops gives way to everything else; also the longest that a signal waits.
const TICK: Duration = Duration::from_millis(10);

/// How long the end may take once it was asked for. After that the process ends as it is: the
/// guest's writer may be blocked on a pipe that nobody reads. The journal of the audit log outlives it.
const GRACE: Duration = Duration::from_secs(3);

/// Why a guest was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// By this signal.
    Signal(SignalKind),
    /// By its deadline.
    Timeout,
}

impl Stop {
    /// 128 + the signal; a deadline counts as a trap.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::Signal(kind) => u8::try_from(128 + kind.as_raw_value()).unwrap_or(u8::MAX),
            Self::Timeout => super::TRAP,
        }
    }
}

/// Watches for signals and the deadline in a thread of its own, since the thread of the guest may
/// be held up in the guest or in a write.
pub(crate) struct Watch {
    stopped: oneshot::Receiver<Stop>,
}

impl Watch {
    /// Starts the thread; from now on signals no longer kill the process by themselves.
    ///
    /// # Errors
    ///
    /// The system has no more threads or files.
    pub(crate) fn start(engine: &Engine, timeout: Option<Duration>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (sender, stopped) = oneshot::channel();
        let engine = engine.clone();
        let (mut interrupt, mut terminate) = {
            let _entered = runtime.enter();
            (
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
            )
        };
        thread::Builder::new()
            .name("stop".to_owned())
            .spawn(move || {
                runtime.block_on(async move {
                    let mut tick = interval(TICK);
                    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
                    let deadline = async {
                        match timeout {
                            Some(timeout) => sleep(timeout).await,
                            None => std::future::pending().await,
                        }
                    };
                    tokio::pin!(deadline);
                    let stop = loop {
                        tokio::select! {
                            _ = interrupt.recv() => break Stop::Signal(SignalKind::interrupt()),
                            _ = terminate.recv() => break Stop::Signal(SignalKind::terminate()),
                            () = &mut deadline => break Stop::Timeout,
                            _ = tick.tick() => engine.increment_epoch(),
                        }
                    };
                    // Whoever waited may be gone: then the process is ending anyway.
                    let _ = sender.send(stop);
                    let end = tokio::time::Instant::now() + GRACE;
                    while tokio::time::Instant::now() < end {
                        tick.tick().await;
                        engine.increment_epoch();
                    }
                    std::process::exit(stop.exit_code().into());
                });
            })?;
        Ok(Self { stopped })
    }

    /// Waits until the guest is to stop.
    pub(crate) async fn stopped(&mut self) -> Stop {
        match (&mut self.stopped).await {
            Ok(stop) => stop,
            // The thread only ends with the process.
            Err(_) => std::future::pending().await,
        }
    }
}
