//! The command line: what was typed, and one file per verb.
