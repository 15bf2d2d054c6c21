//! `clasp-node pairs`, `forget` and `rename`: asked of the node that runs here, or done in the state directory where none runs.

use clasp_node::driver::control::{self, AskError, Place};
use clasp_node::driver::store::{Access, State};
use clasp_node::{Pair, Pairs};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Failure, ForgetArgs, PlaceArgs, RenameArgs, output};

#[derive(Deserialize)]
struct Row {
    device: String,
    name: String,
    provisioned: bool,
    linked: bool,
}

pub(super) async fn list(args: PlaceArgs) -> Result<(), Failure> {
    let listed = match ask(&args, &json!({"cmd": "pairs"})).await? {
        Some(listed) => listed,
        None => args.state.open(Access::Read)?.pairs.iter().map(row).collect(),
    };
    if args.json {
        output::object(&listed)?;
        return Ok(());
    }
    let rows = Vec::<Row>::deserialize(&listed)?;
    if rows.is_empty() {
        output::line("paired with no device; `clasp-node pair` does that")?;
        return Ok(());
    }
    let rows: Vec<_> = rows
        .into_iter()
        .map(|Row { device, name, provisioned, linked }| {
            let from = if provisioned { "pairs.d" } else { "paired" };
            [name, device, from.to_owned(), if linked { "linked" } else { "-" }.to_owned()]
        })
        .collect();
    output::table(["NAME", "DEVICE", "FROM", "LINK"], &rows)?;
    Ok(())
}

pub(super) async fn forget(args: ForgetArgs) -> Result<(), Failure> {
    let ForgetArgs { name, pairs: args } = args;
    let forgotten = match ask(&args, &json!({"cmd": "forget", "name": name})).await? {
        Some(forgotten) => forgotten,
        None => change(&args, &name, |pairs, pair| {
            pairs.remove(pair.id()).map_err(|error| error.to_string())?;
            Ok(row(pair))
        })?,
    };
    told(&args, "forgot", &forgotten)
}

pub(super) async fn rename(args: RenameArgs) -> Result<(), Failure> {
    let RenameArgs { name, to, pairs: args } = args;
    let renamed = match ask(&args, &json!({"cmd": "rename", "name": name, "to": to})).await? {
        Some(renamed) => renamed,
        None => change(&args, &name, |pairs, pair| {
            pairs.rename(pair.id(), &to).map_err(|error| error.to_string())?;
            let mut renamed = pair.clone();
            renamed.name.clone_from(&to);
            Ok(row(&renamed))
        })?,
    };
    told(&args, "renamed", &renamed)
}

/// `None` where no node runs.
async fn ask(args: &PlaceArgs, request: &Value) -> Result<Option<Value>, Failure> {
    match control::ask(&Place::choose(args.control.control.clone()), request).await {
        Ok(answer) => Ok(Some(answer)),
        Err(AskError::NotRunning(_) | AskError::Place(_)) => Ok(None),
        Err(AskError::Declined(why)) => Err(Failure::Failed(why)),
        Err(error) => Err(error.into()),
    }
}

fn change(
    args: &PlaceArgs,
    name: &str,
    change: impl FnOnce(&mut Pairs, &Pair) -> Result<Value, String>,
) -> Result<Value, Failure> {
    let State { mut pairs, mut store, .. } = args.state.open(Access::Write)?;
    let found = pairs.by_name(name).or_else(|| pairs.by_id(name.parse().ok()?)).cloned();
    let pair = found.ok_or_else(|| Failure::Failed(format!("no paired device is called {name:?}")))?;
    let changed = change(&mut pairs, &pair).map_err(Failure::Failed)?;
    store.save_pairs(&pairs)?;
    Ok(changed)
}

fn row(pair: &Pair) -> Value {
    let (device, name, provisioned) = (pair.id(), &pair.name, pair.provisioned);
    json!({"device": device, "name": name, "provisioned": provisioned, "linked": false})
}

fn told(args: &PlaceArgs, what: &str, row: &Value) -> Result<(), Failure> {
    if args.json {
        output::object(row)?;
    } else {
        let Row { device, name, .. } = Row::deserialize(row)?;
        output::line(&format!("{what} {name} ({device})"))?;
    }
    Ok(())
}
