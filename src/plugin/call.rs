//! What was called: takes docker's argv apart, whichever way it came, so that the rest of the program
//! sees the words after our name and nothing else.

use std::ffi::{OsStr, OsString};

use super::{
    face,
    globals::{Ask, Globals, GlobalsError, Prelude},
};

/// Who started the process; docker says so by `DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    Docker,
    Hand,
}

/// What is wanted of us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    Run(Call),
    /// Shell completion; the last word is the one being typed and may be empty.
    Complete(Vec<String>),
}

/// A command line without docker's part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// How the user spells us: `docker ecs-ship`, `docker ecsship` or `docker-ecs-ship`.
    pub name: String,
    pub globals: Globals,
    /// The words after the name; a question asked in another way is spelled as a flag or verb here.
    pub words: Vec<OsString>,
}

/// The words of cobra's completion protocol; docker answers the second one as the first.
const COMPLETE: [&str; 2] = ["__complete", "__completeNoDesc"];

/// What docker's shim is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Errand {
    /// It is for us.
    Ours(Box<Request>),
    /// The first word is being completed and could become ours: ask docker, then add our name.
    OfferOurName,
    /// None of our business.
    PassOn,
}

/// Reads `words`, the arguments after the program's own name, of the standalone program.
pub fn of_standalone(words: &[OsString]) -> Result<Request, GlobalsError> {
    by_hand(face::STANDALONE, words)
}

/// Reads the arguments of a plugin called `docker-{name}`.
pub fn of_plugin(name: &str, caller: Caller, words: &[OsString]) -> Result<Request, GlobalsError> {
    let spelled = format!("docker {name}");
    match caller {
        Caller::Docker => {
            if let Some(typed) = after_complete(words) {
                // docker drops its own flags here but keeps our name: `__complete ecsship de`.
                let typed = if typed.first().is_some_and(|first| first == name) { &typed[1..] } else { typed };
                return Ok(Request::Complete(as_text(typed)));
            }
            match called(name, words)? {
                Some((prelude, rest)) => call(spelled, prelude, rest).map(Request::Run),
                // The variable leaks to everything a plugin starts; without our name in the words we
                // were started by hand.
                None => by_hand(&format!("docker-{name}"), words),
            }
        }
        // The hand-written completion of older docker packages runs the plugin itself, without the
        // name, so this is right for completion too.
        Caller::Hand => by_hand(&format!("docker-{name}"), words),
    }
}

/// Reads the arguments of `docker`, in whose place we stand.
#[must_use]
pub fn of_shim(words: &[OsString]) -> Errand {
    let name = face::SHIM_WORD;
    if let Some(typed) = after_complete(words) {
        // Whatever docker would complain about is docker's to answer.
        let Ok(prelude) = Prelude::read(typed) else { return Errand::PassOn };
        return match &typed[prelude.read..] {
            [word] if word.to_str().is_some_and(|word| name.starts_with(word)) => Errand::OfferOurName,
            [first, rest @ ..] if first == name && !rest.is_empty() => {
                Errand::Ours(Box::new(Request::Complete(as_text(rest))))
            }
            _ => Errand::PassOn,
        };
    }
    match called(name, words) {
        Ok(Some((prelude, rest))) => match call(format!("docker {name}"), prelude, rest) {
            Ok(call) => Errand::Ours(Box::new(Request::Run(call))),
            Err(_) => Errand::PassOn,
        },
        Ok(None) | Err(_) => Errand::PassOn,
    }
}

/// Finds `[globals] name …` or `[globals] help name …`; the second counts as a question.
fn called<'a>(name: &str, words: &'a [OsString]) -> Result<Option<(Prelude, &'a [OsString])>, GlobalsError> {
    let mut prelude = Prelude::read(words)?;
    Ok(match &words[prelude.read..] {
        [first, rest @ ..] if first == name => Some((prelude, rest)),
        [help, first, rest @ ..] if help == "help" && first == name => {
            prelude.asks = Some(Ask::Help);
            Some((prelude, rest))
        }
        _ => None,
    })
}

fn by_hand(spelled: &str, words: &[OsString]) -> Result<Request, GlobalsError> {
    if let Some(typed) = after_complete(words) {
        return Ok(Request::Complete(as_text(typed)));
    }
    call(spelled.to_owned(), Prelude::default(), words).map(Request::Run)
}

/// Docker's flags are also taken right after our name: people put them there, and the standalone
/// program has no other place for them.
fn call(name: String, before: Prelude, words: &[OsString]) -> Result<Call, GlobalsError> {
    let after = Prelude::read(words)?;
    let mut words = &words[after.read..];
    let mut asks = before.asks.or(after.asks);
    if let [first, rest @ ..] = words
        && first == "help"
    {
        asks = Some(Ask::Help);
        words = rest;
    }
    let words = match asks {
        None => words.to_vec(),
        Some(Ask::Help) => {
            words.iter().map(OsString::as_os_str).chain([OsStr::new("--help")]).map(Into::into).collect()
        }
        Some(Ask::Version) => vec!["version".into()],
    };
    Ok(Call { name, globals: after.globals.over(before.globals)?, words })
}

/// The words after `__complete`, when the first word is that.
fn after_complete(words: &[OsString]) -> Option<&[OsString]> {
    match words {
        [first, rest @ ..] if COMPLETE.iter().any(|word| first == word) => Some(rest),
        _ => None,
    }
}

fn as_text(words: &[OsString]) -> Vec<String> {
    words.iter().map(|word| word.to_string_lossy().into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        // `''` is the empty word, as a shell would write it.
        line.split(' ')
            .filter(|word| !word.is_empty())
            .map(|word| if word == "''" { "" } else { word }.into())
            .collect()
    }

    fn shown(request: &Request) -> String {
        match request {
            Request::Run(Call { name, globals, words }) => {
                let context = globals.context.as_deref().map_or(String::new(), |context| format!("({context})"));
                format!("{name}{context}: {}", as_text(words).join(" "))
            }
            Request::Complete(words) => format!("complete {words:?}"),
        }
    }

    #[test]
    fn docker_calls_a_plugin_with_its_own_arguments() {
        for (line, expected) in [
            ("ecsship deploy --tag x -- y", "docker ecsship: deploy --tag x -- y"),
            ("--context prod -D -l debug ecsship deploy", "docker ecsship(prod): deploy"),
            ("-H unix:///x --tls=false --config D ecsship -c prod deploy", "refused"),
            ("--config D ecsship -c prod deploy", "docker ecsship(prod): deploy"),
            ("ecsship --help", "docker ecsship: --help"),
            ("ecsship -h", "docker ecsship: --help"),
            ("help ecsship", "docker ecsship: --help"),
            ("-D help ecsship deploy", "docker ecsship: deploy --help"),
            ("--help ecsship deploy", "docker ecsship: deploy --help"),
            ("-v ecsship", "docker ecsship: version"),
            ("ecsship help sandbox up", "docker ecsship: sandbox up --help"),
            ("ecsship", "docker ecsship: "),
            ("__complete ecsship de", "complete [\"de\"]"),
            ("__complete ecsship ''", "complete [\"\"]"),
            ("deploy", "docker-ecsship: deploy"),
        ] {
            let request = of_plugin("ecsship", Caller::Docker, &words(line));
            assert_eq!(request.as_ref().map_or("refused".to_owned(), shown), expected, "{line}");
        }
    }

    #[test]
    fn a_plugin_started_by_hand_is_a_program_of_its_own() {
        for (line, expected) in [
            ("deploy api", "docker-ecsship: deploy api"),
            ("--context x deploy", "docker-ecsship(x): deploy"),
            ("__completeNoDesc de", "complete [\"de\"]"),
        ] {
            let request = of_plugin("ecsship", Caller::Hand, &words(line)).expect("nothing to complain about");
            assert_eq!(shown(&request), expected, "{line}");
        }
    }

    #[test]
    fn the_shim_takes_what_is_ours_and_nothing_else() {
        for (line, expected) in [
            ("ecs-ship deploy", "docker ecs-ship: deploy"),
            ("-c prod ecs-ship -D deploy", "docker ecs-ship(prod): deploy"),
            ("help ecs-ship deploy", "docker ecs-ship: deploy --help"),
            ("__complete ecs-ship de", "complete [\"de\"]"),
            ("__completeNoDesc --context default ecs-ship deploy ''", "complete [\"deploy\", \"\"]"),
            ("__complete ecs-ship", "offer"),
            ("__complete ecs", "offer"),
            ("__complete ''", "offer"),
            ("__complete --context default e", "offer"),
            ("__complete --context ''", "pass on"),
            ("__complete ps", "pass on"),
            ("__complete --d", "pass on"),
            ("__complete run ''", "pass on"),
            ("__complete", "pass on"),
            ("ps", "pass on"),
            ("run ecs-ship", "pass on"),
            ("help run", "pass on"),
            ("--nonsense ecs-ship", "pass on"),
            ("--context", "pass on"),
            ("", "pass on"),
        ] {
            let errand = match of_shim(&words(line)) {
                Errand::Ours(request) => shown(&request),
                Errand::OfferOurName => "offer".to_owned(),
                Errand::PassOn => "pass on".to_owned(),
            };
            assert_eq!(errand, expected, "{line}");
        }
    }
}
