//! `replay`: shows a run that `--record` kept, through any face.

use std::{fs, io::Write as _};

use super::{
    Door, args,
    show::{self, Faces},
};
use crate::{
    event::{Event, Record},
    exit::Exit,
    failure::Failure,
    report::{Report, summary::Summary},
};

pub fn run(args: &args::Replay, door: &Door) -> Result<Exit, Failure> {
    let bytes = fs::read(&args.recording).map_err(|source| Failure::read(args.recording.clone(), source))?;
    let mut faces: Vec<Box<dyn Report>> = if args.summary {
        vec![Box::new(Summary::new(door.stderr(), show::style(door)))]
    } else {
        let Faces { reports, shown: _ } = show::faces(&args.display, door)?;
        reports
    };
    let mut has_ended = false;
    for (number, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let record: Record = match serde_json::from_slice(line) {
            Ok(record) => record,
            // A program that was killed writes no line feed: what it began to say is not to be had.
            Err(_) if line.last() != Some(&b'\n') => continue,
            Err(source) => {
                let path = args.recording.clone();
                return Err(Failure::Recording { path, line: number + 1, source });
            }
        };
        has_ended |= matches!(record.event, Event::Ended { .. });
        for face in &mut faces {
            face.hear(&record).map_err(Failure::Output)?;
        }
    }
    for face in &mut faces {
        face.close().map_err(Failure::Output)?;
    }
    if !has_ended {
        door.tell("the recording ends here, before the run did\n")?;
    }
    door.stderr().flush().map_err(Failure::Output)?;
    Ok(Exit::Done)
}
