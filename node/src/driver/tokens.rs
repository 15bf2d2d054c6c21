//! The tokens of the router in this process: changed while it runs, and kept.

use std::cell::RefCell;
use std::time::Duration;

use log::{debug, warn};
use router_lite::{AccessToken, Server, TokenHash, TokenScope, TokenTable};
use serde::Serialize;
use smol::Timer;

use super::clock;
use super::store::{StoreError, TokenError, TokenStore, Wait};

/// How often it is looked whether another process has changed the tokens.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// A token, as far as it may be told again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokenInfo {
    /// What it is called.
    pub name: String,
    /// What it allows, as in `read:/pub/**`.
    pub scopes: Vec<String>,
}

/// A token that was made. This is the only time it is told.
#[derive(Clone, Serialize)]
pub struct NewToken {
    /// What it is called.
    pub name: String,
    /// What it allows, as in `read:/pub/**`.
    pub scopes: Vec<String>,
    /// The secret.
    pub token: String,
}

/// Why a token was not made, or not taken back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenChangeError {
    /// It could not be changed or kept.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// It is taken back, but will be there again after a restart.
    #[error("revoked until this node ends, not longer: {0}")]
    Unkept(TokenError),
    /// No token could be made.
    #[error("no randomness from the operating system: {0}")]
    Random(std::io::Error),
}

impl std::fmt::Debug for NewToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, scopes, token: _ } = self;
        f.debug_struct("NewToken").field("name", name).field("scopes", scopes).finish_non_exhaustive()
    }
}

impl From<&AccessToken> for TokenInfo {
    fn from(token: &AccessToken) -> Self {
        let scopes = token.scopes().iter().map(ToString::to_string).collect();
        Self { name: token.name().to_owned(), scopes }
    }
}

/// Makes a token and keeps what is to be kept of it in `store`.
///
/// # Errors
/// When it cannot be made or is not stored.
pub fn add(
    store: &TokenStore,
    name: &str,
    scopes: &[TokenScope],
    gone: &[TokenHash],
    wait: Wait,
) -> Result<(NewToken, TokenTable), TokenChangeError> {
    let token = clock::token().map_err(TokenChangeError::Random)?;
    let table = store.add(name, &token, scopes, gone, wait)?;
    let scopes = scopes.iter().map(ToString::to_string).collect();
    Ok((NewToken { name: name.to_owned(), scopes, token: token.secret() }, table))
}

/// The tokens in force, and where they are kept.
#[derive(Debug)]
pub struct TokenDesk {
    store: TokenStore,
    server: Server,
    live: RefCell<TokenTable>,
    /// Taken back, but still stored. At most as many as there may be tokens.
    gone: RefCell<Vec<TokenHash>>,
}

impl TokenDesk {
    /// For a router that knows the tokens `live`, which are those of `store`.
    #[must_use]
    pub fn new(store: TokenStore, server: Server, live: TokenTable) -> Self {
        Self { store, server, live: RefCell::new(live), gone: RefCell::default() }
    }

    /// The tokens in force.
    #[must_use]
    pub fn list(&self) -> Vec<TokenInfo> {
        self.live.borrow().iter().map(TokenInfo::from).collect()
    }

    /// Makes a token that is good at once.
    ///
    /// # Errors
    /// When it is not stored: it would be lost by a restart.
    pub fn add(&self, name: &str, scopes: &[TokenScope]) -> Result<NewToken, TokenChangeError> {
        let gone = self.gone.borrow().clone();
        let (token, stored) = add(&self.store, name, scopes, &gone, Wait::Not)?;
        self.gone.take();
        self.apply(stored);
        Ok(token)
    }

    /// Takes a token back. Sessions with it are closed at once, whether that can be stored or not.
    ///
    /// # Errors
    /// When there is none of that name, and when it will be there again after a restart.
    pub fn revoke(&self, name: &str) -> Result<TokenInfo, TokenChangeError> {
        let gone = self.gone.borrow().clone();
        let mut live = self.live.borrow().clone();
        let known = live.remove(name);
        match (self.store.revoke(name, &gone, Wait::Not), known) {
            (Ok((token, stored)), _) => {
                self.gone.take();
                self.apply(stored);
                Ok((&token).into())
            }
            // Somebody has taken it out of the file.
            (Err(TokenError::Unknown(_)), Some(token)) => {
                self.apply(live);
                Ok((&token).into())
            }
            (Err(error), Some(token)) => {
                self.gone.borrow_mut().push(*token.hash());
                self.apply(live);
                Err(TokenChangeError::Unkept(error))
            }
            (Err(error), None) => Err(error.into()),
        }
    }

    /// Takes over what other processes store, for ever. What cannot be read or understood changes nothing.
    pub async fn follow(&self) {
        let mut seen = None;
        loop {
            // Before it is read: a change in between is seen the next time.
            let stamp = self.store.stamp();
            if seen.replace(stamp) != Some(stamp) {
                self.look();
            }
            Timer::after(LOOK_EVERY).await;
        }
    }

    /// Takes over what is stored, at once. What cannot be read or understood changes nothing.
    pub fn look(&self) {
        match self.reload() {
            Ok(()) => debug!("{} tokens are known", self.live.borrow().len()),
            Err(error) => warn!("the tokens stay as they were: {error}"),
        }
    }

    fn reload(&self) -> Result<(), StoreError> {
        let mut stored = self.store.read()?;
        self.gone.borrow_mut().retain(|hash| stored.remove_hash(hash).is_some());
        self.apply(stored);
        Ok(())
    }

    fn apply(&self, tokens: TokenTable) {
        self.live.replace(tokens.clone());
        self.server.set_tokens(tokens);
    }
}
