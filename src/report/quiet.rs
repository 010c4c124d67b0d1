//! The face that says nothing: the exit code and a failure's own text are all there is.

use std::io;

use super::Report;
use crate::event::Record;

pub struct Quiet;

impl Report for Quiet {
    fn hear(&mut self, _: &Record) -> io::Result<()> {
        Ok(())
    }

    fn tick(&mut self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        Ok(())
    }
}
