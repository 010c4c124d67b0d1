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

/// Shows what there is to choose from and asks; `None` where nothing is chosen.
pub(crate) async fn choose(
    choices: &[(String, String)],
    question: &str,
    door: &Door,
) -> Result<Option<(String, String)>, Failure> {
    let width = choices.len().to_string().len();
    for (number, (cluster, name)) in choices.iter().enumerate() {
        door.tell(&format!("  {:>width$}  {name}  in cluster {cluster}\n", number + 1))?;
    }
    loop {
        door.tell(&format!("{question} "))?;
        let answer = line().await?;
        let answer = answer.trim();
        if answer.is_empty() {
            return Ok(None);
        }
        let by_number = answer.parse::<usize>().ok().and_then(|number| choices.get(number.checked_sub(1)?));
        let by_name = || choices.iter().find(|(_, name)| name == answer);
        if let Some(chosen) = by_number.or_else(by_name) {
            return Ok(Some(chosen.clone()));
        }
        door.tell(&format!("there is no {answer}; a number from 1 to {}, please\n", choices.len()))?;
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
