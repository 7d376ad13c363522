//! Answers: their heads, which say what a browser may do with them, and their bodies, which are bytes or a stream.

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// What anything from this port may load, and from where: see `ui/README.md`.
pub(crate) const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// An answer.
pub(crate) type Answer = Response<Body>;

/// What an answer consists of.
pub(crate) enum Body {
    /// All of it.
    Whole(Bytes),
    /// What comes in, until nobody sends any more.
    Stream(mpsc::Receiver<Bytes>),
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Body::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Body::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Body::Stream(stream) => stream
                .poll_recv(cx)
                .map(|piece| piece.map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Body::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Body::Stream(_) => SizeHint::default(),
        }
    }
}

/// An answer of this kind. Nothing of it is kept by a browser unless somebody says otherwise.
pub(crate) fn answer(status: StatusCode, content_type: &'static str, body: Body) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let head = answer.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, CONTENT_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        head.insert(name, HeaderValue::from_static(value));
    }
    head.insert(
        "cross-origin-resource-policy",
        HeaderValue::from_static("same-origin"),
    );
    head.insert(
        "cross-origin-opener-policy",
        HeaderValue::from_static("same-origin"),
    );
    answer
}

/// Plain text.
pub(crate) fn plain(status: StatusCode, text: impl Into<String>) -> Answer {
    let body = Body::Whole(Bytes::from(text.into()));
    answer(status, "text/plain; charset=utf-8", body)
}

/// JSON that is written already.
pub(crate) fn json(status: StatusCode, text: String) -> Answer {
    answer(status, "application/json", Body::Whole(Bytes::from(text)))
}

/// An error that a page can show.
pub(crate) fn error(status: StatusCode, why: &str) -> Answer {
    let why = serde_json::Value::from(why);
    json(status, format!("{{\"error\":{why}}}"))
}
