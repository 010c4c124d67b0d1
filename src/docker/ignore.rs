//! `.dockerignore` as moby matches it: a port of `moby/patternmatcher` and its `ignorefile`.
//!
//! It is not gitignore: patterns are anchored at the root of the context, the last match wins, and
//! `!` brings back files below a folder that is excluded.

use regex::Regex;

/// The patterns of one file, in order.
#[derive(Debug, Clone, Default)]
pub struct Ignore {
    patterns: Vec<Pattern>,
}

#[derive(Debug, Clone)]
struct Pattern {
    effect: Effect,
    /// Cleaned, without `!`.
    text: String,
    matcher: Matcher,
    /// One matcher per path component, to decide which folders must be walked.
    components: Vec<Component>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Exclude,
    Include,
}

/// moby's four ways, which are not only faster: `a/**` matches by text, so it does not match `a`.
#[derive(Debug, Clone)]
enum Matcher {
    Exact,
    /// The text but for the trailing `**`.
    Prefix(String),
    /// The text but for the leading `**`.
    Suffix(String),
    Expression(Regex),
}

#[derive(Debug, Clone)]
enum Component {
    /// `**` anywhere in it: what follows may lie at any depth.
    AnyDepth,
    One(Regex),
}

/// A pattern that moby refuses, too.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IgnoreError {
    #[error("line {line}: illegal exclusion pattern: \"!\"")]
    Lone { line: usize },
    #[error("line {line}: syntax error in pattern `{pattern}`")]
    Syntax { line: usize, pattern: String },
}

/// What the walk does with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Keep,
    Exclude,
}

/// Whether a folder that is excluded itself must be looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Below {
    /// Some `!` pattern can match inside.
    Walk,
    Prune,
}

impl Ignore {
    /// Reads the text of a `.dockerignore`.
    pub fn parse(text: &str) -> Result<Self, IgnoreError> {
        let mut patterns = Vec::new();
        for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            // Before trimming: an indented `#` is a pattern.
            if line.starts_with('#') {
                continue;
            }
            let line = line.trim();
            let (effect, text) = match line.strip_prefix('!') {
                Some(rest) => (Effect::Include, rest.trim()),
                None => (Effect::Exclude, line),
            };
            match (effect, text) {
                (Effect::Exclude, "") => continue,
                (Effect::Include, "") => return Err(IgnoreError::Lone { line: number + 1 }),
                (Effect::Exclude | Effect::Include, _) => {}
            }
            let text = clean(text);
            let text = if text.len() > 1 { text.strip_prefix('/').unwrap_or(&text) } else { &text };
            let pattern = Pattern::new(effect, text)
                .ok_or_else(|| IgnoreError::Syntax { line: number + 1, pattern: text.to_owned() })?;
            patterns.push(pattern);
        }
        Ok(Self { patterns })
    }

    /// moby's `MatchesOrParentMatches` for a path relative to the context, with `/` between its parts.
    #[must_use]
    pub fn verdict(&self, path: &str) -> Verdict {
        let mut verdict = Verdict::Keep;
        for pattern in &self.patterns {
            // A pattern that would change nothing is not looked at.
            let (now, then) = match pattern.effect {
                Effect::Exclude => (Verdict::Keep, Verdict::Exclude),
                Effect::Include => (Verdict::Exclude, Verdict::Keep),
            };
            if verdict == now && self_and_parents(path).any(|path| pattern.matches(path)) {
                verdict = then;
            }
        }
        verdict
    }

    /// Whether an excluded folder may hold something that a `!` pattern brings back.
    #[must_use]
    pub fn below(&self, folder: &str) -> Below {
        let includes = self.patterns.iter().filter(|pattern| pattern.effect == Effect::Include);
        let mut reaching = includes.filter(|pattern| pattern.may_match_below(folder));
        if reaching.next().is_some() { Below::Walk } else { Below::Prune }
    }
}

/// `a/b/c`, then `a`, then `a/b`.
fn self_and_parents(path: &str) -> impl Iterator<Item = &str> {
    std::iter::once(path).chain(path.match_indices('/').map(|(end, _)| &path[..end]))
}

impl Pattern {
    fn new(effect: Effect, text: &str) -> Option<Self> {
        let components = text
            .split('/')
            .map(|part| {
                if part.contains("**") {
                    Some(Component::AnyDepth)
                } else {
                    Regex::new(&format!("^{}$", expression(part)?.text)).ok().map(Component::One)
                }
            })
            .collect::<Option<Vec<_>>>()?;
        let Expression { text: pattern, kind } = expression(text)?;
        let matcher = match kind {
            Kind::Exact => Matcher::Exact,
            Kind::Prefix => Matcher::Prefix(text.strip_suffix("**")?.to_owned()),
            Kind::Suffix => Matcher::Suffix(text.strip_prefix("**")?.to_owned()),
            Kind::Expression => Matcher::Expression(Regex::new(&format!("^{pattern}$")).ok()?),
        };
        Some(Self { effect, text: text.to_owned(), matcher, components })
    }

    fn matches(&self, path: &str) -> bool {
        match &self.matcher {
            Matcher::Exact => path == self.text,
            Matcher::Prefix(prefix) => path.starts_with(prefix),
            // `**/foo` matches `foo` as well.
            Matcher::Suffix(suffix) => path.ends_with(suffix) || suffix.strip_prefix('/') == Some(path),
            Matcher::Expression(expression) => expression.is_match(path),
        }
    }

    /// Compares part by part as far as both go. A pattern that ends at or above the folder has had
    /// its say about the folder already and changes nothing below it.
    fn may_match_below(&self, folder: &str) -> bool {
        let mut parts = folder.split('/');
        for component in &self.components {
            match (component, parts.next()) {
                (Component::AnyDepth, _) | (Component::One(_), None) => return true,
                (Component::One(expression), Some(part)) if !expression.is_match(part) => return false,
                (Component::One(_), Some(_)) => {}
            }
        }
        false
    }
}

struct Expression {
    text: String,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Exact,
    Prefix,
    Suffix,
    Expression,
}

/// moby's `Pattern.compile`, letter by letter; `None` is Go's `ErrBadPattern`.
fn expression(pattern: &str) -> Option<Expression> {
    let mut text = String::new();
    let mut kind = Kind::Exact;
    let mut letters = pattern.chars().peekable();
    let mut first = true;
    while let Some(letter) = letters.next() {
        match letter {
            '*' if letters.peek() == Some(&'*') => {
                letters.next();
                // `**/` is `**`.
                letters.next_if_eq(&'/');
                if letters.peek().is_some() {
                    // Any number of folders, none included.
                    text.push_str("(.*/)?");
                    kind = Kind::Expression;
                } else if kind == Kind::Exact {
                    kind = Kind::Prefix;
                } else {
                    text.push_str(".*");
                    kind = Kind::Expression;
                }
                if first {
                    kind = Kind::Suffix;
                }
            }
            '*' => {
                text.push_str("[^/]*");
                kind = Kind::Expression;
            }
            '?' => {
                text.push_str("[^/]");
                kind = Kind::Expression;
            }
            '[' => {
                text.push_str(&class(&mut letters)?);
                kind = Kind::Expression;
            }
            // The next letter as it is; at the end there is none to escape.
            '\\' => {
                text.push_str(&regex::escape(letters.next()?.encode_utf8(&mut [0; 4])));
                kind = Kind::Expression;
            }
            other => text.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
        first = false;
    }
    Some(Expression { text, kind })
}

/// The inside of `[…]`: ranges and escapes, `^` negates. Written anew because Rust's classes know
/// operators (`&&`, `--`, nested brackets) that Go's do not.
fn class(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<String> {
    let mut text = String::from("[");
    if letters.next_if_eq(&'^').is_some() {
        text.push('^');
    }
    let mut ranges = 0;
    loop {
        let low = match letters.next()? {
            ']' if ranges > 0 => break,
            // An empty class and a bare `-` are bad patterns to Go.
            ']' | '-' => return None,
            '\\' => letters.next()?,
            other => other,
        };
        let high = if letters.next_if_eq(&'-').is_some() {
            match letters.next()? {
                ']' | '-' => return None,
                '\\' => letters.next()?,
                other => other,
            }
        } else {
            low
        };
        if low > high {
            return None;
        }
        for (letter, after) in [(low, "-"), (high, "")] {
            text.extend(["\\x{", &hex::encode(u32::from(letter).to_be_bytes()), "}", after]);
        }
        ranges += 1;
    }
    text.push(']');
    Some(text)
}

/// Go's `path.Clean`.
fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            other => parts.push(other),
        }
    }
    match (rooted, parts.join("/").as_str()) {
        (true, joined) => format!("/{joined}"),
        (false, "") => ".".to_owned(),
        (false, joined) => joined.to_owned(),
    }
}

#[cfg(test)]
mod tests;
