//! From the TOML of a scenario to what it means; every mistake is found in one go.

use std::ops::Range;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::super::emulated::operations;
use super::{
    Crash, Deploy, Fails, FaultKind, HealthAnswer, HealthStep, LoadScript, Mistake, Obstacle, Of, OnStop, OutOfMemory,
    Scale, Scenario, TaskScript, Unplaced, WireFault,
};

/// The format this version reads.
const FORMAT: i64 = 1;

/// A key of a table, with an example of its value.
pub(super) type Key = (&'static str, &'static str);

pub(super) const TOP: &[Key] = &[
    ("format", "1"),
    ("tasks", "[[tasks]]"),
    ("faults", "[[faults]]"),
    ("scales", "[[scales]]"),
    ("deploys", "[[deploys]]"),
    ("load", "[load]"),
];
pub(super) const TASKS: &[Key] = &[
    ("of", "\"new\""),
    ("service", "\"api\""),
    ("first", "2"),
    ("pull", "\"20s\""),
    ("boot", "\"8s\""),
    ("health", "[{ for = \"10s\", answer = 503 }, { answer = 200 }]"),
    ("crash_after", "\"2s\""),
    ("exit_code", "3"),
    ("out_of_memory", "true"),
    ("fails", "\"image\""),
    ("fails_for", "\"20s\""),
    ("stop_after", "\"20s\""),
    ("ignores_sigterm", "true"),
    ("spot_after", "\"15s\""),
];
/// So many of them only say which tasks are meant.
const SELECTING: usize = 3;
pub(super) const HEALTH: &[Key] = &[("for", "\"10s\""), ("answer", "503")];
pub(super) const FAULTS: &[Key] = &[
    ("service", "\"ecs\""),
    ("operation", "\"UpdateService\""),
    ("fault", "\"throttle\""),
    ("for", "\"3s\""),
    ("after", "1"),
    ("times", "3"),
];
pub(super) const SCALES: &[Key] = &[("at", "\"5s\""), ("service", "\"api\""), ("to", "4")];
pub(super) const DEPLOYS: &[Key] = &[("at", "\"5s\""), ("service", "\"api\"")];
pub(super) const LOAD: &[Key] = &[
    ("rate", "200"),
    ("path", "\"/\""),
    ("slow_every", "50"),
    ("slow_path", "\"/slow\""),
    ("websockets", "10"),
    ("websocket_path", "\"/ws\""),
    ("count_by", "\"x-version\""),
];

const SERVICES: &[&str] =
    &["ecs", "ecr", "elb", "logs", "ssm", "secretsmanager", "cloudwatch", "sts", "ec2", "registry"];
const FAULT_WORDS: &[&str] = &["throttle", "error", "deny", "stall", "cut"];
const FAIL_WORDS: &[&str] = &["image", "architecture", "secret", "log_group", "capacity", "placement", "role"];
const OF_WORDS: &[&str] = &["new", "old", "all"];
const ANSWER_WORDS: &[&str] = &["timeout", "refused", "own"];

#[derive(Default)]
pub(super) struct Reader {
    pub(super) mistakes: Vec<Mistake>,
}

/// A table being read.
struct Open<'a> {
    /// `[[tasks]]`
    name: &'static str,
    keys: &'static [Key],
    table: &'a DeTable<'a>,
    /// Where it begins, for what is missing in it.
    span: Range<usize>,
}

impl Reader {
    fn mistake(
        &mut self,
        code: &'static str,
        span: Range<usize>,
        message: String,
        label: Option<String>,
        help: Option<String>,
    ) {
        self.mistakes.push(Mistake { code, message, span: Some(span), label, help });
    }

    pub(super) fn scenario(&mut self, top: &DeTable<'_>) -> Scenario {
        let open = Open { name: "", keys: TOP, table: top, span: 0..0 };
        self.unknown_keys(&open);
        self.format(&open);
        let mut scenario = Scenario::default();
        for open in self.tables(&open, "tasks", "[[tasks]]", TASKS) {
            scenario.tasks.extend(self.task(&open));
        }
        for open in self.tables(&open, "faults", "[[faults]]", FAULTS) {
            scenario.faults.extend(self.fault(&open));
        }
        for open in self.tables(&open, "scales", "[[scales]]", SCALES) {
            let (at, to) = (self.duration(&open, "at"), self.number(&open, "to", 0, 5000));
            self.must_have(&open, &["at", "to"]);
            if let (Some(at), Some(to)) = (at, to) {
                let to = u32::try_from(to).unwrap_or(u32::MAX);
                scenario.scales.push(Scale { at, service: self.text(&open, "service"), to });
            }
        }
        for open in self.tables(&open, "deploys", "[[deploys]]", DEPLOYS) {
            let at = self.duration(&open, "at");
            self.must_have(&open, &["at"]);
            if let Some(at) = at {
                scenario.deploys.push(Deploy { at, service: self.text(&open, "service") });
            }
        }
        if let Some(value) = find(top, "load") {
            match value.get_ref() {
                DeValue::Table(table) => {
                    let open = Open { name: "[load]", keys: LOAD, table, span: value.span() };
                    self.unknown_keys(&open);
                    scenario.load = self.load(&open);
                }
                other => self.wrong_type("load", value.span(), "a table", kind(other), "[load]\nrate = 200"),
            }
        }
        scenario
    }

    fn format(&mut self, open: &Open<'_>) {
        let Some(value) = find(open.table, "format") else {
            self.mistakes.push(Mistake {
                code: "scenario::no_format",
                message: "the file does not say which format it is written in".to_owned(),
                span: None,
                label: None,
                help: Some("write `format = 1` as the first line".to_owned()),
            });
            return;
        };
        match integer(value.get_ref()) {
            Some(FORMAT) => {}
            Some(other) => self.mistake(
                "scenario::unknown_format",
                value.span(),
                format!("this version reads format {FORMAT}, and the file is written in {other}"),
                None,
                Some(format!("write `format = {FORMAT}`, or use a docker-ecs-ship that knows format {other}")),
            ),
            None => self.wrong_type("format", value.span(), "a number", kind(value.get_ref()), "format = 1"),
        }
    }

    fn task(&mut self, open: &Open<'_>) -> Option<TaskScript> {
        let of = self.word(open, "of", OF_WORDS);
        self.must_have(open, &["of"]);
        let crash_after = self.duration(open, "crash_after");
        let exit_code = self.number(open, "exit_code", 0, 255);
        let memory = self.flag(open, "out_of_memory");
        for (key, written) in [("exit_code", exit_code.is_some()), ("out_of_memory", memory == Some(true))] {
            if written && find(open.table, "crash_after").is_none() {
                self.needs(open, key, "crash_after", "\"2s\"");
            }
        }
        let (stop_after, ignores) = (self.duration(open, "stop_after"), self.flag(open, "ignores_sigterm"));
        if stop_after.is_some() && ignores == Some(true) {
            self.exclude(open, "stop_after", "ignores_sigterm");
        }
        let boot = self.duration(open, "boot");
        let health = self.health(open);
        if boot.is_some() && !health.is_empty() {
            self.exclude(open, "boot", "health");
        }
        let (fails, unplaced) = self.fails(open);
        let is_toml = self.mistakes.iter().all(|mistake| mistake.code != "scenario::syntax");
        if is_toml && TASKS.iter().skip(SELECTING).all(|(key, _)| find(open.table, key).is_none()) {
            self.says_nothing(open);
        }
        let script = TaskScript {
            of: match of? {
                "old" => Of::Old,
                "all" => Of::All,
                _ => Of::New,
            },
            service: self.text(open, "service"),
            first: self.number(open, "first", 1, 100_000),
            pull: self.duration(open, "pull"),
            boot,
            health,
            crash: crash_after.map(|after| {
                let memory = if memory == Some(true) { OutOfMemory::Yes } else { OutOfMemory::No };
                let usual = if memory == OutOfMemory::Yes { 137 } else { 1 };
                let exit_code = exit_code.and_then(|code| i64::try_from(code).ok()).unwrap_or(usual);
                Crash { after, exit_code, memory }
            }),
            fails,
            unplaced,
            stop: match (stop_after, ignores) {
                (_, Some(true)) => Some(OnStop::Never),
                (Some(after), _) => Some(OnStop::After(after)),
                (None, Some(false) | None) => None,
            },
            spot_after: self.duration(open, "spot_after"),
        };
        Some(script)
    }

    /// Why a task does not start, or is not even placed.
    fn fails(&mut self, open: &Open<'_>) -> (Option<Fails>, Option<Unplaced>) {
        let (word, lasts) = (self.word(open, "fails", FAIL_WORDS), self.duration(open, "fails_for"));
        let (fails, obstacle) = match word {
            Some("architecture") => (Some(Fails::Architecture), None),
            Some("secret") => (Some(Fails::Secret), None),
            Some("log_group") => (Some(Fails::LogGroup), None),
            Some("capacity") => (None, Some(Obstacle::Capacity)),
            Some("placement") => (None, Some(Obstacle::Placement)),
            Some("role") => (None, Some(Obstacle::Role)),
            Some(_) => (Some(Fails::Image), None),
            None => (None, None),
        };
        if find(open.table, "fails_for").is_some() && obstacle.is_none() {
            self.needs(open, "fails_for", "fails", "\"capacity\"");
        }
        // What does not start does nothing else, and what is not placed pulls nothing.
        let others = ["boot", "health", "crash_after", "stop_after", "ignores_sigterm", "spot_after"];
        let others = others.into_iter().chain(obstacle.map(|_| "pull"));
        for key in others.filter(|_| word.is_some()) {
            if find(open.table, key).is_some() {
                self.exclude(open, "fails", key);
            }
        }
        (fails, obstacle.map(|obstacle| Unplaced { obstacle, lasts }))
    }

    fn health(&mut self, open: &Open<'_>) -> Vec<HealthStep> {
        let Some(value) = find(open.table, "health") else { return Vec::new() };
        let example = example(open.keys, "health");
        let DeValue::Array(steps) = value.get_ref() else {
            self.wrong_type(
                "health",
                value.span(),
                "a list of tables",
                kind(value.get_ref()),
                &format!("health = {example}"),
            );
            return Vec::new();
        };
        let mut read = Vec::new();
        for (number, step) in steps.iter().enumerate() {
            let DeValue::Table(table) = step.get_ref() else {
                let found = kind(step.get_ref());
                self.wrong_type("health", step.span(), "a list of tables", found, &format!("health = {example}"));
                continue;
            };
            let open = Open { name: "health", keys: HEALTH, table, span: step.span() };
            self.unknown_keys(&open);
            self.must_have(&open, &["answer"]);
            let lasts = self.duration(&open, "for");
            if number + 1 < steps.len() && find(table, "for").is_none() {
                self.mistake(
                    "scenario::never_reached",
                    step.span(),
                    "what comes after this answer is never reached".to_owned(),
                    Some("lasts for ever".to_owned()),
                    Some("say how long it lasts: `for = \"10s\"`".to_owned()),
                );
            }
            let Some(answer) = self.answer(&open) else { continue };
            read.push(HealthStep { lasts, answer });
        }
        read
    }

    fn answer(&mut self, open: &Open<'_>) -> Option<HealthAnswer> {
        let value = find(open.table, "answer")?;
        match value.get_ref() {
            DeValue::Integer(_) => match integer(value.get_ref()) {
                Some(status) if (100..=599).contains(&status) => u16::try_from(status).ok().map(HealthAnswer::Status),
                _ => {
                    self.out_of_range("answer", value.span(), "a status from 100 to 599");
                    None
                }
            },
            _ => Some(match self.word(open, "answer", ANSWER_WORDS)? {
                "timeout" => HealthAnswer::Timeout,
                "refused" => HealthAnswer::Refused,
                _ => HealthAnswer::Own,
            }),
        }
    }

    fn fault(&mut self, open: &Open<'_>) -> Option<WireFault> {
        let word = self.word(open, "fault", FAULT_WORDS);
        self.must_have(open, &["fault"]);
        let lasts = self.duration(open, "for");
        let service = self.word(open, "service", SERVICES).map(str::to_owned);
        let operation = self.operation(open, service.as_deref());
        let (after, times) = (self.number(open, "after", 0, 1_000_000), self.number(open, "times", 1, 1_000_000));
        if word.is_some_and(|word| word != "stall") && find(open.table, "for").is_some() {
            self.needs(open, "for", "fault", "\"stall\"");
        }
        let kind = match (word?, lasts) {
            ("stall", Some(lasts)) => FaultKind::Stall(lasts),
            ("stall", None) => {
                if find(open.table, "for").is_none() {
                    self.needs(open, "fault", "for", "\"3s\"");
                }
                return None;
            }
            ("throttle", _) => FaultKind::Throttle,
            ("cut", _) => FaultKind::Cut,
            ("deny", _) => FaultKind::Deny,
            _ => FaultKind::Error,
        };
        Some(WireFault { service, operation, kind, after: after.unwrap_or(0), times })
    }

    /// One that the service has: a fault of another would meet nothing, and nobody would know.
    fn operation(&mut self, open: &Open<'_>, service: Option<&str>) -> Option<String> {
        let text = self.text(open, "operation")?;
        let same = |(_, known): &(&str, &str)| known.eq_ignore_ascii_case(&text);
        let known = operations(service);
        if known.iter().any(same) {
            return Some(text);
        }
        let whose = service.map(|service| format!(" of {service}")).unwrap_or_default();
        let elsewhere = operations(None).into_iter().find(same).map(|(service, _)| service);
        let plain = text.to_lowercase();
        let far = |(_, operation): &(&str, &str)| strsim::damerau_levenshtein(&plain, &operation.to_lowercase());
        let nearest = known.iter().min_by_key(|one| far(one)).filter(|one| far(one) <= one.1.len() / 3);
        let (label, help) = match (elsewhere, nearest) {
            (Some(other), _) => (Some(format!("it is one of {other}")), Some(format!("write `service = \"{other}\"`"))),
            (None, Some((_, nearest))) => (Some(format!("did you mean `{nearest}`?")), None),
            (None, None) => (
                Some("not known here".to_owned()),
                Some("what there is: docs/guide/sandbox.md, \"What it emulates\"".to_owned()),
            ),
        };
        let span = find(open.table, "operation").map_or(0..0, Spanned::span);
        let message = format!("the sandbox has no operation `{text}`{whose}");
        self.mistake("scenario::unknown_operation", span, message, label, help);
        None
    }

    fn load(&mut self, open: &Open<'_>) -> LoadScript {
        let mut count = |key, most| self.number(open, key, 0, most).and_then(|number| u32::try_from(number).ok());
        let (rate, slow_every, websockets) =
            (count("rate", 100_000), count("slow_every", 1_000_000), count("websockets", 10_000));
        if slow_every.is_some_and(|every| every > 0) && find(open.table, "slow_path").is_none() {
            self.needs(open, "slow_every", "slow_path", "\"/slow\"");
        }
        for key in ["slow_path", "websocket_path"] {
            let (other, example) = if key == "slow_path" { ("slow_every", "50") } else { ("websockets", "10") };
            if find(open.table, key).is_some() && find(open.table, other).is_none() {
                self.needs(open, key, other, example);
            }
        }
        LoadScript {
            rate,
            path: self.path(open, "path"),
            slow_every,
            slow_path: self.path(open, "slow_path"),
            websockets,
            websocket_path: self.path(open, "websocket_path"),
            count_by: self.text(open, "count_by"),
        }
    }

    // ── values ─────────────────────────────────────────────────────────────────

    /// The tables of an array of them.
    fn tables<'a>(&mut self, open: &Open<'a>, key: &str, name: &'static str, keys: &'static [Key]) -> Vec<Open<'a>> {
        let Some(value) = find(open.table, key) else { return Vec::new() };
        let mut opened = Vec::new();
        match value.get_ref() {
            DeValue::Array(all) => {
                for one in all {
                    match one.get_ref() {
                        DeValue::Table(table) => opened.push(Open { name, keys, table, span: one.span() }),
                        other => self.wrong_type(key, one.span(), "a table", kind(other), name),
                    }
                }
            }
            DeValue::Table(_) => self.mistake(
                "scenario::single_table",
                value.span(),
                format!("[{key}] is one table, and there may be several"),
                Some("two brackets on each side".to_owned()),
                Some(format!("write `{name}`")),
            ),
            other => self.wrong_type(key, value.span(), "a list of tables", kind(other), name),
        }
        for open in &opened {
            self.unknown_keys(open);
        }
        opened
    }

    fn text(&mut self, open: &Open<'_>, key: &str) -> Option<String> {
        let value = find(open.table, key)?;
        match value.get_ref() {
            DeValue::String(text) if !text.is_empty() => Some(text.to_string()),
            DeValue::String(_) => {
                self.mistake(
                    "scenario::empty",
                    value.span(),
                    format!("`{key}` is empty"),
                    None,
                    Some(write(open.keys, key)),
                );
                None
            }
            other => {
                self.wrong_type(key, value.span(), "a text", kind(other), &assignment(open.keys, key));
                None
            }
        }
    }

    fn path(&mut self, open: &Open<'_>, key: &str) -> Option<String> {
        let path = self.text(open, key)?;
        if path.starts_with('/') && !path.contains(char::is_whitespace) {
            return Some(path);
        }
        let span = find(open.table, key).map_or(0..0, Spanned::span);
        self.mistake(
            "scenario::bad_path",
            span,
            format!("`{path}` is not a path"),
            Some("begins with /".to_owned()),
            Some(write(open.keys, key)),
        );
        None
    }

    /// One of a few words.
    fn word(&mut self, open: &Open<'_>, key: &str, words: &'static [&'static str]) -> Option<&'static str> {
        let text = self.text(open, key)?;
        if let Some(word) = words.iter().find(|word| **word == text) {
            return Some(word);
        }
        let span = find(open.table, key).map_or(0..0, Spanned::span);
        let (label, help) = meant(&text, words.iter().copied());
        self.mistake(
            "scenario::unknown_word",
            span,
            format!("`{key}` cannot be `{text}`"),
            label,
            help.map(|known| format!("one of {known}")),
        );
        None
    }

    fn flag(&mut self, open: &Open<'_>, key: &str) -> Option<bool> {
        let value = find(open.table, key)?;
        if let DeValue::Boolean(flag) = value.get_ref() {
            return Some(*flag);
        }
        self.wrong_type(key, value.span(), "true or false", kind(value.get_ref()), &assignment(open.keys, key));
        None
    }

    fn number(&mut self, open: &Open<'_>, key: &str, least: u64, most: u64) -> Option<u64> {
        let value = find(open.table, key)?;
        let Some(number) = integer(value.get_ref()) else {
            self.wrong_type(key, value.span(), "a number", kind(value.get_ref()), &assignment(open.keys, key));
            return None;
        };
        let number = u64::try_from(number).ok().filter(|number| (least..=most).contains(number));
        if number.is_none() {
            self.out_of_range(key, value.span(), &format!("from {least} to {most}"));
        }
        number
    }

    fn duration(&mut self, open: &Open<'_>, key: &str) -> Option<Duration> {
        let value = find(open.table, key)?;
        let read = match value.get_ref() {
            DeValue::String(text) => read_duration(text),
            _ => None,
        };
        if read.is_none() {
            let guess = match value.get_ref() {
                DeValue::Integer(number) => format!("`{key} = \"{number}s\"`"),
                _ => format!("a number with its unit: `{}`", assignment(open.keys, key)),
            };
            self.mistake(
                "scenario::bad_duration",
                value.span(),
                format!("`{key}` must be a duration, and this is {}", described(value.get_ref())),
                Some("ms, s or m".to_owned()),
                Some(format!("write {guess}")),
            );
        }
        read
    }

    // ── what is wrong ──────────────────────────────────────────────────────────

    fn unknown_keys(&mut self, open: &Open<'_>) {
        for (key, _) in open.table {
            let written = key.get_ref().as_ref();
            if open.keys.iter().any(|(known, _)| *known == written) {
                continue;
            }
            let place =
                if open.name.is_empty() { "at the top of the file".to_owned() } else { format!("in {}", open.name) };
            let (label, known) = meant(written, open.keys.iter().map(|(known, _)| *known));
            let help = known.map(|known| format!("known {place}: {known}"));
            self.mistake("scenario::unknown_key", key.span(), format!("unknown key `{written}` {place}"), label, help);
        }
    }

    fn must_have(&mut self, open: &Open<'_>, keys: &[&str]) {
        for key in keys {
            if find(open.table, key).is_none() {
                self.mistake(
                    "scenario::missing_key",
                    open.span.clone(),
                    format!("`{key}` is missing in {}", open.name),
                    Some(format!("`{key}` belongs into this table")),
                    Some(write(open.keys, key)),
                );
            }
        }
    }

    fn needs(&mut self, open: &Open<'_>, key: &str, other: &str, example: &str) {
        let span = find(open.table, key).map_or_else(|| open.span.clone(), Spanned::span);
        self.mistake(
            "scenario::needs_another",
            span,
            format!("`{key}` means nothing without `{other}`"),
            None,
            Some(format!("add `{other} = {example}`")),
        );
    }

    fn exclude(&mut self, open: &Open<'_>, one: &str, other: &str) {
        let span = find(open.table, other).map_or_else(|| open.span.clone(), Spanned::span);
        self.mistake(
            "scenario::both",
            span,
            format!("`{one}` and `{other}` exclude each other"),
            None,
            Some("leave one of them out".to_owned()),
        );
    }

    fn says_nothing(&mut self, open: &Open<'_>) {
        let known: Vec<&str> = open.keys.iter().skip(SELECTING).map(|(key, _)| *key).collect();
        self.mistake(
            "scenario::says_nothing",
            open.span.clone(),
            format!("this {} says whose tasks are meant, and not what happens to them", open.name),
            Some("nothing happens".to_owned()),
            Some(format!("add one of {}", known.join(", "))),
        );
    }

    fn out_of_range(&mut self, key: &str, span: Range<usize>, range: &str) {
        self.mistake("scenario::out_of_range", span, format!("`{key}` must be {range}"), None, None);
    }

    fn wrong_type(&mut self, key: &str, span: Range<usize>, expected: &str, found: &str, write: &str) {
        self.mistake(
            "scenario::wrong_type",
            span,
            format!("`{key}` must be {expected}, and this is {found}"),
            Some(format!("expected {expected}")),
            Some(format!("write `{write}`")),
        );
    }
}

fn find<'a>(table: &'a DeTable<'a>, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
    table.iter().find(|(known, _)| known.get_ref().as_ref() == key).map(|(_, value)| value)
}

fn integer(value: &DeValue<'_>) -> Option<i64> {
    match value {
        DeValue::Integer(number) => i64::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok(),
        _ => None,
    }
}

/// As in "this is …".
fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn described(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("`{text}`"),
        other => kind(other).to_owned(),
    }
}

fn example(keys: &[Key], key: &str) -> &'static str {
    keys.iter().find(|(known, _)| *known == key).map_or("…", |(_, example)| example)
}

fn assignment(keys: &[Key], key: &str) -> String {
    format!("{key} = {}", example(keys, key))
}

fn write(keys: &[Key], key: &str) -> String {
    format!("write `{}`", assignment(keys, key))
}

/// `1m30s`, `250ms`, `2h`.
pub(super) fn read_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let unit_end = rest[digits..].find(|letter: char| letter.is_ascii_digit()).map_or(rest.len(), |at| digits + at);
        total += match &rest[digits..unit_end] {
            "ms" => Duration::from_millis(number),
            "s" => Duration::from_secs(number),
            "m" => Duration::from_secs(number.checked_mul(60)?),
            "h" => Duration::from_secs(number.checked_mul(3600)?),
            _ => return None,
        };
        rest = &rest[unit_end..];
    }
    Some(total)
}

/// What was probably meant, or all that could have been.
fn meant<'a>(written: &str, known: impl Iterator<Item = &'a str> + Clone) -> (Option<String>, Option<String>) {
    let plain = written.to_lowercase().replace('-', "_");
    let nearest = known
        .clone()
        .map(|candidate| (strsim::damerau_levenshtein(&plain, candidate), candidate))
        // A third of the letters may be wrong; short words get one.
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate);
    // `crash` for `crash_after`: the beginning of a key is nearer than its letters tell.
    let begun = known.clone().find(|candidate| plain.len() > 2 && candidate.starts_with(&format!("{plain}_")));
    match nearest.or(begun) {
        Some(candidate) => (Some(format!("did you mean `{candidate}`?")), None),
        None => (Some("not known here".to_owned()), Some(known.collect::<Vec<_>>().join(", "))),
    }
}
