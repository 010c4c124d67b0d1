//! Mistakes and warnings drawn in their places.

use std::{collections::BTreeMap, fmt, ops::Range, sync::Arc};

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, Severity, SourceCode};

use super::{ConfigError, ConfigWarning, Mistake, Place, advice::NOT_KNOWN, cut::Cut};
use crate::{
    config::{
        secrets::{masked, value_behind},
        sources::{Source, Sources},
    },
    prose,
};

/// What the terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    pub colour: bool,
    pub unicode: bool,
    /// Columns.
    pub width: usize,
}

/// Draws all mistakes, each in its place, in the order of the file.
#[must_use]
pub fn render(errors: &[ConfigError], sources: &Sources, look: Look) -> String {
    let mut canvases = Canvases::of(sources);
    // Whoever wrote the secret itself where its name belongs should not see it in a log as well.
    canvases.secret = errors.iter().filter_map(|error| secret_of(error, sources)).collect();
    let drawings = errors.iter().map(|error| Drawing {
        severity: Severity::Error,
        message: error.to_string(),
        label: error.mistake.label(),
        help: help_of(error),
        place: canvases.place(&error.place),
    });
    draw(drawings, look)
}

/// Where a mistake may show a secret that was written where only the place of one belongs.
fn secret_of(error: &ConfigError, sources: &Sources) -> Option<Range<usize>> {
    let span = error.place.span()?;
    match &*error.mistake {
        Mistake::BadValueFrom { written, .. } if written.ends_with('…') => {
            Some(span.start + 1..span.end.saturating_sub(1))
        }
        // `npm = { value = "npm_…" }` and `npm = "npm_…"` for `npm = { env = "NPM_TOKEN" }`. A key that is nearly right
        // has behind it what belongs there.
        Mistake::UnknownKey { table: home, nearest: None, .. } | Mistake::Nameless { section: home, .. }
            if is_of_build_secrets(home) =>
        {
            let (source, own) = sources.locate(span)?;
            let value = value_behind(&source.text, own.end)?;
            if is_no_secret(source.text.get(value.clone())?) {
                return None;
            }
            Some(source.begin + value.start..source.begin + value.end)
        }
        _ => None,
    }
}

/// `images.api.secrets` and `environments.production.images.api.secrets.npm`, not a service called `secrets`.
fn is_of_build_secrets(table: &str) -> bool {
    let parts: Vec<&str> = table.split('.').collect();
    parts.iter().position(|part| *part == "images").is_some_and(|at| parts.get(at + 2) == Some(&"secrets"))
}

/// The name of a variable, a path or a switch in the wrong place.
fn is_no_secret(value: &str) -> bool {
    let shouted = |letter: char| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_';
    // The types of `docker build --secret` among them.
    matches!(value, "true" | "false" | "env" | "file")
        || value.chars().all(shouted)
        || ["~/", "./", "../"].iter().any(|start| value.starts_with(start))
}

/// Draws warnings the same way.
#[must_use]
pub fn render_warnings(warnings: &[ConfigWarning], sources: &Sources, look: Look) -> String {
    let mut canvases = Canvases::of(sources);
    let drawings = warnings.iter().map(|warning| Drawing {
        severity: Severity::Warning,
        message: warning.to_string(),
        label: None,
        help: Some(warning.doubt.help()),
        place: canvases.place(&warning.place),
    });
    draw(drawings, look)
}

/// The texts as they are drawn: with stars for what looks secret, made once for each text.
struct Canvases<'a> {
    sources: &'a Sources,
    /// More places of what may be a secret.
    secret: Vec<Range<usize>>,
    made: BTreeMap<usize, Arc<NamedSource<String>>>,
}

impl<'a> Canvases<'a> {
    fn of(sources: &'a Sources) -> Self {
        Self { sources, secret: Vec::new(), made: BTreeMap::new() }
    }

    fn draw(&self, source: &Source) -> String {
        let mut text = masked(&source.text, source.language);
        for span in &self.secret {
            if let Some((own, span)) = self.sources.locate(span)
                && own.begin == source.begin
                && text.get(span.clone()).is_some()
            {
                text.replace_range(span.clone(), &"*".repeat(span.len()));
            }
        }
        text
    }

    fn place(&mut self, place: &Place) -> Option<(Range<usize>, Canvas)> {
        let (source, span) = self.sources.locate(&span_of(place)?)?;
        if let Some(made) = self.made.get(&source.begin) {
            return Some((span, Canvas::Whole(Arc::clone(made))));
        }
        let canvas = Arc::new(NamedSource::new(source.name.clone(), self.draw(source)));
        self.made.insert(source.begin, Arc::clone(&canvas));
        Some((span, Canvas::Whole(canvas)))
    }
}

/// Where nothing can be underlined, the label would be lost.
fn help_of(error: &ConfigError) -> Option<String> {
    let label = error.mistake.label().filter(|label| span_of(&error.place).is_none() && label != NOT_KNOWN);
    match (label, error.mistake.help()) {
        (Some(label), Some(help)) => Some(format!("{label} {help}")),
        (label, help) => label.or(help),
    }
}

fn span_of(place: &Place) -> Option<Range<usize>> {
    match place {
        Place::File(span) => Some(span.clone()),
        Place::Flag(_) | Place::Variable(_) | Place::Nowhere => None,
    }
}

/// A mistake in some other file, in words already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drawn {
    pub message: String,
    pub label: Option<String>,
    pub help: Option<String>,
    pub span: Option<Range<usize>>,
}

/// Draws mistakes of another file the way those of `ship.toml` are.
#[must_use]
pub fn render_drawn(mistakes: impl Iterator<Item = Drawn>, name: &str, text: &str, look: Look) -> String {
    let source = Arc::new(NamedSource::new(name, text.to_owned()));
    let drawings = mistakes.map(|Drawn { message, label, help, span }| Drawing {
        severity: Severity::Error,
        message,
        label,
        help,
        place: span.map(|span| (span, Canvas::Whole(Arc::clone(&source)))),
    });
    draw(drawings, look)
}

/// What miette puts in front of each line of a message, `  × `, and of a help, `  help: `; and a little air.
const BESIDE_MESSAGE: usize = 4 + 2;
const BESIDE_HELP: usize = 8 + 2;

fn draw(drawings: impl Iterator<Item = Drawing>, look: Look) -> String {
    let mut theme = if look.unicode { GraphicalTheme::unicode() } else { GraphicalTheme::ascii() };
    if !look.colour {
        theme.styles = miette::ThemeStyles::none();
    }
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(look.width)
        .with_links(false)
        // Broken by us: miette knows no commands, and a command in two lines cannot be copied.
        .with_wrap_lines(false)
        .without_syntax_highlighting();
    let mut report = String::new();
    let spelt = |text: String| if look.unicode { text } else { text.replace('…', "...").replace('→', "->") };
    let set = |text: String, frame: usize| prose::wrap_all(&spelt(text), look.width.saturating_sub(frame)).join("\n");
    let drawings = drawings.map(|drawing| Drawing {
        message: set(drawing.message, BESIDE_MESSAGE),
        label: drawing.label.map(spelt),
        help: drawing.help.map(|help| set(help, BESIDE_HELP)),
        ..drawing
    });
    for mut drawing in drawings {
        drawing.cut(look);
        if !report.is_empty() {
            report.push('\n');
        }
        handler.render_report(&mut report, &drawing).expect("a String takes everything, and spans lie in the text");
    }
    report
}

/// A mistake or a warning as miette wants it.
#[derive(Debug)]
struct Drawing {
    severity: Severity,
    message: String,
    label: Option<String>,
    help: Option<String>,
    place: Option<(Range<usize>, Canvas)>,
}

/// What it is drawn on.
#[derive(Debug)]
enum Canvas {
    Whole(Arc<NamedSource<String>>),
    /// Lines that are longer than the terminal is wide are cut.
    Cut(Box<Cut>),
}

impl Drawing {
    fn cut(&mut self, look: Look) {
        let Some((span, Canvas::Whole(source))) = &self.place else { return };
        let label = self.label.as_deref().unwrap_or_default();
        if let Some(cut) = Cut::of(source.name(), source.inner(), span, label, look) {
            self.place = Some((cut.span.clone(), Canvas::Cut(Box::new(cut))));
        }
    }
}

impl fmt::Display for Drawing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Drawing {}

impl Diagnostic for Drawing {
    fn severity(&self) -> Option<Severity> {
        Some(self.severity)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.place.as_ref().map(|(_, canvas)| match canvas {
            Canvas::Whole(source) => &**source as &dyn SourceCode,
            Canvas::Cut(cut) => &**cut as &dyn SourceCode,
        })
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let (span, _) = self.place.as_ref()?;
        let label = LabeledSpan::new(self.label.clone(), span.start, span.len());
        Some(Box::new(std::iter::once(label)))
    }
}
