//! The reference page of the command line, made of the same clap commands as the help.

use std::fmt::Write as _;

use super::{args, help};
use crate::{env, exit::Exit, plugin::globals};

/// `docs/reference/cli.md`.
#[must_use]
pub fn commands() -> String {
    let name = help::NAME;
    let root = args::command(name);
    let mut page = String::from(
        "# Command line\n\nMade from the program itself; `UPDATE=1 cargo test --test suite` rewrites it.\n\n\
         The same commands answer to `docker ecs-ship`, `docker ecsship` and `docker-ecs-ship`.\n",
    );
    command(&mut page, &root, name);
    page.push_str("\n## Docker's own flags\n\nThey stand before the name, `docker --context staging ecs-ship deploy`, or right after it.\n\n");
    page.push_str("| Flag | Description |\n|---|---|\n");
    for flag in globals::FLAGS {
        let short = flag.short.map(|short| format!("`-{short}`, ")).unwrap_or_default();
        line(&mut page, &format!("| {short}`--{}` | {} |", flag.long, flag.help));
    }
    page
}

/// `docs/reference/exit-codes.md`.
#[must_use]
pub fn exit_codes() -> String {
    let mut page = String::from(
        "# Exit codes\n\nA number never changes its meaning. The Docker CLI passes it through.\n\n| Code | Meaning |\n|---|---|\n",
    );
    for (exit, meaning) in Exit::ALL {
        line(&mut page, &format!("| {} | {meaning} |", exit.code()));
    }
    page
}

/// `docs/reference/environment.md`.
#[must_use]
pub fn environment() -> String {
    let mut page = String::from(
        "# Environment variables\n\nAn empty variable counts as one that is not set.\n\n| Variable | Meaning |\n|---|---|\n",
    );
    for (name, meaning) in env::ALL {
        line(&mut page, &format!("| `{name}` | {} |", meaning.trim()));
    }
    page
}

fn command(page: &mut String, command: &clap::Command, path: &str) {
    line(page, &format!("\n## {path}\n\n```\n{}\n```\n\n{}", help::usage(command, path), help::description(command)));
    if let Some(examples) = command.get_after_help() {
        line(page, &format!("\n```console\n{}\n```", unindented(&examples.to_string())));
    }
    let mut flags = help::flags(command).map(help::row).peekable();
    if flags.peek().is_some() {
        page.push_str("\n| Flag | Description |\n|---|---|\n");
        for row in flags {
            line(page, &format!("| `{}` | {} |", row.left.trim(), row.right.replace('|', "\\|")));
        }
    }
    for verb in help::verbs(command) {
        self::command(page, verb, &format!("{path} {}", verb.get_name()));
    }
}

fn unindented(text: &str) -> String {
    text.lines().map(|line| line.strip_prefix("  ").unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

fn line(page: &mut String, text: &str) {
    writeln!(page, "{text}").expect("writing to a string cannot fail");
}
