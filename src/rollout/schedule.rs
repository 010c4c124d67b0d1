//! When to look next, and at what. A part that goes unanswered is asked half as often each time:
//! throttling slows the view and nothing else.

use std::collections::{BTreeMap, BTreeSet};

/// A part of a [`View`](super::view::View): one or a few calls each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// `DescribeServices`.
    Service,
    /// `DescribeServiceDeployments` of [`Machine::service_deployment`](super::machine::Machine::service_deployment).
    Deployment,
    /// `ListTasks` (running and stopped) and `DescribeTasks`.
    Tasks,
    /// `DescribeTargetHealth`, for each target group.
    Targets,
}

impl Part {
    /// What it is to a reader.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Deployment => "service deployment",
            Self::Tasks => "tasks",
            Self::Targets => "target health",
        }
    }
}

/// The parts to look at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ask {
    pub parts: BTreeSet<Part>,
}

impl Ask {
    #[must_use]
    pub fn all() -> Self {
        Self { parts: [Part::Service, Part::Deployment, Part::Tasks, Part::Targets].into() }
    }

    #[must_use]
    pub fn wants(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }
}

/// Never the next look at once: what made it urgent needs a moment to become visible to AWS's readers.
const SOONEST_MS: u64 = 200;

/// Four doublings: at the usual 2 s, half a minute between two tries.
const MOST_DOUBLINGS: u32 = 4;

/// How much a part is wanted now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// With the next look, as soon as possible.
    Now,
    Every(u64),
}

#[derive(Debug, Clone, Default)]
pub(super) struct Schedule {
    asked: Ask,
    asked_ms: BTreeMap<Part, u64>,
    /// In a row.
    unanswered: BTreeMap<Part, u32>,
    /// Since when a part is wanted now, or for the first time. Counted from there and not from each look: other parts that are looked
    /// at more often would put it off for ever.
    urgent_since_ms: BTreeMap<Part, u64>,
}

impl Schedule {
    /// Takes note of which of the asked parts came back.
    pub(super) fn heard(&mut self, answered: &[Part], now_ms: u64) {
        for part in answered {
            self.unanswered.insert(*part, 0);
            self.asked_ms.insert(*part, now_ms);
        }
        for part in std::mem::take(&mut self.asked).parts {
            if !answered.contains(&part) {
                *self.unanswered.entry(part).or_default() += 1;
            }
        }
    }

    /// How often in a row the part was asked for in vain.
    pub(super) fn unanswered(&self, part: Part) -> u32 {
        self.unanswered.get(&part).copied().unwrap_or(0)
    }

    /// In how many milliseconds to look, and at what.
    pub(super) fn next(&mut self, now_ms: u64, wants: &[(Part, Want)]) -> (u64, Ask) {
        let soonest = now_ms.saturating_add(SOONEST_MS);
        for (part, want) in wants {
            if *want == Want::Now || !self.asked_ms.contains_key(part) {
                self.urgent_since_ms.entry(*part).or_insert(now_ms);
            } else {
                self.urgent_since_ms.remove(part);
            }
        }
        let urgent =
            |part: Part| self.urgent_since_ms.get(&part).map_or(soonest, |since| since.saturating_add(SOONEST_MS));
        let due = |part: Part, want: Want| {
            let doublings = self.unanswered(part).min(MOST_DOUBLINGS);
            let last = self.asked_ms.get(&part).copied();
            match (want, last) {
                (Want::Now, _) if doublings == 0 => urgent(part),
                (Want::Every(_) | Want::Now, None) => urgent(part),
                (Want::Every(interval), Some(last)) => last.saturating_add(interval << doublings),
                // Wanted now but refused the last time: no quicker than a patient try.
                (Want::Now, Some(last)) => last.saturating_add(1_000 << doublings),
            }
        };
        let dues: Vec<_> = wants.iter().map(|(part, want)| (*part, due(*part, *want))).collect();
        let at = dues.iter().map(|(_, due)| *due).min().unwrap_or(soonest).max(now_ms.saturating_add(1));
        // What is due a moment later goes along.
        let along = at.saturating_add((at - now_ms) / 4);
        let parts: BTreeSet<_> = dues.iter().filter(|(_, due)| *due <= along).map(|(part, _)| *part).collect();
        for part in &parts {
            self.asked_ms.insert(*part, at);
            self.urgent_since_ms.remove(part);
        }
        self.asked = Ask { parts };
        (at - now_ms, self.asked.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::{Part, Schedule, Want};

    #[test]
    fn parts_are_asked_at_their_own_pace() {
        let wants = [(Part::Service, Want::Every(2_000)), (Part::Tasks, Want::Every(5_000))];
        let mut schedule = Schedule::default();
        let mut now = 0;
        let mut asked = Vec::new();
        schedule.heard(&[Part::Service, Part::Tasks], now);
        for _ in 0..5 {
            let (after, ask) = schedule.next(now, &wants);
            now += after;
            let parts: Vec<_> = ask.parts.iter().copied().collect();
            asked.push((now, parts.clone()));
            schedule.heard(&parts, now);
        }
        let both = vec![Part::Service, Part::Tasks];
        let service = vec![Part::Service];
        assert_eq!(
            asked,
            [
                (2_000, service.clone()),
                (4_000, service.clone()),
                (5_000, vec![Part::Tasks]),
                (6_000, service.clone()),
                (8_000, service)
            ]
        );
        assert_eq!(
            schedule.next(now, &[(Part::Service, Want::Now), (Part::Tasks, Want::Now)]).1.parts,
            both.into_iter().collect()
        );
    }

    /// In a sandbox whose time runs a hundred times faster the service is looked at every 50 ms.
    #[test]
    fn what_is_wanted_now_is_not_put_off_by_what_is_looked_at_more_often() {
        for (part, want) in [(Part::Tasks, Want::Now), (Part::Deployment, Want::Every(100))] {
            let mut schedule = Schedule::default();
            let mut now = 0;
            // The deployment was never asked for: it is not known before the service has named it.
            schedule.heard(&[Part::Service, Part::Tasks], now);
            for _ in 0..10 {
                let (after, ask) = schedule.next(now, &[(Part::Service, Want::Every(50)), (part, want)]);
                now += after;
                schedule.heard(&ask.parts.iter().copied().collect::<Vec<_>>(), now);
                if ask.wants(part) {
                    break;
                }
            }
            assert!((200..300).contains(&now), "{part:?} {now}");
        }
    }

    #[test]
    fn a_part_that_is_throttled_is_asked_less_and_less() {
        let mut schedule = Schedule::default();
        let mut now = 0;
        let mut gaps = Vec::new();
        schedule.heard(&[Part::Service], now);
        for _ in 0..7 {
            let (after, _) = schedule.next(now, &[(Part::Service, Want::Every(2_000))]);
            now += after;
            gaps.push(after);
            schedule.heard(&[], now);
        }
        assert_eq!(gaps, [2_000, 4_000, 8_000, 16_000, 32_000, 32_000, 32_000]);
        schedule.heard(&[Part::Service], now);
        assert_eq!(schedule.next(now, &[(Part::Service, Want::Every(2_000))]).0, 2_000);
    }
}
