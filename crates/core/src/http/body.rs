//! Request bodies that may not stall.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Sleep, sleep};

/// Between two pieces of a body; a sender that pauses for longer is gone, or means to hold a place.
const STALL_LIMIT: Duration = Duration::from_secs(30);

/// A body that fails when its next piece does not come.
///
/// A body that is there already, as nearly all are, costs no timer.
pub(super) struct Unstalled {
    body: Incoming,
    limit: Option<Pin<Box<Sleep>>>,
}

impl Unstalled {
    pub(super) const fn new(body: Incoming) -> Self {
        Self { body, limit: None }
    }
}

impl Body for Unstalled {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.limit = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let limit = self.limit.get_or_insert_with(|| Box::pin(sleep(STALL_LIMIT)));
        match limit.as_mut().poll(context) {
            Poll::Ready(()) => {
                let error = io::Error::new(io::ErrorKind::TimedOut, "the body stopped coming");
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
