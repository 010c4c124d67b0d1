//! The routes as a request uses them: every target with its link.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::super::world::Millis;
use super::super::super::world::elb::{
    Algorithm, Duty, GroupRoute, ListenerRoute, Routes, Stickiness, Target, Warming,
};
use super::Link;

#[derive(Default)]
pub(super) struct Table {
    listeners: HashMap<u16, ListenerRoute>,
    groups: HashMap<String, Group>,
}

pub(super) struct Group {
    pub(super) stickiness: Option<Stickiness>,
    links: HashMap<Target, (Duty, Arc<Link>)>,
    algorithm: Algorithm,
    /// With the slow start of those that are in it.
    serving: Vec<(Arc<Link>, Option<Warming>)>,
    /// Whose turn it is; shared by all tables of the group, so that a change does not send everyone to the first.
    turn: Arc<AtomicUsize>,
}

impl Table {
    /// The new table, with the links and turns of the old one.
    pub(super) fn new(routes: &Routes, old: &Self) -> Self {
        let group = |route: &GroupRoute| {
            let before = old.groups.get(&route.arn);
            let link = |target: &Target| {
                let known = before.and_then(|group| group.links.get(target)).map(|(_, link)| Arc::clone(link));
                known.unwrap_or_else(|| Arc::new(Link::new(&route.arn, target)))
            };
            let links: HashMap<_, _> =
                route.targets.iter().map(|one| (one.target.clone(), (one.duty, link(&one.target)))).collect();
            let serving = route.targets.iter().filter(|one| one.duty == Duty::Serving);
            let group = Group {
                stickiness: route.stickiness.clone(),
                algorithm: route.algorithm,
                serving: serving.map(|one| (Arc::clone(&links[&one.target].1), one.warming)).collect(),
                links,
                turn: before.map_or_else(Arc::default, |group| Arc::clone(&group.turn)),
            };
            // Before anybody can find it in the table: a target that drained and came back takes requests again.
            group.serving.iter().for_each(|(link, _)| link.open());
            (route.arn.clone(), group)
        };
        Self {
            listeners: routes.listeners.iter().map(|listener| (listener.port, listener.clone())).collect(),
            groups: routes.groups.iter().map(group).collect(),
        }
    }

    /// Closes the links that do not serve, and cuts those of targets that are gone.
    pub(super) fn settle(&self, old: &Self) {
        for (duty, link) in self.groups.values().flat_map(|group| group.links.values()) {
            match duty {
                Duty::Serving => {}
                Duty::Waiting | Duty::Draining => link.close(),
            }
        }
        for (arn, group) in &old.groups {
            for (target, (_, link)) in &group.links {
                if !self.groups.get(arn).is_some_and(|group| group.links.contains_key(target)) {
                    link.retire();
                }
            }
        }
    }

    pub(super) fn listener(&self, port: u16) -> Option<&ListenerRoute> {
        self.listeners.get(&port)
    }

    pub(super) fn group(&self, arn: &str) -> Option<&Group> {
        self.groups.get(arn)
    }

    pub(super) fn links(&self) -> impl Iterator<Item = &Arc<Link>> {
        self.groups.values().flat_map(|group| group.links.values()).map(|(_, link)| link)
    }
}

impl Group {
    /// Whether anybody takes requests.
    pub(super) fn serves(&self) -> bool {
        !self.serving.is_empty()
    }

    /// The target the cookie names, if it still serves.
    pub(super) fn by_cookie(&self, cookie: &str) -> Option<Arc<Link>> {
        self.serving.iter().map(|(link, _)| link).find(|link| link.cookie() == cookie).cloned()
    }

    /// The next one, by the group's algorithm; `number` is any, and looks random.
    pub(super) fn next(&self, number: u64, now: Millis) -> Option<Arc<Link>> {
        let count = self.serving.len();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed).checked_rem(count)?;
        let in_turn = || (turn..count).chain(0..turn).filter_map(|at| self.serving.get(at));
        let chosen = match self.algorithm {
            // Among equals the one whose turn it is.
            Algorithm::LeastOutstandingRequests => in_turn().min_by_key(|(link, _)| link.in_flight()),
            Algorithm::WeightedRandom => {
                usize::try_from(number % count as u64).ok().and_then(|at| self.serving.get(at))
            }
            // One in slow start leaves part of its turns to the others.
            Algorithm::RoundRobin => in_turn()
                .find(|(_, warming)| warming.is_none_or(|warming| number % 1000 < warming.share(now)))
                .or_else(|| self.serving.get(turn)),
        };
        chosen.map(|(link, _)| Arc::clone(link))
    }
}
