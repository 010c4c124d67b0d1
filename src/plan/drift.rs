//! Drift: what has changed in a service's task definition since this program last shipped to it.
//!
//! What was shipped is known from the revisions themselves, never from a file on some machine. Each one we
//! register carries two tags: which service it was made for, and a fingerprint of its content. Why a fingerprint?
//! "Create new revision" in the console copies tags, so a tag alone does not prove that a revision is as we made it.
//! Terraform drops tags it does not know; both are revisions whose fingerprint is missing or does not fit.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{
    diff::{self, Change, Difference, TAG_FINGERPRINT, TAG_TARGET},
    observed::{ServiceActive, Shipped},
};
use crate::id::{Cluster, ServiceName, TaskDefArn};

/// The fields in which what runs differs from what was shipped last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// The revision we registered last for this service.
    pub shipped: TaskDefArn,
    /// The one the service is set to, which somebody else registered.
    pub live: TaskDefArn,
    /// Never empty: a revision that differs in nothing is no drift.
    pub changes: Vec<Difference>,
}

/// What a ship does with a field that has drifted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// The new revision has it as it is live.
    Kept,
    /// The new revision has something else there; with the value, where it is a single one.
    Overwritten(Option<String>),
}

/// The value of [`TAG_TARGET`]: one family may serve several services, in several clusters.
#[must_use]
pub fn target(cluster: &Cluster, service: &ServiceName) -> String {
    let cluster = cluster.as_str().rsplit('/').next().unwrap_or_default();
    format!("{cluster}/{service}")
}

/// The value of [`TAG_FINGERPRINT`] for a definition: the same for what is sent and for what ECS answers later,
/// with its defaults filled in. 128 bits are plenty for something that nobody attacks.
#[must_use]
pub fn fingerprint(definition: &Value) -> String {
    let mut definition = diff::normalise(definition);
    // ECS answers the members in an order of its own.
    definition.sort_all_objects();
    let hash = hex::encode(Sha256::digest(definition.to_string()));
    hash[..32].to_owned()
}

/// Whether a revision is one we registered for this service, and nobody has made it from ours by hand.
#[must_use]
pub fn is_ours(definition: &Value, tags: &[(String, String)], cluster: &Cluster, service: &ServiceName) -> bool {
    let tag = |name: &str| tags.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    tag(TAG_TARGET) == Some(diff::tag_value(&target(cluster, service)).as_str())
        && tag(TAG_FINGERPRINT) == Some(fingerprint(definition).as_str())
}

/// What has drifted; `None` where nothing has, or where it is not known what was shipped.
#[must_use]
pub fn drift(live: &ServiceActive) -> Option<Drift> {
    match &live.shipped {
        Shipped::Earlier { arn, definition } => {
            let changes = diff::differences(definition, &live.definition);
            let drift = Drift { shipped: arn.clone(), live: live.task_definition.clone(), changes };
            (!drift.changes.is_empty()).then_some(drift)
        }
        Shipped::ThisRevision | Shipped::NotFound => None,
    }
}

impl Drift {
    /// What a ship that makes these differences to what is live does with each field that has drifted.
    #[must_use]
    pub fn fates<'a>(&'a self, made: &'a [Difference]) -> Vec<(&'a Difference, Fate)> {
        let fate = |drifted: &Difference| {
            let touching = made.iter().find(|made| touches(&made.path, &drifted.path))?;
            let value = match &touching.change {
                Change::Added(value) | Change::Changed { to: value, .. } if touching.path == drifted.path => {
                    Some(value.clone())
                }
                Change::Added(_) | Change::Changed { .. } | Change::Removed(_) => None,
            };
            Some(Fate::Overwritten(value))
        };
        self.changes.iter().map(|drifted| (drifted, fate(drifted).unwrap_or(Fate::Kept))).collect()
    }
}

/// Whether one path is the other or leads into it: `containerDefinitions[log]` and
/// `containerDefinitions[log].cpu`.
fn touches(one: &str, other: &str) -> bool {
    let leads = |short: &str, long: &str| {
        long.strip_prefix(short).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    leads(one, other) || leads(other, one)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Drift, Fate, fingerprint, is_ours, touches};
    use crate::{
        id::{Cluster, ServiceName, TaskDefArn},
        plan::diff::{self, TAG_FINGERPRINT, TAG_TARGET},
    };

    #[test]
    fn a_fingerprint_is_the_same_for_what_is_sent_and_for_what_is_answered() {
        let sent = json!({ "family": "web", "cpu": "1 vCPU", "containerDefinitions": [
            { "name": "web", "image": "a", "environment": [{ "name": "B", "value": "2" }, { "name": "A", "value": "1" }] }] });
        let answered = json!({ "revision": 7, "cpu": "1024", "volumes": [], "registeredAt": 1.5, "family": "web",
            "containerDefinitions": [{ "name": "web", "image": "a", "cpu": 0, "essential": true, "mountPoints": [],
            "environment": [{ "name": "A", "value": "1" }, { "name": "B", "value": "2" }] }] });
        assert_eq!(fingerprint(&sent), fingerprint(&answered));
        let mut other = answered.clone();
        other["containerDefinitions"][0]["environment"][0]["value"] = json!("3");
        assert_ne!(fingerprint(&sent), fingerprint(&other));
        // A promise: a release that computes another one would take every shipped revision for a stranger's.
        assert_eq!(fingerprint(&sent), "5052ee7a766783b27ea1f909ed2252fc");
    }

    #[test]
    fn tags_that_were_copied_prove_nothing() {
        let (cluster, service) =
            (Cluster::new("arn:aws:ecs:eu-west-1:111111111111:cluster/shop"), ServiceName::new("web"));
        let definition = json!({ "family": "web", "containerDefinitions": [{ "name": "web", "image": "a" }] });
        let tags = |target: &str| {
            vec![(TAG_TARGET.to_owned(), target.to_owned()), (TAG_FINGERPRINT.to_owned(), fingerprint(&definition))]
        };
        assert!(is_ours(&definition, &tags("shop/web"), &cluster, &service));
        assert!(!is_ours(&definition, &tags("staging/web"), &cluster, &service), "of another service");
        let by_hand = json!({ "family": "web", "containerDefinitions": [{ "name": "web", "image": "b" }] });
        assert!(!is_ours(&by_hand, &tags("shop/web"), &cluster, &service), "copied by the console");
        assert!(!is_ours(&definition, &[], &cluster, &service), "made by Terraform");
    }

    #[test]
    fn each_field_is_kept_or_overwritten() {
        let with = |cpu: &str, level: &str, log: bool| {
            let mut containers =
                vec![json!({ "name": "web", "image": "a", "environment": [{ "name": "LEVEL", "value": level }] })];
            if log {
                containers.push(json!({ "name": "log", "image": "l" }));
            }
            json!({ "family": "web", "cpu": cpu, "containerDefinitions": containers })
        };
        let (shipped, live, new) = (with("256", "info", false), with("512", "debug", true), with("512", "warn", false));
        let arn = |short: &str| TaskDefArn::new(short);
        let drift = Drift { shipped: arn("web:41"), live: arn("web:42"), changes: diff::differences(&shipped, &live) };
        let made = diff::differences(&live, &new);
        let told: Vec<_> = drift.fates(&made).iter().map(|(field, fate)| format!("{}: {fate:?}", field.path)).collect();
        assert_eq!(
            told,
            [
                "cpu: Kept",
                "containerDefinitions[web].environment[LEVEL]: Overwritten(Some(\"warn\"))",
                "containerDefinitions[log]: Overwritten(None)",
            ]
        );
        assert_eq!(drift.fates(&[])[1].1, Fate::Kept);
    }

    #[test]
    fn paths_touch_at_their_joints_only() {
        assert!(touches("a[b]", "a[b].c") && touches("a[b].c", "a[b]") && touches("a", "a[b]"));
        assert!(!touches("cpu", "cpuArchitecture") && !touches("a[b]", "a[bc]"));
    }
}
