//! Commands that the node that runs here carries out, where there is one.

use clap::{ArgMatches, Args, parser::ValueSource};
use clasp_node::driver::control::{AskError, Conversation, Frame, FrameReader, Place};
use serde_json::Value;
use smol::io::AsyncRead;

use super::{ClientArgs, Failure, NodeArgs};

/// Whose node a command is to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// The one that runs here, and one of its own where none runs.
    Either,
    /// One of its own: the command line says what it is to be like.
    Own,
    /// The one that runs here.
    Running,
}

impl Choice {
    /// What the command line asks for; the environment asks for nothing.
    pub(super) fn of(matches: &ArgMatches) -> Result<Self, Failure> {
        let Some((_, matches)) = matches.subcommand() else { return Ok(Self::Either) };
        let given = |id: &&str| {
            let is_known = matches.ids().any(|known| known.as_str() == *id);
            is_known && matches.value_source(id) == Some(ValueSource::CommandLine)
        };
        let of_a_node = NodeArgs::augment_args(clap::Command::new("node"));
        let mut own = of_a_node.get_arguments().map(|arg| arg.get_id().as_str()).chain(["router"]);
        match (own.find(|id| given(id)), given(&"control")) {
            (Some(id), true) => {
                let option = id.replace('_', "-");
                Err(Failure::Usage(format!(
                    "--control asks the node that runs here, which is as it is; --{option} is for a node of one's own"
                )))
            }
            (Some(_), false) => Ok(Self::Own),
            (None, true) => Ok(Self::Running),
            (None, false) => Ok(Self::Either),
        }
    }
}

/// Asks the node that runs here; `None` if the command is to do it with a node of its own.
pub(super) async fn ask(
    args: &ClientArgs,
    choice: Choice,
    request: &Value,
) -> Result<Option<Conversation>, Failure> {
    if choice == Choice::Own {
        return Ok(None);
    }
    match Conversation::begin(&Place::choose(args.control.control.clone()), request).await {
        Ok(conversation) => Ok(Some(conversation)),
        Err(error @ (AskError::NotRunning(_) | AskError::Place(_))) if choice == Choice::Either => {
            log::info!("{error}; a node of our own does it");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// A line from the node, or how it ended.
pub(super) enum Told {
    Event(Value),
    Ok(Value),
}

/// What the node tells next, where it sends no data.
///
/// # Errors
/// What it could not do, or that it is gone.
pub(super) async fn told(frames: &mut FrameReader<impl AsyncRead + Unpin>) -> Result<Told, Failure> {
    match frames.frame().await {
        Ok(Some(Frame::Line(line))) => read(line),
        Ok(Some(_)) => Err(Failure::Failed("the node sends data that nobody asked for".to_owned())),
        Ok(None) => Err(Failure::Failed(GONE.to_owned())),
        Err(error) => Err(gone(&error)),
    }
}

/// What a line from the node says.
pub(super) fn read(line: Value) -> Result<Told, Failure> {
    match (line.get("ok"), line.get("error").and_then(Value::as_str)) {
        (Some(value), _) => Ok(Told::Ok(value.clone())),
        (None, Some(why)) => Err(Failure::Failed(why.to_owned())),
        (None, None) => Ok(Told::Event(line)),
    }
}

/// The node ended in the middle of it.
pub(super) const GONE: &str = "the node that runs here has ended, or does not talk to this user";

pub(super) fn gone(error: &std::io::Error) -> Failure {
    Failure::Failed(format!("{GONE}: {error}"))
}

/// A text in what the node tells.
pub(super) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// A number in it.
pub(super) fn number(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or_default()
}
