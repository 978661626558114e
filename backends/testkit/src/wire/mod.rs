//! A server that records requests as they come and answers as it is told.
//!
//! For what no honest server does: replies that are cut, endless, late, redirected or false, and
//! certificates for another name. It runs on a thread of its own on loopback, and ends when dropped.
//!
//! ```
//! use strongroom_backend_testkit::wire::{Reply, Wire};
//!
//! let server = Wire::http(|request| Reply::json(429, &format!(r#"{{"path":"{}"}}"#, request.target)));
//! assert!(server.url().starts_with("http://127.0.0.1:"));
//! assert!(server.requests().is_empty());
//! ```

mod reply;
mod serve;
mod tls;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

pub use reply::Reply;
pub use tls::Identity;

/// A request as it came over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `POST`, ...
    pub method: String,
    /// Path and query exactly as they were sent, nothing decoded.
    pub target: String,
    /// Header names in lower case, and values, in the order sent.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Request {
    /// The first header of this name, given in lower case, where it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(header, _)| header == name)?;
        std::str::from_utf8(value).ok()
    }

    /// The target without its query.
    pub fn path(&self) -> &str {
        self.target
            .split_once('?')
            .map_or(&self.target, |(path, _)| path)
    }

    /// The body as text; empty where it is none.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_default()
    }
}

type Answer = dyn Fn(&Request) -> Reply + Send + Sync;

/// A server under a test's control.
pub struct Wire {
    address: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

pub(crate) struct Shared {
    answer: Box<Answer>,
    requests: Mutex<Vec<Request>>,
}

impl Shared {
    pub(crate) fn answer(&self, request: Request) -> Reply {
        let reply = (self.answer)(&request);
        self.requests().push(request);
        reply
    }

    fn requests(&self) -> std::sync::MutexGuard<'_, Vec<Request>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wire {
    /// Listens on a free loopback port, without TLS.
    ///
    /// # Panics
    ///
    /// Where the machine gives no port or thread.
    pub fn http(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(None, Box::new(answer))
    }

    /// The same with TLS, as `identity`.
    ///
    /// # Panics
    ///
    /// Where the machine gives no port or thread.
    pub fn https(
        identity: &Identity,
        answer: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::start(Some(identity), Box::new(answer))
    }

    #[expect(clippy::expect_used, reason = "a test cannot go on without its server")]
    fn start(identity: Option<&Identity>, answer: Box<Answer>) -> Self {
        let shared = Arc::new(Shared {
            answer,
            requests: Mutex::default(),
        });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        listener
            .set_nonblocking(true)
            .expect("a port that can be polled");
        let address = listener.local_addr().expect("a port has an address");
        let acceptor = identity.map(Identity::acceptor);
        let (stop, stopped) = oneshot::channel();
        let served = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("wire".to_owned())
            .spawn(move || serve::run(listener, acceptor, served, stopped))
            .expect("a thread");
        Self {
            address,
            scheme: if identity.is_some() { "https" } else { "http" },
            shared,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// `http://127.0.0.1:<port>`, or `https://localhost:<port>`.
    pub fn url(&self) -> String {
        let port = self.address.port();
        match self.scheme {
            "https" => format!("https://localhost:{port}"),
            _ => format!("http://127.0.0.1:{port}"),
        }
    }

    /// The address it listens at.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every request so far, in the order answered.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests().clone()
    }

    /// Forgets the requests so far.
    pub fn forget(&self) {
        self.shared.requests().clear();
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
