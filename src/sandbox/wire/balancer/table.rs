//! The routes as a request uses them: every target with its link.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::super::world::elb::{Duty, GroupRoute, ListenerRoute, Routes, Target};
use super::Link;

#[derive(Default)]
pub(super) struct Table {
    listeners: HashMap<u16, ListenerRoute>,
    groups: HashMap<String, Group>,
}

pub(super) struct Group {
    pub(super) stickiness_seconds: Option<u64>,
    links: HashMap<Target, (Duty, Arc<Link>)>,
    serving: Vec<Arc<Link>>,
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
                stickiness_seconds: route.stickiness_seconds,
                serving: serving.map(|one| Arc::clone(&links[&one.target].1)).collect(),
                links,
                turn: before.map_or_else(Arc::default, |group| Arc::clone(&group.turn)),
            };
            // Before anybody can find it in the table: a target that drained and came back takes requests again.
            group.serving.iter().for_each(|link| link.open());
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
    /// The target the cookie names, if it still serves.
    pub(super) fn by_cookie(&self, cookie: &str) -> Option<Arc<Link>> {
        self.serving.iter().find(|link| link.cookie() == cookie).cloned()
    }

    /// The next in turn.
    pub(super) fn next(&self) -> Option<Arc<Link>> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        self.serving.get(turn.checked_rem(self.serving.len())?).cloned()
    }
}
