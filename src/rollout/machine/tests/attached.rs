//! A rollout that somebody else has started: what was before the first look counts as well.

use super::*;

/// What one look at a minute after the beginning tells, by a watch that knows when it began, or does not.
fn first_look(began_ms: Option<u64>) -> (Vec<u64>, u64) {
    const LATE: u64 = 60_000;
    let model = Model::usual();
    let goal = model.goal(DoneWhen::Drained);
    let terms = Terms { began_ms, ..goal.terms };
    let mut machine = Machine::new(Goal { terms, ..goal }, START + LATE);
    let heard = machine.see(&model.answer(&Ask::all(), LATE), START + LATE);
    let told = heard.progress.iter().filter_map(|progress| match progress {
        Progress::ServiceEvent { time_ms, .. } => Some(*time_ms),
        _ => None,
    });
    let elapsed = heard.progress.iter().find_map(|progress| match progress {
        Progress::Board(board) => Some(board.elapsed_ms),
        _ => None,
    });
    (told.collect(), elapsed.expect("a board"))
}

#[test]
fn its_earlier_events_are_told_and_its_time_counts_from_its_beginning() {
    let (told, elapsed) = first_look(Some(START));
    assert!(!told.is_empty() && told.iter().all(|time| (START..START + 60_000).contains(time)), "{told:?}");
    assert_eq!(elapsed, 60_000);
    // One that was started here has no past of its own.
    let (told, elapsed) = first_look(None);
    assert!(told.iter().all(|time| *time >= START), "{told:?}");
    assert_eq!(elapsed, 0);
    // A clock of ECS's that is ahead of ours.
    let (_, elapsed) = first_look(Some(START + 3_600_000));
    assert_eq!(elapsed, 0);
}
