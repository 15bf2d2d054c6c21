//! Which STUN and TURN servers a command uses. Passwords never stand on the command line: everybody on the host can read that.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use clasp_node::{IceServer, ServerAddress};

use super::Failure;

/// Where the password is when no file is given.
const PASSWORD_VARIABLE: &str = "CLASP_NODE_TURN_PASSWORD";

/// More than any password; the rest of a wrong file is not read.
const MAX_PASSWORD_FILE: u64 = 1024;

/// How peers behind a NAT are reached. Nobody is asked anything unless told so here.
#[derive(Debug, Args)]
pub(super) struct IceArgs {
    /// STUN server to ask for our public address; may be given several times
    #[arg(long, value_name = "HOST[:PORT]")]
    stun: Vec<ServerAddress>,
    /// TURN server to relay where nothing else works; may be given several times
    #[arg(long, value_name = "HOST[:PORT]")]
    turn: Vec<ServerAddress>,
    /// User on the TURN servers; the password is in $CLASP_NODE_TURN_PASSWORD, or in --turn-password-file
    #[arg(long, value_name = "NAME")]
    turn_user: Option<String>,
    /// File whose first line is the password on the TURN servers
    #[arg(long, value_name = "FILE")]
    turn_password_file: Option<PathBuf>,
    /// Tell peers the relayed address only, so that they do not learn ours
    #[arg(long)]
    turn_only: bool,
}

impl IceArgs {
    pub(super) fn servers(&self) -> Result<Vec<IceServer>, Failure> {
        // Not left to the parser: what the configuration file says does not count as given there.
        let lone = [
            (self.turn_user.is_some(), "turn-user"),
            (self.turn_password_file.is_some(), "turn-password-file"),
            (self.turn_only, "turn-only"),
        ];
        match (self.turn.is_empty(), lone.iter().find(|(is_set, _)| *is_set), &self.turn_user) {
            (true, Some((_, option)), _) => {
                return Err(Failure::Usage(format!("--{option} needs a TURN server: --turn")));
            }
            (false, _, None) => return Err(Failure::Usage("--turn needs a user: --turn-user".to_owned())),
            _ => {}
        }
        let mut servers: Vec<_> = self.stun.iter().cloned().map(IceServer::stun).collect();
        if let (Some(user), false) = (&self.turn_user, self.turn.is_empty()) {
            let password = self.password()?;
            servers.extend(self.turn.iter().cloned().map(|at| IceServer::turn(at, user, &password)));
        }
        Ok(servers)
    }

    pub(super) fn turn_only(&self) -> bool {
        self.turn_only
    }

    fn password(&self) -> Result<String, Failure> {
        match (&self.turn_password_file, std::env::var(PASSWORD_VARIABLE)) {
            (Some(file), _) => {
                first_line(file).map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))
            }
            (None, Ok(password)) => Ok(password),
            (None, Err(_)) => Err(Failure::Usage(format!(
                "--turn needs a password: set {PASSWORD_VARIABLE}, or give --turn-password-file"
            ))),
        }
    }
}

fn first_line(file: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(file)?.take(MAX_PASSWORD_FILE).read_to_string(&mut text)?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
