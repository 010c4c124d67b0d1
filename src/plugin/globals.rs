//! Docker's own flags, as they stand before the name of a plugin.
//!
//! One table serves reading, help and completion. Reading follows pflag, which docker uses: it stops
//! at the first word that is no flag, and flags of one letter may be joined.

use std::{
    ffi::{OsStr, OsString},
    path::PathBuf,
};

/// What was said before the name. Whether it can be obeyed is for whoever opens the engine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Globals {
    /// Docker's configuration folder.
    pub config: Option<PathBuf>,
    pub context: Option<String>,
    pub debug: Option<bool>,
    pub host: Option<String>,
    pub log_level: Option<String>,
    pub tls: Option<bool>,
    pub tls_verify: Option<bool>,
    pub tls_ca_cert: Option<PathBuf>,
    pub tls_cert: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
}

/// A flag of docker's as its help shows it (cli/flags/options.go, `InstallFlags`).
#[derive(Debug, Clone, Copy)]
pub struct GlobalFlag {
    pub long: &'static str,
    pub short: Option<char>,
    /// What its value is called; `None` for a flag that is on or off.
    pub value: Option<&'static str>,
    pub help: &'static str,
    pub(super) field: Field,
}

/// Which field of [`Globals`] a flag fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Config,
    Context,
    Debug,
    Host,
    LogLevel,
    Tls,
    TlsCaCert,
    TlsCert,
    TlsKey,
    TlsVerify,
}

const fn flag(
    long: &'static str,
    short: Option<char>,
    value: Option<&'static str>,
    help: &'static str,
    field: Field,
) -> GlobalFlag {
    GlobalFlag { long, short, value, help, field }
}

/// Docker's flags in the order of docker's help, with docker's words.
pub const FLAGS: [GlobalFlag; 10] = [
    flag("config", None, Some("string"), "Location of client config files", Field::Config),
    flag("context", Some('c'), Some("string"), "Name of the context to use to connect to the daemon", Field::Context),
    flag("debug", Some('D'), None, "Enable debug mode", Field::Debug),
    flag("host", Some('H'), Some("string"), "Daemon socket to connect to", Field::Host),
    flag(
        "log-level",
        Some('l'),
        Some("string"),
        "Set the logging level (\"debug\", \"info\", \"warn\", \"error\", \"fatal\")",
        Field::LogLevel,
    ),
    flag("tls", None, None, "Use TLS; implied by --tlsverify", Field::Tls),
    flag("tlscacert", None, Some("string"), "Trust certs signed only by this CA", Field::TlsCaCert),
    flag("tlscert", None, Some("string"), "Path to TLS certificate file", Field::TlsCert),
    flag("tlskey", None, Some("string"), "Path to TLS key file", Field::TlsKey),
    flag("tlsverify", None, None, "Use TLS and verify the remote", Field::TlsVerify),
];

/// What stands before the first word that is no flag of docker's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prelude {
    pub globals: Globals,
    /// `--help` or `-h` stood among them.
    pub asks: Option<Ask>,
    /// How many words were read.
    pub read: usize,
}

/// A question that stood where docker's flags stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    Help,
    Version,
}

/// Why docker's flags could not be read; the texts are docker's own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GlobalsError {
    #[error("flag needs an argument: {flag}")]
    NeedsArgument { flag: String },
    #[error("invalid argument \"{value}\" for \"{flag}\" flag: it is on or off: true or false")]
    NotOnOrOff { flag: String, value: String },
    #[error("conflicting options: cannot specify both --host and --context")]
    HostAndContext,
}

impl Prelude {
    /// Reads docker's flags from the front of `words`, up to the first word that is none of them.
    pub fn read(words: &[OsString]) -> Result<Self, GlobalsError> {
        let mut prelude = Self::default();
        while let Some(word) = words.get(prelude.read).and_then(|word| word.to_str()) {
            let mut rest = words.get(prelude.read + 1);
            let understood = if let Some(long) = word.strip_prefix("--") {
                prelude.long(long, &mut rest)?
            } else if let Some(short) = word.strip_prefix('-').filter(|short| !short.is_empty()) {
                prelude.short(short, &mut rest)?
            } else {
                false
            };
            if !understood {
                break;
            }
            // `rest` is taken when the value stood in the next word.
            prelude.read += if rest.is_none() && words.get(prelude.read + 1).is_some() { 2 } else { 1 };
        }
        prelude.globals.check()?;
        Ok(prelude)
    }

    /// Reads `--name`, `--name=value` or `--name value`; answers whether it was docker's.
    fn long(&mut self, word: &str, next: &mut Option<&OsString>) -> Result<bool, GlobalsError> {
        let (name, joined) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
        match name {
            "help" => self.asks = Some(Ask::Help),
            "version" => self.asks = Some(Ask::Version),
            _ => {
                let Some(flag) = FLAGS.iter().find(|flag| flag.long == name) else { return Ok(false) };
                match (flag.value, joined) {
                    (None, joined) => self.globals.switch(flag, joined)?,
                    (Some(_), Some(value)) => self.globals.fill(flag, OsStr::new(value)),
                    (Some(_), None) => match next.take() {
                        Some(value) => self.globals.fill(flag, value),
                        None => return Err(GlobalsError::NeedsArgument { flag: format!("--{name}") }),
                    },
                }
            }
        }
        Ok(true)
    }

    /// Reads `-D`, `-c value`, `-cvalue`, `-c=value` and joined letters; all or nothing, so that a
    /// word with one strange letter is left for whoever comes next.
    fn short(&mut self, letters: &str, next: &mut Option<&OsString>) -> Result<bool, GlobalsError> {
        let mut read = self.clone();
        for (at, letter) in letters.char_indices() {
            let after = &letters[at + letter.len_utf8()..];
            match letter {
                'h' => read.asks = Some(Ask::Help),
                'v' => read.asks = Some(Ask::Version),
                _ => {
                    let Some(flag) = FLAGS.iter().find(|flag| flag.short == Some(letter)) else { return Ok(false) };
                    if flag.value.is_none() {
                        read.globals.switch(flag, None)?;
                        continue;
                    }
                    if after.is_empty() {
                        let shown = format!("'{letter}' in -{letters}");
                        let value = next.take().ok_or(GlobalsError::NeedsArgument { flag: shown })?;
                        read.globals.fill(flag, value);
                    } else {
                        read.globals.fill(flag, OsStr::new(after.strip_prefix('=').unwrap_or(after)));
                    }
                    break;
                }
            }
        }
        *self = read;
        Ok(true)
    }
}

impl Globals {
    /// Puts what was said later over what was said earlier.
    pub fn over(self, earlier: Self) -> Result<Self, GlobalsError> {
        let both = Self {
            config: self.config.or(earlier.config),
            context: self.context.or(earlier.context),
            debug: self.debug.or(earlier.debug),
            host: self.host.or(earlier.host),
            log_level: self.log_level.or(earlier.log_level),
            tls: self.tls.or(earlier.tls),
            tls_verify: self.tls_verify.or(earlier.tls_verify),
            tls_ca_cert: self.tls_ca_cert.or(earlier.tls_ca_cert),
            tls_cert: self.tls_cert.or(earlier.tls_cert),
            tls_key: self.tls_key.or(earlier.tls_key),
        };
        both.check()?;
        Ok(both)
    }

    /// Spells them again, for a docker that is started on the user's behalf.
    #[must_use]
    pub fn to_words(&self) -> Vec<OsString> {
        let Self { config, context, debug, host, log_level, tls, tls_verify, tls_ca_cert, tls_cert, tls_key } = self;
        let mut words = Vec::new();
        let texts = [("--context", context), ("--host", host), ("--log-level", log_level)];
        for (flag, value) in texts.into_iter().filter_map(|(flag, value)| Some((flag, value.as_ref()?))) {
            words.extend([flag.into(), value.into()]);
        }
        let paths =
            [("--config", config), ("--tlscacert", tls_ca_cert), ("--tlscert", tls_cert), ("--tlskey", tls_key)];
        for (flag, value) in paths.into_iter().filter_map(|(flag, value)| Some((flag, value.as_ref()?))) {
            words.extend([flag.into(), value.into()]);
        }
        let switches = [("--debug", debug), ("--tls", tls), ("--tlsverify", tls_verify)];
        for (flag, on) in switches.into_iter().filter_map(|(flag, on)| Some((flag, on.as_ref()?))) {
            words.push(format!("{flag}={on}").into());
        }
        words
    }

    fn check(&self) -> Result<(), GlobalsError> {
        match (&self.host, &self.context) {
            (Some(_), Some(_)) => Err(GlobalsError::HostAndContext),
            (Some(_) | None, _) => Ok(()),
        }
    }

    fn switch(&mut self, flag: &GlobalFlag, value: Option<&str>) -> Result<(), GlobalsError> {
        // The words Go's `strconv.ParseBool` knows, as docker reads its own.
        let on = match value {
            None | Some("1" | "t" | "T" | "true" | "TRUE" | "True") => true,
            Some("0" | "f" | "F" | "false" | "FALSE" | "False") => false,
            Some(value) => {
                return Err(GlobalsError::NotOnOrOff { flag: format!("--{}", flag.long), value: value.to_owned() });
            }
        };
        match flag.field {
            Field::Debug => self.debug = Some(on),
            Field::Tls => self.tls = Some(on),
            Field::TlsVerify => self.tls_verify = Some(on),
            Field::Config
            | Field::Context
            | Field::Host
            | Field::LogLevel
            | Field::TlsCaCert
            | Field::TlsCert
            | Field::TlsKey => {}
        }
        Ok(())
    }

    fn fill(&mut self, flag: &GlobalFlag, value: &OsStr) {
        let text = || Some(value.to_string_lossy().into_owned());
        let path = || Some(PathBuf::from(value));
        match flag.field {
            Field::Config => self.config = path(),
            Field::Context => self.context = text(),
            Field::Host => self.host = text(),
            Field::LogLevel => self.log_level = text(),
            Field::TlsCaCert => self.tls_ca_cert = path(),
            Field::TlsCert => self.tls_cert = path(),
            Field::TlsKey => self.tls_key = path(),
            Field::Debug | Field::Tls | Field::TlsVerify => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Prelude, GlobalsError> {
        Prelude::read(&line.split(' ').map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn docker_flags_are_read_up_to_the_first_other_word() {
        let prelude = read("-H unix:///x --tls=false --config D ecsship -c prod deploy").expect("docker reads it");
        assert_eq!(prelude.read, 5);
        assert_eq!(
            prelude.globals,
            Globals {
                host: Some("unix:///x".to_owned()),
                tls: Some(false),
                config: Some("D".into()),
                ..Globals::default()
            }
        );
    }

    #[test]
    fn letters_may_be_joined() {
        let prelude = read("-Dcprod -l=debug deploy").expect("docker reads it");
        assert_eq!(prelude.read, 2);
        assert_eq!(prelude.globals.context.as_deref(), Some("prod"));
        assert_eq!(prelude.globals.debug, Some(true));
        assert_eq!(prelude.globals.log_level.as_deref(), Some("debug"));
        assert_eq!(read("-Dc prod deploy").expect("docker reads it").read, 2);
    }

    #[test]
    fn a_flag_that_is_not_dockers_ends_the_reading() {
        for line in ["-e staging deploy", "--environment staging", "-De staging", "-", "--", "deploy --debug"] {
            assert_eq!(read(line).expect("nothing to complain about").read, 0, "{line}");
        }
    }

    #[test]
    fn questions_are_heard() {
        assert_eq!(read("-D --help ecsship").expect("docker reads it").asks, Some(Ask::Help));
        assert_eq!(read("-v ecsship").expect("docker reads it").asks, Some(Ask::Version));
    }

    #[test]
    fn what_is_spelled_again_reads_the_same() {
        let line = "-D --tls=false --tlsverify -c=prod -l info --config a --tlscacert b --tlscert=c --tlskey d";
        let prelude = read(line).expect("docker reads it");
        let again = Prelude::read(&prelude.globals.to_words()).expect("docker reads it");
        assert_eq!(again.globals, prelude.globals);
        assert_eq!(again.read, again.globals.to_words().len());
    }

    #[test]
    fn mistakes_are_told_in_dockers_words() {
        for (line, text) in [
            ("--context", "flag needs an argument: --context"),
            ("-Dc", "flag needs an argument: 'c' in -Dc"),
            ("--tls=maybe deploy", "invalid argument \"maybe\" for \"--tls\" flag: it is on or off: true or false"),
            ("-c a -H b deploy", "conflicting options: cannot specify both --host and --context"),
        ] {
            assert_eq!(read(line).expect_err("docker refuses it").to_string(), text);
        }
    }
}
