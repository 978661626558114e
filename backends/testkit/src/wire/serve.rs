//! The server's side of the connections.

use std::io;
use std::net::TcpListener;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep};
use tokio_rustls::TlsAcceptor;

use super::{Reply, Request, Shared};

const CHUNK: usize = 64 << 10;

pub(super) fn run(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    shared: Arc<Shared>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else { return };
    runtime.block_on(async {
        let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
            return;
        };
        let accept = async {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let (shared, acceptor) = (Arc::clone(&shared), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => connection(stream, shared).await,
                        // A client that refuses the certificate ends here: that is its right.
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                connection(stream, shared).await;
                            }
                        }
                    }
                });
            }
        };
        tokio::select! {
            () = accept => {}
            _ = stopped => {}
        }
    });
}

async fn connection<S>(stream: S, shared: Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { respond(request, &shared).await }
    });
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn respond(request: hyper::Request<Incoming>, shared: &Shared) -> io::Result<Response<Sent>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let target = parts.uri.path_and_query().map(ToString::to_string);
    let header = |(name, value): (&HeaderName, &HeaderValue)| {
        (name.as_str().to_owned(), value.as_bytes().to_vec())
    };
    let mut reply = shared.answer(Request {
        method: parts.method.to_string(),
        target: target.unwrap_or_default(),
        headers: parts.headers.iter().map(header).collect(),
        body: body.to_vec(),
    });
    while let Reply::After(time, then) = reply {
        sleep(time).await;
        reply = *then;
    }
    match reply {
        Reply::Whole {
            status,
            headers,
            body,
        } => response(status, &headers, Sent::whole(body)),
        Reply::Cut {
            status,
            headers,
            body,
            promised,
        } => response(status, &headers, Sent::cut(body, promised)),
        Reply::Endless {
            status,
            headers,
            length,
        } => response(status, &headers, Sent::Endless { left: length }),
        Reply::Drip {
            status,
            headers,
            pause,
        } => response(status, &headers, Sent::drip(pause)),
        Reply::Hang => std::future::pending().await,
        Reply::Close | Reply::After(..) => Err(io::ErrorKind::ConnectionAborted.into()),
    }
}

fn response(status: u16, headers: &[(String, String)], body: Sent) -> io::Result<Response<Sent>> {
    let status = StatusCode::from_u16(status).map_err(io::Error::other)?;
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(body).map_err(io::Error::other)
}

/// A body on its way out.
enum Sent {
    Whole(Option<Bytes>),
    /// Breaks off after its bytes: hyper then ends the connection.
    Cut {
        bytes: Option<Bytes>,
        promised: u64,
        /// Lets the bytes out before the break is seen.
        pause: Pin<Box<Sleep>>,
    },
    Endless {
        left: u64,
    },
    Drip {
        pause: Duration,
        next: Pin<Box<Sleep>>,
    },
}

impl Sent {
    fn whole(body: Vec<u8>) -> Self {
        Self::Whole(Some(Bytes::from(body)))
    }

    fn cut(body: Vec<u8>, promised: u64) -> Self {
        Self::Cut {
            bytes: Some(Bytes::from(body)),
            promised,
            pause: Box::pin(sleep(Duration::from_millis(50))),
        }
    }

    fn drip(pause: Duration) -> Self {
        Self::Drip {
            pause,
            next: Box::pin(sleep(pause)),
        }
    }
}

type Framed = Poll<Option<Result<Frame<Bytes>, io::Error>>>;

impl Body for Sent {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Framed {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Cut { bytes, pause, .. } => match bytes.take() {
                Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                None => pause
                    .as_mut()
                    .poll(context)
                    .map(|()| Some(Err(io::ErrorKind::ConnectionAborted.into()))),
            },
            Self::Endless { left: 0 } => Poll::Ready(None),
            Self::Endless { left } => {
                let length = usize::try_from(*left).unwrap_or(CHUNK).min(CHUNK);
                *left -= length as u64;
                Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![b' '; length])))))
            }
            Self::Drip { pause, next } => match next.as_mut().poll(context) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(()) => {
                    *next = Box::pin(sleep(*pause));
                    Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b" ")))))
                }
            },
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Cut { promised, .. } => SizeHint::with_exact(*promised),
            Self::Endless { .. } | Self::Drip { .. } => SizeHint::default(),
        }
    }
}
