//! The one writer for stdout and stderr.
//!
//! A reader that goes away (`docker ecs-ship --help | head -1`) is no error: what is left unsaid was
//! not wanted.

use std::io::{self, Write};

/// One of the two standard streams; cheap to make, each write locks for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Data.
    Stdout,
    /// Talk.
    Stderr,
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        calm(match self {
            Self::Stdout => io::stdout().lock().write_all(bytes),
            Self::Stderr => io::stderr().lock().write_all(bytes),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        calm(match self {
            Self::Stdout => io::stdout().lock().flush(),
            Self::Stderr => io::stderr().lock().flush(),
        })
    }
}

fn calm(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Ok(()) | Err(_) => result,
    }
}
