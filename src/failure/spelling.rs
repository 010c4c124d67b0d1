//! How the user spells us. Hints are written with the name of the standalone program; what is told is what can be typed
//! where the user is: `docker ecs-ship` behind docker, and for the environment that was asked for.

use std::{borrow::Cow, sync::LazyLock};

use regex::{Captures, Regex};

use crate::{cli::args, plugin::complete};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spelling<'a> {
    /// `docker ecs-ship`.
    pub name: &'a str,
    /// As it was typed; one that a variable names is found again without being typed.
    pub environment: Option<&'a str>,
}

impl Spelling<'static> {
    /// As the standalone program, which is always there.
    pub const STANDALONE: Self = Self { name: crate::plugin::face::STANDALONE, environment: None };
}

impl Spelling<'_> {
    /// The same hint with our commands in the user's spelling.
    pub(crate) fn respell(self, hint: &str) -> Cow<'_, str> {
        static COMMAND: LazyLock<Regex> = LazyLock::new(|| {
            Regex::new("`docker-ecs-ship ([a-z-]+)( --environment )?").expect("the pattern is a constant that parses")
        });
        let respelled = COMMAND.replace_all(hint, |found: &Captures<'_>| {
            let verb = &found[1];
            // What makes the other spellings work, and takes them away.
            if matches!(verb, "install" | "uninstall") {
                return found[0].to_owned();
            }
            // Some hints are about another environment than the one that was asked for.
            let named = found.get(2).map(|named| named.as_str().to_owned());
            let asked = self.environment.filter(|_| takes_environment(verb));
            let environment = named.or_else(|| asked.map(|name| format!(" --environment {name}"))).unwrap_or_default();
            format!("`{} {verb}{environment}", self.name)
        });
        Cow::Owned(respelled.into_owned())
    }
}

fn takes_environment(verb: &str) -> bool {
    let command = args::sketch(crate::plugin::face::STANDALONE);
    let verb = command.find_subcommand(verb);
    verb.is_some_and(|verb| verb.get_arguments().any(|arg| arg.get_id() == complete::ENVIRONMENT))
}

#[cfg(test)]
mod tests {
    use super::Spelling;

    #[test]
    fn a_command_in_a_hint_is_what_the_user_would_type() {
        let hint = "see `docker-ecs-ship tasks web`, start `docker-ecs-ship sandbox up`, or `docker-ecs-ship install`";
        let typed = Spelling { name: "docker ecs-ship", environment: Some("production") };
        assert_eq!(
            typed.respell(hint),
            "see `docker ecs-ship tasks --environment production web`, start `docker ecs-ship sandbox up`, or \
             `docker-ecs-ship install`"
        );
        assert_eq!(
            typed.respell("see `docker-ecs-ship tasks --environment staging web`"),
            "see `docker ecs-ship tasks --environment staging web`"
        );
        assert_eq!(Spelling::STANDALONE.respell(hint), hint);
        assert_eq!(typed.respell("install docker-ecs-ship"), "install docker-ecs-ship");
    }
}
