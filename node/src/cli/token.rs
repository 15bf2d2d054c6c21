//! `clasp-node token`: asked of the node that runs here, whose router then knows at once, or done in the state directory where none runs.

use clap::{Args, Subcommand};
use clasp_node::driver::control::{self, AskError, Place};
use clasp_node::driver::store::Wait;
use clasp_node::driver::tokens::{self, TokenInfo};
use router_lite::TokenScope;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Failure, PlaceArgs, output};

#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Make a token, and print it: it is kept nowhere, and cannot be shown again
    Add(AddArgs),
    /// List the tokens by their names
    List(PlaceArgs),
    /// Take a token back: whoever uses it is disconnected
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
struct AddArgs {
    /// What to call it, such as who is to have it
    name: String,
    /// What it allows: `read`, `write` or `admin`, and where, as in `read:/pub/**`; may be given several times
    #[arg(long, value_name = "ACTION:PATTERN", required = true, value_delimiter = ',')]
    scope: Vec<TokenScope>,
    #[command(flatten)]
    place: PlaceArgs,
}

#[derive(Debug, Args)]
struct RevokeArgs {
    /// Its name, as `token list` shows it
    name: String,
    #[command(flatten)]
    place: PlaceArgs,
}

/// As the node tells them.
#[derive(Deserialize)]
struct Row {
    name: String,
    scopes: Vec<String>,
}

pub(super) async fn run(args: TokenArgs) -> Result<(), Failure> {
    match args.command {
        TokenCommand::Add(args) => add(args).await,
        TokenCommand::List(args) => list(args).await,
        TokenCommand::Revoke(args) => revoke(args).await,
    }
}

async fn add(args: AddArgs) -> Result<(), Failure> {
    let AddArgs { name, scope, place } = args;
    let scopes: Vec<_> = scope.iter().map(ToString::to_string).collect();
    if let Some(made) = place.ask(&json!({"cmd": "token_add", "name": name, "scopes": scopes})).await? {
        return show(&made, place.json);
    }
    let (made, _) = tokens::add(&place.state.tokens(), &name, &scope, &[], Wait::UntilFree)?;
    show(&serde_json::to_value(made)?, place.json)
}

fn show(made: &Value, as_json: bool) -> Result<(), Failure> {
    if as_json {
        output::object(made)?;
        return Ok(());
    }
    let token = made.get("token").and_then(Value::as_str);
    output::line(token.ok_or_else(|| Failure::Failed("the node told no token".to_owned()))?)?;
    eprintln!("clasp-node: this is the only time the token is shown");
    Ok(())
}

async fn list(args: PlaceArgs) -> Result<(), Failure> {
    let listed = match args.ask(&json!({"cmd": "token_list"})).await? {
        Some(listed) => listed,
        None => {
            let tokens = args.state.tokens().read()?;
            serde_json::to_value(tokens.iter().map(TokenInfo::from).collect::<Vec<_>>())?
        }
    };
    if args.json {
        output::object(&listed)?;
        return Ok(());
    }
    let rows = Vec::<Row>::deserialize(&listed)?;
    if rows.is_empty() {
        output::line("no tokens; `clasp-node token add` makes one")?;
        return Ok(());
    }
    let rows: Vec<_> = rows.into_iter().map(|Row { name, scopes }| [name, scopes.join(",")]).collect();
    output::table(["NAME", "SCOPES"], &rows)?;
    Ok(())
}

async fn revoke(args: RevokeArgs) -> Result<(), Failure> {
    let RevokeArgs { name, place } = args;
    let revoked = match place.ask(&json!({"cmd": "token_revoke", "name": name})).await? {
        Some(revoked) => revoked,
        None => {
            let (revoked, _) = place.state.tokens().revoke(&name, &[], Wait::UntilFree)?;
            serde_json::to_value(TokenInfo::from(&revoked))?
        }
    };
    if place.json {
        output::object(&revoked)?;
    } else {
        output::line(&format!("revoked {}", Row::deserialize(&revoked)?.name))?;
    }
    Ok(())
}

impl PlaceArgs {
    /// `None` where no node runs.
    async fn ask(&self, request: &Value) -> Result<Option<Value>, Failure> {
        match control::ask(&Place::choose(self.control.control.clone()), request).await {
            Ok(answer) => Ok(Some(answer)),
            Err(AskError::NotRunning(_) | AskError::Place(_)) => Ok(None),
            Err(AskError::Declined(why)) => Err(Failure::Failed(why)),
            Err(error) => Err(error.into()),
        }
    }
}
