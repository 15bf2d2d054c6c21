//! Before the WebSocket: reads the request, has [`http`] look at it, answers.

use std::{
    future::poll_fn,
    io,
    task::{Poll, ready},
};

use crate::{
    close::CloseReason,
    counters::Refusal,
    io::Input,
    server::{
        http::{self, Asked, MAX_HEAD_BYTES},
        hub::Hub,
        line::Line,
        metrics,
    },
};

/// Reads the request and answers it. Returns the answer to a WebSocket client and what it sent beyond the request.
pub(crate) async fn handshake(hub: &Hub, line: &Line) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut head = Vec::with_capacity(1024);
    loop {
        match http::look_at(&head, hub.pages.get()) {
            Asked::Unfinished => {}
            Asked::WebSocket { answer, used, is_foreign } => {
                if is_foreign {
                    hub.apply(Input::Foreign { connection: line.id });
                }
                return Some((answer, head.split_off(used)));
            }
            Asked::Metrics { with_body, is_foreign } => {
                if is_foreign {
                    hub.apply(Input::Foreign { connection: line.id });
                }
                line.queue(&metrics::answer(hub, line.id, with_body));
                return None;
            }
            Asked::Other { answer, is_fault } => {
                if is_fault {
                    hub.apply(Input::Noted { connection: line.id, what: Refusal::NotWebSocket });
                }
                line.queue(&answer);
                return None;
            }
        }
        match read_more(line, &mut head).await {
            Ok(()) => {}
            Err(Some(reason)) => {
                let status = if reason == CloseReason::HelloTimeout { 408 } else { 503 };
                line.queue(&http::refusal(status, reason.text(), true));
                return None;
            }
            Err(None) => return None,
        }
    }
}

/// Reads some more of the request. The error is the reason why the core has given up, or none if the client has.
async fn read_more(line: &Line, head: &mut Vec<u8>) -> Result<(), Option<CloseReason>> {
    let start = head.len();
    poll_fn(|cx| {
        loop {
            if let Some(reason) = line.closing.get() {
                return Poll::Ready(Err(Some(reason)));
            }
            if line.notify.poll(cx).is_pending() {
                break;
            }
        }
        loop {
            head.resize(MAX_HEAD_BYTES.min(start + 1024), 0);
            let read = line.read(head.get_mut(start..).unwrap_or_default());
            head.truncate(start + read.as_ref().map_or(0, |read| *read));
            match read {
                Ok(0) => return Poll::Ready(Err(None)),
                Ok(_) => return Poll::Ready(Ok(())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if ready!(line.poll_readable(cx)).is_err() {
                        return Poll::Ready(Err(None));
                    }
                }
                Err(_) => return Poll::Ready(Err(None)),
            }
        }
    })
    .await
}
