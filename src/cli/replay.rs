//! `replay`: shows a run that `--record` kept, through any face.

use std::{fs, io::Write as _};

use super::{Door, args, show};
use crate::{
    event::Record,
    exit::Exit,
    failure::Failure,
    report::{Report, summary::Summary},
};

pub fn run(args: &args::Replay, door: &Door) -> Result<Exit, Failure> {
    let text = fs::read_to_string(&args.recording).map_err(|source| Failure::read(args.recording.clone(), source))?;
    let mut faces: Vec<Box<dyn Report>> = if args.summary {
        vec![Box::new(Summary::new(door.stderr(), show::style(door)))]
    } else {
        show::faces(&args.display, door)?
    };
    for (number, line) in text.lines().enumerate() {
        let record: Record = serde_json::from_str(line).map_err(|source| Failure::Recording {
            path: args.recording.clone(),
            line: number + 1,
            source,
        })?;
        for face in &mut faces {
            face.hear(&record).map_err(Failure::Output)?;
        }
    }
    for face in &mut faces {
        face.close().map_err(Failure::Output)?;
    }
    door.stderr().flush().map_err(Failure::Output)?;
    Ok(Exit::Done)
}
