//! Signals for us.

use clasp_wire::Value;
use clasp_wire::p2p::{P2pSignal, PairBody, PairFrame, RelayFrame, SealedFrame, SignalBody, SignalError};
use log::debug;

use super::{InBody, InSignal, Session, SessionOutput, is_plain};
use crate::node::Sealed;
use crate::pairing::{Fault, Letter, LetterBody};
use crate::relayed::Relayed;

impl Session {
    pub(super) fn on_signal(&mut self, value: Value<'_>) {
        let Some((from, correlation_id, body)) = signal_of(value) else { return };
        if self.id() == Some(from) || !is_plain(from) {
            return; // our own keep-alive, or an echo of ourselves, or nobody's id
        }
        let (from, correlation_id) = (from.to_owned(), correlation_id.to_owned());
        self.out.push_back(SessionOutput::Signal(InSignal { from, correlation_id, body }));
    }
}

/// What a signal says that came sealed.
pub(crate) fn body_of(value: Value<'_>) -> Option<InBody> {
    signal_of(value)
        .map(|(_, _, body)| body)
        .filter(|body| !matches!(body, InBody::Sealed(_) | InBody::Letter(_)))
}

/// The sender's session, the correlation id, and what is said.
fn signal_of(value: Value<'_>) -> Option<(&str, &str, InBody)> {
    match P2pSignal::from_value(value) {
        Ok(signal) => return Some((signal.from, signal.correlation_id, plain(&signal))),
        Err(SignalError::UnknownType) => {}
        Err(error) => {
            debug!(error:% = error; "unreadable signal");
            return None;
        }
    }
    match RelayFrame::from_value(value) {
        Ok(Some(frame)) => {
            let relayed = Relayed::from_frame(&frame);
            if relayed.is_none() {
                debug!(mode = frame.mode; "unknown routing mode");
            }
            return Some((frame.from, frame.correlation_id, InBody::Relayed(relayed?)));
        }
        Ok(None) => {}
        Err(error) => {
            debug!(error:% = error; "unreadable relayed messages");
            return None;
        }
    }
    match PairFrame::from_value(value) {
        Ok(Some(frame)) => {
            let letter = Letter { correlation_id: frame.correlation_id.to_owned(), body: letter(frame.body) };
            return Some((frame.from, frame.correlation_id, InBody::Letter(letter)));
        }
        Ok(None) => {}
        Err(error) => {
            debug!(error:% = error; "unreadable pairing message");
            return None;
        }
    }
    match SealedFrame::from_value(value) {
        Ok(Some(frame)) => {
            let device = frame.device.parse().ok()?;
            let sealed = Sealed { device, nonce: *frame.nonce, sealed: frame.sealed.to_vec() };
            Some((frame.from, frame.correlation_id, InBody::Sealed(sealed)))
        }
        Ok(None) => {
            debug!("signal of an unknown type");
            None
        }
        Err(error) => {
            debug!(error:% = error; "unreadable sealed signal");
            None
        }
    }
}

fn letter(body: PairBody<'_>) -> LetterBody {
    match body {
        PairBody::Begin { version, scanned, nonce, pake } => {
            LetterBody::Begin { version, scanned, nonce: *nonce, pake: *pake }
        }
        PairBody::Reply { nonce, pake } => LetterBody::Reply { nonce: *nonce, pake: *pake },
        PairBody::InitiatorCard(sealed) => LetterBody::InitiatorCard(sealed.to_vec()),
        PairBody::ResponderCard(sealed) => LetterBody::ResponderCard(sealed.to_vec()),
        PairBody::Fault(word) => LetterBody::Fault(Fault::of(word)),
    }
}

fn plain(signal: &P2pSignal<'_>) -> InBody {
    match signal.body {
        SignalBody::Offer { sdp } => InBody::Offer { sdp: sdp.to_owned(), edge: signal.edge },
        SignalBody::Answer { sdp } => InBody::Answer { sdp: sdp.to_owned(), edge: signal.edge },
        SignalBody::IceCandidate { candidate } => InBody::Candidate(candidate.to_owned()),
        SignalBody::Connected => InBody::Connected,
        SignalBody::Disconnected { reason } => {
            InBody::Disconnected(reason.map(|text| text.replace(char::is_control, " ")))
        }
    }
}
