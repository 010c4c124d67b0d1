//! `history`: what a service has been through, from its service deployments.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{
    Door,
    args::{self, TableFormat},
    prepare::{self, Sleeping},
    show,
    table::{age, or_dash, table},
};
use crate::{
    aws::{Aws, deployments, ecs},
    exit::Exit,
    failure::Failure,
    id::{Key, TaskDefArn},
    plan::diff::TAG_IMAGE,
    report::words,
    rollout::past::Past,
};

/// A deployment with what is known of the revision it rolled out.
struct Row {
    service: Key,
    past: Past,
    revision: Option<TaskDefArn>,
    registered: Registered,
}

/// What a task definition says of how it came to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Registered {
    /// The image tag of the build.
    tag: Option<String>,
    image: Option<String>,
    by: Option<String>,
}

pub async fn run(args: &args::History, door: &Door) -> Result<Exit, Failure> {
    let understood = prepare::understand(&args.selection, door).await?;
    let place = prepare::connect(&understood.spec, door, Sleeping::Refuse).await?;
    let aws = &place.aws;
    let mut rows = Vec::new();
    for (key, service) in &understood.spec.services {
        let history = deployments::history(aws, &service.cluster, &service.service, args.limit).await?;
        let known = registered(aws, &history).await;
        rows.extend(history.into_iter().map(|past| {
            let revision = past.target.as_ref().and_then(|target| target.task_definition.clone());
            let registered = revision.as_ref().and_then(|revision| known.get(revision)).cloned().unwrap_or_default();
            Row { service: key.clone(), past, revision, registered }
        }));
    }
    match args.format {
        TableFormat::Table => {
            let now_ms = show::now_ms();
            let lines: Vec<_> = rows.iter().map(|row| cells(row, now_ms)).collect();
            let heads = ["SERVICE", "REVISION", "IMAGE", "COMMIT", "BY", "WHEN", "TOOK", "VERDICT", "WHY"];
            door.print(&table(heads, &lines))?;
        }
        TableFormat::Json => {
            for row in &rows {
                door.print(&format!("{}\n", as_json(row)))?;
            }
        }
    }
    Ok(Exit::Done)
}

/// What each revision says of itself, asked once each. What cannot be read is left out.
async fn registered(aws: &Aws, history: &[Past]) -> BTreeMap<TaskDefArn, Registered> {
    let mut revisions: Vec<TaskDefArn> =
        history.iter().filter_map(|past| past.target.as_ref()?.task_definition.clone()).collect();
    revisions.sort_unstable();
    revisions.dedup();
    let asked = revisions.into_iter().map(|revision| async move {
        let (definition, tags) = ecs::definition(aws, Some(revision.as_str())).await.ok()?;
        let tag = tags.into_iter().find(|(key, _)| key == TAG_IMAGE).map(|(_, value)| value);
        let by = definition.get("registeredBy").and_then(Value::as_str).map(who);
        Some((revision, Registered { tag, image: image(&definition), by }))
    });
    join_all(asked).await.into_iter().flatten().collect()
}

/// The image of the first essential container.
fn image(definition: &Value) -> Option<String> {
    let containers = definition["containerDefinitions"].as_array()?;
    let essential = containers.iter().find(|container| container["essential"].as_bool() != Some(false));
    Some(essential?["image"].as_str()?.to_owned())
}

/// `deploy/jane` of `arn:aws:sts::111111111111:assumed-role/deploy/jane`, `jane` of a user.
fn who(arn: &str) -> String {
    let name = arn.rsplit(':').next().unwrap_or(arn);
    ["assumed-role/", "user/", "role/"].iter().find_map(|kind| name.strip_prefix(kind)).unwrap_or(name).to_owned()
}

/// The commit in an image tag as `${build}` makes them: its last part of 7 to 64 hexadecimal digits. A short one of
/// nothing but decimals is a date or a build number.
pub(crate) fn commit(tag: &str) -> Option<&str> {
    let is_commit = |part: &&str| {
        (7..=64).contains(&part.len())
            && part.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase())
            && (part.len() >= 12 || part.bytes().any(|byte| byte.is_ascii_lowercase()))
    };
    tag.rsplit(['-', '_', '.']).find(is_commit)
}

/// `sha256:9511de236d0f`, by the revision's own word, else as the definition pins it.
fn digest(row: &Row) -> Option<String> {
    let images = row.past.target.as_ref().map(|target| target.images.as_slice()).unwrap_or_default();
    let told = images.iter().find_map(|image| image.digest.clone());
    let pinned = || row.registered.image.as_ref()?.split_once('@').map(|(_, digest)| digest.to_owned());
    told.or_else(pinned)
}

fn shown_image(row: &Row) -> Option<String> {
    let digest = digest(row).map(|digest| words::brief_digests(&digest));
    match (&row.registered.tag, digest) {
        (Some(tag), Some(digest)) => Some(format!("{tag} ({digest})")),
        (Some(tag), None) => Some(tag.clone()),
        (None, Some(digest)) => Some(digest),
        (None, None) => row.registered.image.clone(),
    }
}

fn cells(row: &Row, now_ms: u64) -> [String; 9] {
    let Row { service, past, revision, registered } = row;
    [
        service.to_string(),
        or_dash(revision.as_ref().map(ToString::to_string)),
        or_dash(shown_image(row)),
        or_dash(registered.tag.as_deref().and_then(commit).map(|commit| commit[..commit.len().min(12)].to_owned())),
        or_dash(registered.by.clone()),
        or_dash(past.created_ms.map(|created| format!("{} ago", age(created, now_ms)))),
        or_dash(past.duration_ms().map(words::duration)),
        past.verdict(),
        past.why().map(|why| words::brief(&words::clean(why))).unwrap_or_default(),
    ]
}

fn as_json(row: &Row) -> Value {
    let Row { service, past, revision, registered } = row;
    json!({
        "service": service, "deployment": past.arn, "status": past.status, "verdict": past.verdict(),
        "revision": revision.as_ref().map(ToString::to_string), "image": registered.image, "digest": digest(row),
        "tag": registered.tag, "commit": registered.tag.as_deref().and_then(commit), "by": registered.by,
        "created_ms": past.created_ms, "finished_ms": past.finished_ms, "duration_ms": past.duration_ms(),
        "reason": past.why(),
    })
}

#[cfg(test)]
mod tests {
    use super::{commit, who};

    #[test]
    fn a_commit_is_the_last_part_of_a_tag_that_looks_like_one() {
        assert_eq!(commit("v2-e693f2d3f768"), Some("e693f2d3f768"));
        assert_eq!(commit("4f2c1d9"), Some("4f2c1d9"));
        assert_eq!(commit("e693f2d3f768-dirty-20260101t000000z"), Some("e693f2d3f768"));
        for tag in ["v1.2.3", "latest", "build-123456", "20260101", "DEADBEEF"] {
            assert_eq!(commit(tag), None, "{tag}");
        }
    }

    #[test]
    fn who_registered_it_is_a_name() {
        assert_eq!(who("arn:aws:sts::111111111111:assumed-role/deploy/jane"), "deploy/jane");
        assert_eq!(who("arn:aws:iam::111111111111:user/jane"), "jane");
        assert_eq!(who("arn:aws:iam::111111111111:root"), "root");
    }
}
