//! Whether the load says anything about the program.

use super::{Finding, Sighting, Weight, finding};
use crate::{
    report::words,
    sandbox::load::{Load, Phase},
};

pub(super) fn load(sighting: &Sighting<'_>, found: &mut Vec<Finding>) {
    let Sighting { tally, rehearsed, .. } = sighting;
    let refused: u64 = tally.statuses.range(400..500).map(|(_, count)| count).sum();
    if refused > 0 && refused * 2 > tally.requests {
        let status = tally.statuses.range(400..500).max_by_key(|(_, count)| **count).map_or(0, |(status, _)| *status);
        found.push(finding(
            "load_refused",
            Weight::Note,
            format!("most requests were answered with {status}: the load does not do what your users do"),
            "name a path that answers with --path".to_owned(),
        ));
    }
    // A few of very many are late on any machine.
    if tally.late.requests * 20 > tally.requests {
        found.push(finding(
            "load_late",
            Weight::Note,
            format!(
                "{} of {} requests were sent later than they were due, by up to {}: for {} a second this machine, or the {} \
                 requests that may be out at a time, are not enough, and some of the time that answers took is that",
                tally.late.requests,
                tally.requests,
                words::duration(tally.late.longest_ms),
                rehearsed.rate,
                Load::default().connections,
            ),
            "trust the times of a rehearsal with a lower --load, on a machine that does nothing else".to_owned(),
        ));
    }
    let before = tally.phases.get(&Phase::Start).or_else(|| tally.phases.get(&Phase::Before));
    let during = [Phase::Shift, Phase::Drain, Phase::Stop].iter().filter_map(|phase| tally.phases.get(phase));
    let (Some(before), Some(during)) = (before, during.max_by_key(|share| share.quantile(0.99))) else { return };
    let (usual, worst) = (before.quantile(0.99), during.quantile(0.99));
    if worst > usual.max(50) * 4 && during.requests > 100 {
        found.push(finding(
            "slower_during",
            Weight::Note,
            format!(
                "one request in a hundred took {} and more while tasks were replaced, {} before",
                words::duration(worst),
                words::duration(usual)
            ),
            "new tasks are sent a full share at once: warm them up before they count as healthy, or set \
             slow_start.duration_seconds of the target group"
                .to_owned(),
        ));
    }
}
