//! The reference page of the command line, made of the same clap commands as the help.

use std::fmt::Write as _;

use super::{args, help};
use crate::{
    config::file::{
        BeforeTable, CheckTable, EnvironmentTable, File, ImageTable, KeyOutline, RolloutTable, SandboxTable,
        SecretTable, ServiceTable, Table as _, TimeoutsTable,
    },
    env,
    exit::Exit,
    plugin::globals,
};

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

/// `docs/reference/ship-toml.md`.
#[must_use]
pub fn ship_toml() -> String {
    let mut page = String::from(SHIP_TOML);
    for (head, about, keys) in [
        ("The file itself", "Keys outside of any table.", File::KEYS),
        ("`[images.X]`", "What to build, and where to push it. `X` is a name of your choice.", ImageTable::KEYS),
        (
            "`secrets` of an image",
            "One of the two for each secret; in the Dockerfile, `RUN --mount=type=secret,id=NAME` has it in `/run/secrets/NAME`.",
            SecretTable::KEYS,
        ),
        (
            "`[[images.X.checks]]`",
            "Either `target` or `run`; all of them must succeed before anything is pushed.",
            CheckTable::KEYS,
        ),
        ("`[services.X]`", "An ECS service and the image it gets.", ServiceTable::KEYS),
        (
            "`[services.X.before]`",
            "A task of the new revision that must succeed before the service is updated; migrations, as a rule.",
            BeforeTable::KEYS,
        ),
        ("`[services.X.rollout]`", "How its rollout is watched.", RolloutTable::KEYS),
        (
            "`timeouts` of a rollout",
            "Draining has a budget of its own, worked out from the target groups.",
            TimeoutsTable::KEYS,
        ),
        (
            "`[sandbox]` and `[services.X.sandbox]`",
            "How the sandbox makes a service that it does not have; on AWS none of this is used.",
            SandboxTable::KEYS,
        ),
        (
            "`[environments.X]`",
            "A place to ship to. Any key of a service or an image can be different there, in `[environments.X.services.Y]` and `[environments.X.images.Y]`.",
            EnvironmentTable::KEYS,
        ),
    ] {
        line(&mut page, &format!("\n## {head}\n\n{about}\n\n| Key | Meaning | Example |\n|---|---|---|"));
        for KeyOutline { name, documentation, example, kind: _, shape: _ } in keys {
            let words: Vec<_> = documentation.split_whitespace().collect();
            line(&mut page, &format!("| `{name}` | {} | `{name} = {example}` |", words.join(" ")));
        }
    }
    page
}

const SHIP_TOML: &str = "# ship.toml

Made from the program itself; `UPDATE=1 cargo test --test suite` rewrites it.

The smallest file that ships a service which already runs:

```toml
format = 1

[images.api]
repository = \"jobs/api\"

[services.api]
cluster = \"jobs\"

[environments.production]
region = \"eu-west-1\"
```

The file is found from the working folder upwards, or named by `--file` or `ECS_SHIP_FILE`. Paths in it are relative to it. All mistakes
are reported at once; an unknown key is one.

What wins: a flag, then an `ECS_SHIP_*` environment variable, then the table of the environment, then the table of the service or image,
then the default. `AWS_REGION`, `AWS_DEFAULT_REGION` and `AWS_PROFILE` are asked where nothing else says anything.

A text may hold `${git.commit}`, `${git.branch}`, `${git.tag}`, `${env.NAME}`, `${environment}`, `${account}`, `${region}`, `${build}` (the
commit, with the time added when there are changes that are not committed) and the names of other keys of its table; `${env.NAME:-default}`
gives a default, and `$$` is a dollar. A variable that is not set is an error.
";

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
