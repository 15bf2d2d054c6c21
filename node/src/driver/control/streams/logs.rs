//! `{"cmd":"logs"}`: what the node logged last, and with `follow` what it logs from then on.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Reader, Stopped, Writer, unless_given_up};
use crate::driver::control::frames::write_line;
use crate::driver::service::Service;

#[derive(Debug, Deserialize)]
pub(in crate::driver::control) struct LogsRequest {
    #[serde(default)]
    follow: bool,
}

pub(super) async fn carry(
    request: LogsRequest,
    mut reader: Reader<'_>,
    writer: Writer<'_>,
    service: &Service,
) -> Result<Value, Stopped> {
    let ring = service.logs().ok_or_else(|| "this node keeps no log".to_owned())?;
    let woken = match request.follow {
        true => Some(ring.follow().ok_or_else(|| "too many commands follow the log".to_owned())?),
        false => None,
    };
    let mut next = ring.oldest();
    loop {
        while let Some((line, after, missed)) = ring.get(next) {
            if missed > 0 {
                write_line(writer, &json!({"event": "missed", "lines": missed})).await?;
            }
            // For as long as it takes: whoever reads slowly misses lines, and nobody else does.
            write_line(writer, &json!({"event": "log", "line": line})).await?;
            next = after;
        }
        let Some(woken) = &woken else { return Ok(json!({})) };
        let more = async { woken.recv().await.map_err(|_| "the log is gone".to_owned().into()) };
        unless_given_up(&mut reader, more).await?;
    }
}
