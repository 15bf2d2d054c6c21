//! Tokens: who presents one, and who has presented one that is known no more.

use super::Router;
use crate::{
    access::{AccessToken, Token, TokenTable},
    close::CloseReason,
    counters::Refusal,
    slots::Slot,
};

/// Why a HELLO's token is refused, as the stock router words it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenRefused {
    Format,
    Unknown,
}

impl TokenRefused {
    const fn text(self) -> &'static str {
        match self {
            Self::Format => "Unrecognized token format",
            Self::Unknown => "Invalid token: token not found",
        }
    }
}

impl Router {
    /// The token that a HELLO carries, if it carries one. Whoever presents one, from wherever, means it to be good.
    pub(super) fn present(&self, text: &str) -> Result<Option<AccessToken>, TokenRefused> {
        if text.is_empty() {
            return Ok(None);
        }
        let token: Token = text.parse().map_err(|_| TokenRefused::Format)?;
        self.tokens.present(&token).cloned().map(Some).ok_or(TokenRefused::Unknown)
    }

    /// Stock clients wait for ever after this ERROR unless the connection is closed.
    pub(super) fn refuse_token(&mut self, slot: Slot, why: TokenRefused) {
        self.tally.note(self.now.instant, Refusal::Token, &why.text());
        self.reply_error(slot, 300, why.text(), None);
        self.close(slot, CloseReason::Token);
    }

    /// Sessions whose token is no more what it was are closed: what they have subscribed to may not be theirs any more.
    /// They come back with what applies then.
    pub(super) fn replace_tokens(&mut self, tokens: TokenTable) {
        self.tokens = tokens;
        let is_outdated = |token: &AccessToken| self.tokens.find(token.hash()) != Some(token);
        let outdated: Vec<Slot> = self
            .slots
            .iter()
            .filter(|(_, connection)| {
                connection.session().and_then(|session| session.token.as_ref()).is_some_and(is_outdated)
            })
            .map(|(slot, _)| slot)
            .collect();
        for slot in outdated {
            if let Some(id) = self.slots.get(slot).map(|connection| connection.id) {
                self.tally.note(self.now.instant, Refusal::Revoked, &id);
            }
            self.reply_error(slot, 300, "Token was revoked", None);
            self.close(slot, CloseReason::Revoked);
        }
    }
}
