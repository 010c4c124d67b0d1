//! What the environment tells the server to do wrong.

use std::{fmt::Display, str::FromStr, thread, time::Duration};

/// What a signal to end does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnSigterm {
    /// Answer what has begun, then end: the one right way.
    Finish,
    /// Go on as if nothing had been said; ECS kills the task after `stopTimeout`.
    Ignore,
    /// End at once; whoever waits for an answer loses it.
    Drop,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Trouble {
    pub crash_at_start: bool,
    pub slow_start: Duration,
    pub unhealthy_after: Option<Duration>,
    pub on_sigterm: OnSigterm,
    crash_after: Option<Duration>,
    leak_mb_per_s: usize,
}

impl Trouble {
    /// Reads the switches; an empty value is as good as none, because a build argument that is not
    /// given bakes an empty one.
    pub fn from_environment(get: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let get = |name: &str| get(name).filter(|value| !value.is_empty());
        let on = |name: &str| get(name).is_some_and(|value| !matches!(value.as_str(), "0" | "false" | "no"));
        let milliseconds = |name: &str| Ok::<_, String>(number::<u64>(name, get(name))?.map(Duration::from_millis));
        Ok(Self {
            crash_at_start: on("CRASH_AT_START"),
            slow_start: milliseconds("SLOW_START_MS")?.unwrap_or_default(),
            unhealthy_after: milliseconds("UNHEALTHY_AFTER_MS")?,
            on_sigterm: match (on("IGNORE_SIGTERM"), on("DROP_ON_SIGTERM")) {
                (true, true) => return Err("IGNORE_SIGTERM and DROP_ON_SIGTERM exclude each other".to_owned()),
                (true, false) => OnSigterm::Ignore,
                (false, true) => OnSigterm::Drop,
                (false, false) => OnSigterm::Finish,
            },
            crash_after: milliseconds("CRASH_AFTER_MS")?,
            leak_mb_per_s: number("LEAK_MB_PER_S", get("LEAK_MB_PER_S"))?.unwrap_or_default(),
        })
    }

    /// Starts what happens beside the serving.
    pub fn begin(&self) {
        if let Some(after) = self.crash_after {
            thread::spawn(move || {
                thread::sleep(after);
                eprintln!("hello: queue worker: unexpected end of stream from mq.internal:5672 after 3 tries");
                std::process::exit(1);
            });
        }
        let leak = self.leak_mb_per_s;
        if leak > 0 {
            thread::spawn(move || {
                let mut kept: Vec<Vec<u8>> = Vec::new();
                loop {
                    // Not zero, so that every page is really written and counts as used.
                    kept.push(vec![1; leak << 20]);
                    println!("hello: cache holds {} MB", kept.len() * leak);
                    thread::sleep(Duration::from_secs(1));
                }
            });
        }
    }
}

fn number<T: FromStr<Err: Display>>(name: &str, value: Option<String>) -> Result<Option<T>, String> {
    value.map(|value| value.parse().map_err(|error| format!("{name}={value} is not a number: {error}"))).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(set: &[(&str, &str)]) -> Result<Trouble, String> {
        Trouble::from_environment(|name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn an_empty_switch_is_off() {
        let none = trouble(&[]).expect("no trouble");
        assert!(!none.crash_at_start);
        assert_eq!(none.on_sigterm, OnSigterm::Finish);
        assert_eq!(trouble(&[("CRASH_AT_START", ""), ("SLOW_START_MS", ""), ("DROP_ON_SIGTERM", "0")]), Ok(none));
    }

    #[test]
    fn switches_are_read() {
        let trouble = trouble(&[("CRASH_AT_START", "1"), ("SLOW_START_MS", "250"), ("IGNORE_SIGTERM", "true")])
            .expect("good switches");
        assert!(trouble.crash_at_start);
        assert_eq!(trouble.slow_start, Duration::from_millis(250));
        assert_eq!(trouble.on_sigterm, OnSigterm::Ignore);
    }

    #[test]
    fn a_wrong_switch_is_told() {
        assert_eq!(
            trouble(&[("CRASH_AFTER_MS", "soon")]).unwrap_err(),
            "CRASH_AFTER_MS=soon is not a number: invalid digit found in string"
        );
        assert!(trouble(&[("IGNORE_SIGTERM", "1"), ("DROP_ON_SIGTERM", "1")]).is_err());
    }
}
