//! What verbs show besides a run: warnings, questions, and the choice of the face.

use std::io::{self, Write as _};

use super::{
    Door,
    args::{Display, Progress},
    prepare::Understood,
    surroundings::Stream,
};
use crate::{
    config::error::{self, Look},
    env,
    failure::Failure,
    plan::step::Plan,
    report::{
        self, Mode, Outlets, Report, Terminal,
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
    let surroundings = &door.surroundings;
    let colour = match surroundings.stderr {
        Stream::Terminal if surroundings.variables.get(env::NO_COLOR).is_none() => Colour::On,
        Stream::Terminal | Stream::Redirected => Colour::Off,
    };
    Style { colour, letters: letters(door) }
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
    let variables = &door.surroundings.variables;
    // CI systems that give a terminal all the same keep what it shows as a log.
    if variables.get(env::CI).is_some() || variables.get(env::TERM) == Some("dumb") {
        return Terminal::Absent;
    }
    match (door.surroundings.stderr, door.surroundings.terminal_size) {
        (Stream::Terminal, Some(size)) => Terminal::Present { width: size.columns, height: size.rows },
        (Stream::Terminal, None) => Terminal::Present { width: 80, height: 24 },
        (Stream::Redirected, _) => Terminal::Absent,
    }
}

/// The faces of a run.
pub(crate) fn faces(display: &Display, door: &Door) -> Result<Vec<Box<dyn Report>>, Failure> {
    let mode = match door.progress(display.progress)? {
        Progress::Auto => Mode::Auto,
        Progress::Tty => Mode::Tty,
        Progress::Plain => Mode::Plain,
        Progress::Json => Mode::Json,
        Progress::Quiet => Mode::Quiet,
    };
    let terminal = terminal(door);
    if mode == Mode::Tty && terminal == Terminal::Absent {
        return Err(Failure::NoTerminal);
    }
    let outlets = Outlets { talk: Box::new(door.stderr()), data: Box::new(door.stdout()) };
    Ok(vec![report::choose(mode, terminal, style(door), outlets)])
}

/// Draws the warnings of `ship.toml`.
pub(crate) fn warnings(understood: &Understood, door: &Door) -> Result<(), Failure> {
    if understood.warnings.is_empty() {
        return Ok(());
    }
    door.tell(&error::render_warnings(&understood.warnings, &understood.name, &understood.text, look(door)))
}

/// What a drawing of `ship.toml` may use.
pub(crate) fn look(door: &Door) -> Look {
    let Style { colour, letters } = style(door);
    let width = door.surroundings.terminal_size.map_or(100, |size| usize::from(size.columns));
    Look { colour: colour == Colour::On, unicode: letters == Letters::Unicode, width }
}

/// Shows the plan and asks. Without a terminal to answer on there is nobody to ask.
pub(crate) fn confirm(plan: &Plan, environment: Option<&str>, door: &Door) -> Result<(), Failure> {
    if door.surroundings.stdin == Stream::Redirected || door.surroundings.stderr == Stream::Redirected {
        return Err(Failure::NobodyToAsk);
    }
    let to = environment.map(|name| format!(" to {name}")).unwrap_or_default();
    door.tell(&format!("{plan}\n\nDeploy{to}? [y/N] "))?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(Failure::Output)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => {
            writeln!(door.stderr()).map_err(Failure::Output)?;
            Err(Failure::Declined)
        }
    }
}
