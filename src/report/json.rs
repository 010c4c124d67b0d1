//! The face for tools: one event a line, exactly as the stream carries it, flushed at once.

use std::io::{self, Write};

use super::Report;
use crate::event::Record;

pub struct Json<W> {
    out: W,
}

impl<W: Write + Send> Json<W> {
    pub const fn new(out: W) -> Self {
        Self { out }
    }
}

impl<W: Write + Send> Report for Json<W> {
    fn hear(&mut self, record: &Record) -> io::Result<()> {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        self.out.write_all(&line)?;
        self.out.flush()
    }

    fn tick(&mut self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
