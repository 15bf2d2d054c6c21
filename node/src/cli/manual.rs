//! `clasp-node manual`: what the command line says of itself, as man pages and for the shells.

use std::fs;
use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::Shell;

use super::Failure;

/// The shells whose completions are packaged, and the file each looks for.
const SHELLS: [(Shell, &str); 3] =
    [(Shell::Bash, "clasp-node"), (Shell::Zsh, "_clasp-node"), (Shell::Fish, "clasp-node.fish")];

#[derive(Debug, Args)]
pub(super) struct ManualArgs {
    /// Where to: `man` and a folder for each shell are made there
    folder: PathBuf,
}

pub(super) fn run(args: &ManualArgs, command: Command) -> Result<(), Failure> {
    for (shell, name) in SHELLS {
        let folder = args.folder.join(shell.to_string());
        fs::create_dir_all(&folder)?;
        let mut file = fs::File::create(folder.join(name))?;
        clap_complete::generate(shell, &mut command.clone(), "clasp-node", &mut file);
    }
    let pages = args.folder.join("man");
    fs::create_dir_all(&pages)?;
    clap_mangen::generate_to(command.disable_help_subcommand(true), pages)?; // a page for each command, none for `help`
    Ok(())
}
