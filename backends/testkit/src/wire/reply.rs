use std::time::Duration;

/// What a [`Wire`](super::Wire) answers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply {
    /// A whole answer.
    Whole {
        /// The HTTP status.
        status: u16,
        /// Headers beside `content-length`.
        headers: Vec<(String, String)>,
        /// The body.
        body: Vec<u8>,
    },
    /// An answer that promises `promised` bytes and ends the connection after `body`.
    Cut {
        /// The HTTP status.
        status: u16,
        /// Headers beside `content-length`.
        headers: Vec<(String, String)>,
        /// What is sent.
        body: Vec<u8>,
        /// What `content-length` says.
        promised: u64,
    },
    /// A body of `length` bytes of white space, as fast as it is read; without a length given.
    Endless {
        /// The HTTP status.
        status: u16,
        /// Headers.
        headers: Vec<(String, String)>,
        /// How long the body is in the end.
        length: u64,
    },
    /// Headers at once, then a byte of white space at each `pause`, for ever.
    Drip {
        /// The HTTP status.
        status: u16,
        /// Headers.
        headers: Vec<(String, String)>,
        /// Between two bytes.
        pause: Duration,
    },
    /// The reply after this one's time.
    After(Duration, Box<Self>),
    /// Never an answer; the connection stays open.
    Hang,
    /// The connection ends without an answer.
    Close,
}

impl Reply {
    /// A whole answer of JSON.
    pub fn json(status: u16, body: &str) -> Self {
        Self::Whole {
            status,
            headers: vec![("content-type".into(), "application/json".into())],
            body: body.as_bytes().to_vec(),
        }
    }

    /// An answer without a body.
    pub fn status(status: u16) -> Self {
        Self::Whole {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// A redirect (307) to `location`.
    pub fn redirect(location: &str) -> Self {
        Self::status(307).with_header("location", location)
    }

    /// JSON cut in the middle: half of `body`, of which all is promised.
    pub fn cut(status: u16, body: &str) -> Self {
        let half = body.len() / 2;
        Self::Cut {
            status,
            headers: vec![("content-type".into(), "application/json".into())],
            body: body.as_bytes().get(..half).unwrap_or_default().to_vec(),
            promised: body.len() as u64,
        }
    }

    /// A body of `length` bytes that never becomes JSON.
    pub fn endless(status: u16, length: u64) -> Self {
        Self::Endless {
            status,
            headers: vec![("content-type".into(), "application/json".into())],
            length,
        }
    }

    /// This reply with one more header; nothing changes where it has none.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        match &mut self {
            Self::Whole { headers, .. }
            | Self::Cut { headers, .. }
            | Self::Endless { headers, .. }
            | Self::Drip { headers, .. } => headers.push((name.into(), value.into())),
            Self::After(_, inner) => {
                let reply = std::mem::replace(&mut **inner, Self::Close);
                **inner = reply.with_header(name, value);
            }
            Self::Hang | Self::Close => {}
        }
        self
    }
}
