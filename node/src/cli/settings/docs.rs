//! The default file, made of the settings and the help of their flags.

use clap::Command;

use super::{SETTINGS, Setting, command};

const HEAD: &str = "\
# Configuration of clasp-node. Each setting has its default below, commented out.
# An environment variable overrules this file, and a flag of `clasp-node run` both.
#
#   clasp-node config check    says what is wrong here, with its line
#   clasp-node config show     says what is in effect, and why
#
# SIGHUP makes a running node read `log` and its tokens again; the rest needs a restart.
# Secrets are not kept here: see CLASP_NODE_TURN_PASSWORD and CLASP_NODE_TOKEN.
";

/// The default file.
pub(crate) fn example() -> String {
    let command = command();
    SETTINGS.iter().fold(HEAD.to_owned(), |mut text, setting| {
        let Setting { key, env, default, expected, .. } = setting;
        let note = setting.otherwise.map_or_else(String::new, |otherwise| format!(" Default: {otherwise}."));
        let mark = if setting.otherwise.is_some() { "#" } else { "" };
        let help = help(&command, setting);
        // A setting without a default has an example, behind two marks.
        text += &format!("\n# {help}.\n# {expected}; {env}.{note}\n#{mark}{key} = {default}\n");
        text
    })
}

/// The first sentence of its help, without the note on the default.
pub(super) fn help(command: &Command, setting: &Setting) -> String {
    let id = setting.id();
    let run = command.find_subcommand("run").into_iter().flat_map(Command::get_arguments);
    let mut all = command.get_arguments().chain(run);
    let help = all.find(|arg| arg.get_id().as_str() == id).and_then(|arg| arg.get_help());
    let help = help.map(ToString::to_string).unwrap_or_default();
    let text = help.split(" [default").next().unwrap_or_default();
    let text = text.replace("; may be given several times", "").replace('\n', " ");
    text.trim_end_matches('.').to_owned()
}
