//! Completion scripts and the manual page, generated from the definition of the command line.

use std::io::{self, Write};

use clap::builder::PossibleValuesParser;
use clap::{Arg, Command, ValueHint};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::ask::plan::STATISTICS;
use crate::ask::registry::COLUMNS;
use crate::config::cli::command;

/// Options that take column names.
const OF_COLUMNS: [&str; 6] = ["group_by", "append_group_by", "select", "filters", "sort", "record"];

/// Writes the completion script for `shell`.
pub(super) fn completions(shell: Shell, out: &mut Vec<u8>) {
    let mut command = with_hints(command());
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "psn", &mut script);
    if shell == Shell::Fish {
        script = fixed_for_fish(&String::from_utf8_lossy(&script)).into_bytes();
    }
    out.append(&mut script);
}

/// The command with what completion offers for each value: columns, paths, or nothing.
fn with_hints(command: Command) -> Command {
    let command = command.mut_subcommands(with_hints);
    command.mut_args(|argument| {
        let is_path = matches!(argument.get_id().as_str(), "output" | "input" | "procfs" | "before" | "after");
        if OF_COLUMNS.contains(&argument.get_id().as_str()) {
            columns(argument)
        } else if is_path {
            argument.value_hint(ValueHint::AnyPath)
        } else if argument.get_action().takes_values() && argument.get_possible_values().is_empty() {
            argument.value_hint(ValueHint::Other)
        } else {
            argument
        }
    })
}

fn columns(argument: Arg) -> Arg {
    let statistics = matches!(argument.get_id().as_str(), "select" | "sort");
    let further = STATISTICS.iter().map(|(name, _)| *name).filter(move |_| statistics);
    argument.value_parser(PossibleValuesParser::new(COLUMNS.iter().map(|column| column.name).chain(further)))
}

/// Works around two faults of the generated script for fish. To find out whether a subcommand was typed it parses the command
/// line, which fails while the last option lacks its value: then it offers files. And it offers no values of positional arguments.
fn fixed_for_fish(script: &str) -> String {
    const GENERATED: &str = "    argparse -s (__fish_psn_global_optspecs) -- $cmd 2>/dev/null\n    or return\n";
    const FIXED: &str = "    argparse -s (__fish_psn_global_optspecs) -- $cmd 2>/dev/null\n    \
                          or argparse -s (__fish_psn_global_optspecs) -- $cmd value 2>/dev/null\n    or return\n";
    let shells: Vec<String> = clap::ValueEnum::value_variants().iter().map(|shell: &Shell| shell.to_string()).collect();
    let shells = shells.join(" ");
    format!(
        "{}complete -c psn -n \"__fish_psn_using_subcommand completions\" -f -a \"{shells}\"\n",
        script.replace(GENERATED, FIXED)
    )
}

/// Writes the manual page in roff: one page that includes the subcommands and their options.
///
/// # Errors
/// Those of `out`.
pub(super) fn manual(out: &mut Vec<u8>) -> io::Result<()> {
    let command = command();
    let man = Man::new(command.clone());
    man.render_title(out)?;
    man.render_name_section(out)?;
    man.render_synopsis_section(out)?;
    man.render_description_section(out)?;
    man.render_options_section(out)?;
    writeln!(out, ".SH SUBCOMMANDS")?;
    for subcommand in command.get_subcommands() {
        describe(&command, subcommand, out)?;
    }
    man.render_extra_section(out)?;
    man.render_version_section(out)
}

fn describe(command: &Command, subcommand: &Command, out: &mut Vec<u8>) -> io::Result<()> {
    let name = subcommand.get_name();
    let is_of_all = |argument: &Arg| command.get_arguments().any(|known| known.get_id() == argument.get_id());
    // psn record takes the options of psn too: they are not repeated.
    let is_like_psn = name == "record";
    let own: Vec<Arg> =
        subcommand.get_arguments().filter(|argument| !(is_like_psn && is_of_all(argument))).cloned().collect();
    let positional: Vec<String> =
        own.iter().filter(|argument| argument.is_positional()).map(|argument| format!(" {argument}")).collect();
    let options = if own.iter().any(|argument| !argument.is_positional()) { " [OPTIONS]" } else { "" };
    writeln!(out, ".SS \"psn {name}{options}{}\"", positional.concat())?;
    writeln!(out, "{}", subcommand.get_about().map(ToString::to_string).unwrap_or_default())?;
    if is_like_psn {
        writeln!(out, ".PP\nIt takes the options of psn that are about sampling and recording, and:")?;
    }
    let alone = subcommand.clone().disable_help_flag(true).disable_version_flag(true);
    let alone = alone.mut_args(|argument| {
        let is_hidden = is_like_psn && is_of_all(&argument);
        argument.hide(is_hidden)
    });
    let mut rendered = Vec::new();
    Man::new(alone).render_options_section(&mut rendered)?;
    for line in String::from_utf8_lossy(&rendered).lines().filter(|line| !line.starts_with(".SH")) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_is_one_page_with_every_option_of_every_subcommand() {
        let mut page = Vec::new();
        manual(&mut page).unwrap();
        let page = String::from_utf8(page).unwrap().replace("\\-", "-");
        assert!(page.contains(".SH SUBCOMMANDS") && !page.contains("psn-record(1)"), "{page}");
        for part in [
            "psn record",
            "psn diff",
            "psn export",
            "psn completions",
            "psn man",
            "--active",
            "--significant",
            "BEFORE",
        ] {
            assert!(page.contains(part), "{part}");
        }
    }

    #[test]
    fn completions_offer_columns_and_no_files_where_there_are_none() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            completions(shell, &mut script);
            let script = String::from_utf8(script).unwrap();
            assert!(script.contains("cmdline2") && script.contains("max_threads"), "{shell}");
        }
    }

    #[test]
    fn the_fix_still_applies_to_the_script_for_fish() {
        let mut script = Vec::new();
        completions(Shell::Fish, &mut script);
        assert!(String::from_utf8(script).unwrap().contains("or argparse -s"));
    }
}
