//! Help in Docker's style, drawn from the clap commands (docker/cli cli/cobra.go, `helpTemplate`).

use std::fmt::Write as _;

use clap::{Arg, Command};

use crate::plugin::globals;

/// Where help lines wrap when no terminal says otherwise.
pub const WIDTH: usize = 80;

/// Whether docker's own flags are shown: they belong to us only where docker does not stand before us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DockerFlags {
    Shown,
    Hidden,
}

/// How a page is to be drawn.
#[derive(Debug, Clone, Copy)]
pub struct Manner<'a> {
    /// How the user spells us, for the examples.
    pub name: &'a str,
    pub width: usize,
    pub docker_flags: DockerFlags,
}

/// How the doc comments of [`super::args`] spell us.
pub const NAME: &str = "docker ecs-ship";

/// A flag as the left and right column of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// `-e, --environment string`, indented so that the long names stand under each other.
    pub left: String,
    pub right: String,
}

/// `docker ecs-ship deploy [OPTIONS] [SERVICE...]`.
#[must_use]
pub fn usage(command: &Command, path: &str) -> String {
    let mut usage = path.to_owned();
    if flags(command).next().is_some() {
        usage.push_str(" [OPTIONS]");
    }
    if command.has_subcommands() {
        usage.push_str(" COMMAND");
    }
    for arg in command.get_positionals().filter(|arg| !arg.is_hide_set()) {
        let name = value_name(arg).unwrap_or_else(|| arg.get_id().as_str());
        let many = if matches!(arg.get_action(), clap::ArgAction::Append) { "..." } else { "" };
        let (open, close) = if arg.is_required_set() { ("", "") } else { ("[", "]") };
        write!(usage, " {open}{name}{many}{close}").expect("writing to a string cannot fail");
    }
    usage
}

/// The whole help page of `command`, which the user spells `path`.
#[must_use]
pub fn page(command: &Command, path: &str, manner: Manner<'_>) -> String {
    let Manner { name, width, docker_flags } = manner;
    let mut page = format!("Usage:  {}\n\n", usage(command, path));
    for line in wrapped(&description(command), width) {
        page.push_str(line.trim_end());
        page.push('\n');
    }
    if let Some(examples) = command.get_after_help() {
        let examples = examples.to_string().replace(NAME, name);
        write!(page, "\nExamples:\n{examples}\n").expect("writing to a string cannot fail");
    }
    let options: Vec<Row> = flags(command).map(row).collect();
    list(&mut page, "Options", &options, width);
    if command.has_subcommands() {
        let verbs: Vec<Row> = verbs(command)
            .map(|verb| Row { left: verb.get_name().to_owned(), right: text(verb.get_about()) })
            .collect();
        list(&mut page, "Commands", &verbs, width);
        if docker_flags == DockerFlags::Shown {
            let of_docker: Vec<Row> = globals::FLAGS
                .iter()
                .map(|flag| Row { left: left(flag.short, Some(flag.long), flag.value), right: flag.help.to_owned() })
                .collect();
            list(&mut page, "Docker Options (before the command)", &of_docker, width);
        }
        write!(page, "\nRun '{path} COMMAND --help' for more information on a command.\n")
            .expect("writing to a string cannot fail");
    }
    page
}

/// The verbs that are shown.
pub fn verbs(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|verb| !verb.is_hide_set())
}

/// The flags that are shown; like docker, help does not list itself.
pub fn flags(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| !arg.is_positional() && !arg.is_hide_set() && arg.get_id() != "help")
}

/// The long description, or the short one.
#[must_use]
pub fn description(command: &Command) -> String {
    text(command.get_long_about().or(command.get_about()))
}

/// A flag with its values and default, as pflag shows them.
#[must_use]
pub fn row(arg: &Arg) -> Row {
    let takes_value = arg.get_action().takes_values();
    let mut right = text(arg.get_help());
    let possible: Vec<_> = arg.get_possible_values();
    if takes_value && !possible.is_empty() {
        let names: Vec<String> = possible.iter().map(|value| format!("\"{}\"", value.get_name())).collect();
        write!(right, " ({})", names.join(", ")).expect("writing to a string cannot fail");
    }
    if takes_value && let Some(default) = arg.get_default_values().first().and_then(|value| value.to_str()) {
        let quote = if default.parse::<f64>().is_ok() { "" } else { "\"" };
        write!(right, " (default {quote}{default}{quote})").expect("writing to a string cannot fail");
    }
    let value = takes_value.then(|| value_name(arg)).flatten();
    Row { left: left(arg.get_short(), arg.get_long(), value), right }
}

fn left(short: Option<char>, long: Option<&str>, value: Option<&str>) -> String {
    let mut left = short.map_or("    ".to_owned(), |short| format!("-{short}, "));
    if let Some(long) = long {
        write!(left, "--{long}").expect("writing to a string cannot fail");
    }
    if let Some(value) = value {
        write!(left, " {value}").expect("writing to a string cannot fail");
    }
    left
}

fn value_name(arg: &Arg) -> Option<&str> {
    arg.get_value_names()?.first().map(clap::builder::Str::as_str)
}

fn text(styled: Option<&clap::builder::StyledStr>) -> String {
    styled.map(ToString::to_string).unwrap_or_default()
}

/// Two columns: the right one starts three spaces after the longest on the left, and wraps.
fn list(page: &mut String, title: &str, rows: &[Row], width: usize) {
    if rows.is_empty() {
        return;
    }
    write!(page, "\n{title}:\n").expect("writing to a string cannot fail");
    let column = rows.iter().map(|row| row.left.chars().count()).max().unwrap_or_default() + 3;
    for Row { left, right } in rows {
        // On a very narrow terminal wrapping would leave a word a line.
        let room = width.saturating_sub(column + 2).max(24);
        for (number, line) in wrapped(right, room).iter().enumerate() {
            let left = if number == 0 { left.as_str() } else { "" };
            writeln!(page, "  {left:column$}{line}").expect("writing to a string cannot fail");
        }
    }
}

/// Breaks text at spaces. A blank line stays one; so does a single line break.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args;

    #[test]
    fn help_looks_like_dockers() {
        let manner = Manner { name: NAME, width: 80, docker_flags: DockerFlags::Hidden };
        let root = args::command(NAME);
        insta::assert_snapshot!(page(&root, NAME, manner), @r#"
        Usage:  docker ecs-ship COMMAND

        Ship a repo to Amazon ECS

        Builds the image, pushes it to Amazon ECR, registers a new revision of the task
        definition, updates the service and watches until the old tasks have drained.
        What to ship is said in ship.toml.

        Commands:
          deploy            Build, push and roll out
          plan              Show what deploy would do, and change nothing
          watch             Watch a rollout that is going on
          rollback          Go back to what ran before
          stop-deployment   Ask ECS to take back a rollout that is going on
          init              Write a first ship.toml
          status            Show how services stand
          config            Check ship.toml, show what it means, and describe it to
                            editors
          rehearse          Rehearse a rollout on this machine, under load
          history           Show what a service has been through
          tasks             List the tasks of a service
          logs              Fetch the logs of a service
          run               Run a one-off task of a service
          exec              Execute a command in a running task
          sandbox           Rehearse without an AWS account
          replay            Show a recorded run again
          login             Log in to ECR
          logout            Forget the logins to ECR
          install           Make "docker ecs-ship" work on this machine
          uninstall         Remove what install has made
          version           Show the version

        Run 'docker ecs-ship COMMAND --help' for more information on a command.
        "#);
        let deploy = root.find_subcommand("deploy").expect("there is such a verb");
        insta::assert_snapshot!(page(deploy, "docker ecs-ship deploy", manner), @r#"
        Usage:  docker ecs-ship deploy [OPTIONS] [SERVICE...]

        Build, push and roll out

        Builds and pushes the images, registers new revisions and rolls the services
        out, then watches until the old tasks have drained. Nothing is built that the
        plan does not need, and a service that already runs what would be shipped is
        left alone.

        Examples:
          # Ship every service to staging
          docker ecs-ship deploy --environment staging

          # One service, without asking, into a log
          docker ecs-ship deploy --yes --progress plain api

        Options:
          -e, --environment string   Environment of ship.toml to use
          -f, --file string          File to read (default: the nearest ship.toml, from
                                     here upwards)
              --region string        AWS region
              --profile string       AWS profile
              --progress string      Set type of progress output ("auto", "tty",
                                     "plain", "json", "quiet")
              --record string        Write every event of the run to this file, one JSON
                                     object a line
          -y, --yes                  Act without asking
              --done-when string     End when the new tasks serve, the old ones are
                                     gone, or ECS is steady (default: as ship.toml says)
                                     ("live", "drained", "steady")
              --wait-for-other       Wait until another deployment of a service has
                                     ended, instead of refusing
        "#);
    }

    #[test]
    fn long_texts_wrap_under_themselves() {
        let mut page = String::new();
        let row = Row { left: "--flag".to_owned(), right: "one two three four five six seven".to_owned() };
        list(&mut page, "Options", &[row], 40);
        assert_eq!(page, "\nOptions:\n  --flag   one two three four five six\n           seven\n");
    }
}
