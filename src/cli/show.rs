//! What verbs show besides a run: warnings, questions, and the choice of the face.

use std::io::{self, Write as _};

use tokio::sync::oneshot;

use super::{
    Door,
    args::{Display, Progress},
    outlook::Paper,
    prepare::Understood,
    surroundings::{self, Stream},
};
use crate::{
    config::{
        error::{self, Look},
        spec::Spec,
    },
    env,
    failure::{Failure, Shown},
    prose::{columns, nearest},
    report::{
        self, Mode, Outlets, Report, Size, Terminal,
        style::{Colour, Letters, Style},
    },
};

/// Milliseconds since the Unix epoch: the clock that runs are told by.
#[expect(clippy::disallowed_methods, reason = "the door looks at the clock and hands the time on")]
pub(crate) fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// What standard error can show.
pub(crate) fn style(door: &Door) -> Style {
    style_of(door.surroundings.stderr, door)
}

/// The room for a page on one of the streams. A log has no width, but people read it.
pub(crate) fn paper(stream: Stream, door: &Door) -> Paper {
    let size = door.surroundings.terminal_size.filter(|_| stream == Stream::Terminal);
    let width = size.map_or(100, |size| usize::from(size.columns).clamp(40, 120));
    Paper { style: style_of(stream, door), width }
}

fn style_of(stream: Stream, door: &Door) -> Style {
    let surroundings = &door.surroundings;
    let colour = match stream {
        Stream::Terminal if surroundings.variables.get(env::NO_COLOR).is_none() => Colour::On,
        Stream::Terminal | Stream::Redirected => Colour::Off,
    };
    Style { colour, letters: letters(door) }
}

/// What standard output can show, where a report for people goes.
pub(crate) fn data_style(door: &Door) -> Style {
    let surroundings = &door.surroundings;
    let colour = match surroundings.stdout {
        Stream::Terminal if surroundings.variables.get(env::NO_COLOR).is_none() => Colour::On,
        Stream::Terminal | Stream::Redirected => Colour::Off,
    };
    Style { colour, letters: letters(door) }
}

/// The width of a report.
pub(crate) fn width(door: &Door) -> usize {
    door.surroundings.terminal_size.map_or(100, |size| usize::from(size.columns))
}

/// The locale's encoding, as the C library finds it: the first of three variables that is set.
fn letters(door: &Door) -> Letters {
    let variables = &door.surroundings.variables;
    let locale = [env::LC_ALL, env::LC_CTYPE, env::LANG].into_iter().find_map(|name| variables.get(name));
    match locale.map(str::to_ascii_uppercase) {
        Some(locale) if locale.contains("UTF-8") || locale.contains("UTF8") => Letters::Unicode,
        // Nothing said is UTF-8 in the log of any CI; `C` and `POSIX` say ASCII.
        None => Letters::Unicode,
        Some(_) => Letters::Ascii,
    }
}

fn terminal(door: &Door) -> Terminal {
    match door.surroundings.stderr {
        Stream::Terminal => Terminal::Present { size },
        Stream::Redirected => Terminal::Absent,
    }
}

/// The size of the terminal now; what a terminal without one is taken for.
fn size() -> Size {
    surroundings::terminal_size()
        .map_or(Size { width: 80, height: 24 }, |size| Size { width: size.columns, height: size.rows })
}

/// What a run is shown with, and whether it tells people how the run ended.
pub(crate) struct Faces {
    pub(crate) reports: Vec<Box<dyn Report>>,
    pub(crate) shown: Shown,
}

/// The faces of a run.
pub(crate) fn faces(display: &Display, door: &Door) -> Result<Faces, Failure> {
    let mode = match door.progress(display.progress)? {
        Progress::Auto => Mode::Auto,
        Progress::Tty => Mode::Tty,
        Progress::Plain => Mode::Plain,
        Progress::Json => Mode::Json,
        Progress::Quiet => Mode::Quiet,
    };
    let terminal = terminal(door);
    if mode == Mode::Tty && matches!(terminal, Terminal::Absent) {
        return Err(Failure::NoTerminal);
    }
    let outlets = Outlets { talk: Box::new(door.stderr()), data: Box::new(door.stdout()) };
    let shown = match mode {
        Mode::Auto | Mode::Tty | Mode::Plain => Shown::ByFace,
        Mode::Json | Mode::Quiet => Shown::Nowhere,
    };
    Ok(Faces { reports: vec![report::choose(mode, terminal, style(door), outlets)], shown })
}

/// Draws the warnings of `ship.toml`.
pub(crate) fn warnings(understood: &Understood, door: &Door) -> Result<(), Failure> {
    if understood.warnings.is_empty() {
        return Ok(());
    }
    door.tell(&error::render_warnings(&understood.warnings, &understood.sources, look(door)))
}

/// What a drawing of `ship.toml` may use.
pub(crate) fn look(door: &Door) -> Look {
    let Style { colour, letters } = style(door);
    let width = door.surroundings.terminal_size.map_or(100, |size| usize::from(size.columns));
    Look { colour: colour == Colour::On, unicode: letters == Letters::Unicode, width }
}

/// ` in production`, for a question.
pub(crate) fn in_environment(spec: &Spec) -> String {
    spec.environment.name.as_ref().map(|name| format!(" in {name}")).unwrap_or_default()
}

/// ` --environment production`, for a command to type.
pub(crate) fn environment_flag(spec: &Spec) -> String {
    spec.environment.name.as_ref().map(|name| format!(" --environment {name}")).unwrap_or_default()
}

/// Asks, where there is somebody to ask.
pub(crate) async fn confirm(question: &str, door: &Door) -> Result<(), Failure> {
    if !door.answers() {
        return Err(Failure::NobodyToAsk);
    }
    door.tell(question)?;
    let answer = line().await?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => {
            writeln!(door.stderr()).map_err(Failure::Output)?;
            Err(Failure::Declined)
        }
    }
}

/// Shows what there is to choose from and asks, by number or by name; `None` where nothing is chosen.
pub(crate) async fn choose(
    choices: &[(String, String)],
    question: &str,
    door: &Door,
) -> Result<Option<(String, String)>, Failure> {
    let width = choices.len().to_string().len();
    let names = choices.iter().map(|(_, name)| columns(name)).max().unwrap_or(0);
    for (number, (cluster, name)) in choices.iter().enumerate() {
        let gap = " ".repeat(names - columns(name));
        door.tell(&format!("  {:>width$}  {name}{gap}  in cluster {cluster}\n", number + 1))?;
    }
    loop {
        door.tell(&format!("{question} "))?;
        let answer = line().await?;
        let problem = match chosen(choices, answer.trim()) {
            Ok(chosen) => return Ok(chosen.cloned()),
            Err(problem) => problem,
        };
        door.tell(&format!("{problem}\n"))?;
    }
}

/// What an answer means, or what is wrong with it.
fn chosen<'a>(choices: &'a [(String, String)], answer: &str) -> Result<Option<&'a (String, String)>, String> {
    if answer.is_empty() {
        return Ok(None);
    }
    // A service may be called `2`.
    let named: Vec<_> = choices
        .iter()
        .filter(|(cluster, name)| name == answer || answer.split_once('/') == Some((cluster.as_str(), name.as_str())))
        .collect();
    match (named.as_slice(), answer.parse::<usize>()) {
        ([only], _) => Ok(Some(*only)),
        ([], Ok(number)) => match number.checked_sub(1).and_then(|index| choices.get(index)) {
            Some(choice) => Ok(Some(choice)),
            None => Err(format!("there is no number {number}; type one from 1 to {}, or a name", choices.len())),
        },
        ([], Err(_)) => {
            let meant = match nearest(answer, choices.iter().map(|(_, name)| name.as_str())) {
                Some(meant) => format!(" (did you mean {meant}?)"),
                None => String::new(),
            };
            Err(format!("there is no service {answer}{meant}; type a number from 1 to {}, or a name", choices.len()))
        }
        ([(cluster, name), ..], _) => {
            Err(format!("{} clusters have a service {name}; type its number, or {cluster}/{name}", named.len()))
        }
    }
}

/// One line of an answer; empty at the end of the input.
async fn line() -> Result<String, Failure> {
    // A thread of its own, left behind when nobody answers: a wish to stop is heard meanwhile, and the end of
    // the program does not wait for a line that never comes.
    let (answered, answer) = oneshot::channel();
    std::thread::spawn(move || {
        let mut answer = String::new();
        // Whoever asked may be gone.
        let _gone = answered.send(io::stdin().read_line(&mut answer).map(|_| answer));
    });
    answer.await.expect("the thread sends before it ends").map_err(Failure::Output)
}

#[cfg(test)]
mod tests {
    use super::chosen;

    #[test]
    fn a_number_or_a_name_is_an_answer() {
        let choices = [("jobs", "api"), ("jobs", "worker"), ("live", "api"), ("live", "1")]
            .map(|(cluster, name)| (cluster.to_owned(), name.to_owned()));
        let told = |answer: &str| match chosen(&choices, answer) {
            Ok(Some((cluster, name))) => format!("{cluster}/{name}"),
            Ok(None) => "none".to_owned(),
            Err(problem) => problem,
        };
        for (answer, expected) in [
            ("", "none"),
            ("2", "jobs/worker"),
            ("worker", "jobs/worker"),
            ("3", "live/api"),
            ("live/api", "live/api"),
            ("1", "live/1"),
            ("jobs/1", "there is no service jobs/1; type a number from 1 to 4, or a name"),
            ("api", "2 clusters have a service api; type its number, or jobs/api"),
            ("wroker", "there is no service wroker (did you mean worker?); type a number from 1 to 4, or a name"),
            ("5", "there is no number 5; type one from 1 to 4, or a name"),
            ("0", "there is no number 0; type one from 1 to 4, or a name"),
        ] {
            assert_eq!(told(answer), expected, "{answer}");
        }
    }
}
