//! A machine of its own for each test: an empty home, a cleared environment, a PATH that is known.

use std::{
    ffi::OsStr,
    fmt, fs,
    io::{self, Write as _},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The binary under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_docker-ecs-ship");

pub(crate) struct Environment {
    root: tempfile::TempDir,
    path: Vec<PathBuf>,
    variables: Vec<(String, String)>,
}

/// What a command did; the test has to look at it.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Environment {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().expect("a temporary folder");
        let environment = Self { root, path: vec!["/usr/bin".into(), "/bin".into()], variables: Vec::new() };
        fs::create_dir_all(environment.home()).expect("a home can be made");
        fs::create_dir_all(environment.work()).expect("a working folder can be made");
        environment
    }

    /// With the real Docker CLI on PATH. A machine without one cannot run these tests and says so.
    pub(crate) fn with_docker() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the test looks for the real docker on the real PATH")]
        let path = std::env::var_os("PATH").expect("the tests run with a PATH");
        let docker = std::env::split_paths(&path).map(|folder| folder.join("docker")).find(|docker| docker.is_file());
        let docker = docker.expect("these tests drive the real Docker CLI: install `docker`");
        let mut environment = Self::new();
        environment.path.insert(0, docker.parent().expect("a file has a folder").to_owned());
        environment
    }

    /// With the program installed by its own `install` and its PATH line obeyed.
    pub(crate) fn installed() -> Self {
        let mut environment = Self::with_docker();
        // On PATH the program is linked; copying a debug build for every test would fill the disk.
        environment.path.push(Path::new(PROGRAM).parent().expect("a file has a folder").to_owned());
        let output = environment.run(PROGRAM, ["install"]).success();
        environment.path.pop();
        let folders =
            output.stdout.trim().strip_prefix("export PATH=\"").and_then(|line| line.strip_suffix(":$PATH\""));
        let folders = folders.unwrap_or_else(|| panic!("no PATH line: {output}"));
        let folders: Vec<_> = folders.split(':').map(PathBuf::from).collect();
        environment.path.splice(0..0, folders);
        environment
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.root().join("home")
    }

    /// Where commands run.
    pub(crate) fn work(&self) -> PathBuf {
        self.root().join("work")
    }

    fn root(&self) -> PathBuf {
        self.root.path().canonicalize().expect("it is there")
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// As if it had never been set.
    pub(crate) fn unset(&mut self, name: &str) -> &mut Self {
        self.variables.retain(|(known, _)| known != name);
        self
    }

    /// Puts a folder before everything else on PATH.
    pub(crate) fn prepend(&mut self, folder: PathBuf) -> &mut Self {
        self.path.insert(0, folder);
        self
    }

    /// Writes a file in the working folder.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.work().join(name);
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("a folder can be made");
        fs::write(&path, text).expect("a file can be written");
        path
    }

    /// Writes a shell script that can be run.
    pub(crate) fn script(&self, name: &str, text: &str) -> PathBuf {
        let source = self.write(&format!("{name}.sh"), &format!("#!/bin/sh\n{text}"));
        let path = self.work().join(name);
        self.install_program(&source, &path);
        path
    }

    /// Copies a program from a process of its own.
    ///
    /// Why not `fs::copy`? While it writes, another test may start a process, which inherits the open
    /// file for a moment; whoever runs the copy then hears "Text file busy".
    pub(crate) fn install_program(&self, source: &Path, path: &Path) {
        let status = self.command("install").args(["-D", "-m", "755"]).args([source, path]).status();
        assert!(status.expect("there is an `install` program").success());
    }

    /// The binary under another name.
    pub(crate) fn face(&self, name: &str) -> PathBuf {
        let path = self.work().join("faces").join(name);
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("a folder can be made");
        symlink(PROGRAM, &path).expect("a link can be made");
        path
    }

    /// A command with this environment and nothing else of the test's.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let path = std::env::join_paths(&self.path).expect("a PATH");
        // The program is looked for on *this* PATH, not on the test's.
        let program = Path::new(program.as_ref());
        let found = self.path.iter().map(|folder| folder.join(program)).find(|path| path.is_file());
        let mut command = Command::new(found.as_deref().unwrap_or(program));
        if program.components().count() == 1 {
            use std::os::unix::process::CommandExt as _;

            command.arg0(program);
        }
        command
            .env_clear()
            .env("HOME", self.home())
            .env("PATH", path)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self.work())
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run<const N: usize>(&self, program: impl AsRef<OsStr>, words: [&str; N]) -> Output {
        self.finish(self.command(program).args(words))
    }

    pub(crate) fn run_all(&self, program: impl AsRef<OsStr>, words: &[&str]) -> Output {
        self.finish(self.command(program).args(words))
    }

    pub(crate) fn run_with_input<const N: usize>(
        &self,
        program: impl AsRef<OsStr>,
        words: [&str; N],
        input: &str,
    ) -> Output {
        let mut command = self.command(program);
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let mut stdin = child.stdin.take().expect("stdin is a pipe");
        // A program that does not read its input has answered without it.
        match stdin.write_all(input.as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => panic!("{error}"),
            Ok(()) | Err(_) => {}
        }
        drop(stdin);
        self.read(&child.wait_with_output().expect("the program ends"))
    }

    pub(crate) fn finish(&self, command: &mut Command) -> Output {
        self.read(&command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}")))
    }

    /// What is different on every run is named.
    fn read(&self, output: &std::process::Output) -> Output {
        let text = |bytes: &[u8]| {
            String::from_utf8_lossy(bytes)
                .replace(&self.home().display().to_string(), "$HOME")
                .replace(&self.work().display().to_string(), "$WORK")
        };
        Output {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: text(&output.stderr),
        }
    }
}

impl Output {
    /// The output of a command that has to succeed.
    pub(crate) fn success(self) -> Self {
        assert_eq!(self.code, Some(0), "{self}");
        self
    }
}

impl fmt::Display for Output {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code.map_or("by a signal".to_owned(), |code| code.to_string());
        write!(formatter, "exit: {code}\n--- stdout\n{}--- stderr\n{}", self.stdout, self.stderr)
    }
}
