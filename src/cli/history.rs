//! `history`: what a service has been through, from its service deployments.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{
    Door, args,
    prepare::{self, Sleeping},
    show,
    table::{self, Cell, Column, ago, or_dash},
};
use crate::{
    aws::{Aws, deployments, ecs},
    exit::Exit,
    failure::Failure,
    id::{Key, TaskDefArn},
    plan::{
        diff::TAG_IMAGE,
        standing::{commit, first_essential, who},
    },
    report::{style::Meaning, words},
    rollout::past::{Past, Stage},
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
    let now_ms = show::now_ms();
    table::print(args.format, COLUMNS, &rows, |row| cells(row, now_ms), as_json, door)?;
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
        Some((revision, {
            let image = first_essential(&definition).and_then(|container| container.get("image")?.as_str());
            Registered { tag, image: image.map(str::to_owned), by }
        }))
    });
    join_all(asked).await.into_iter().flatten().collect()
}

/// `sha256:9511de236d0f`, by the revision's own word, else as the definition pins it.
fn digest(row: &Row) -> Option<String> {
    let images = row.past.target.as_ref().map(|target| target.images.as_slice()).unwrap_or_default();
    let told = images.iter().find_map(|image| image.digest.clone());
    let pinned = || row.registered.image.as_ref()?.split_once('@').map(|(_, digest)| digest.to_owned());
    told.or_else(pinned)
}

/// What is known of the image is said in three columns, of which the narrowest screens keep the first.
const COLUMNS: [Column; 10] = [
    Column::always("SERVICE"),
    Column::always("REVISION"),
    Column::with_room("IMAGE", 4),
    Column::with_room("DIGEST", 1),
    Column::with_room("COMMIT", 2),
    Column::with_room("BY", 3),
    Column::always("WHEN"),
    Column::with_room("TOOK", 5),
    Column::always("VERDICT"),
    Column::always("WHY"),
];

fn cells(row: &Row, now_ms: u64) -> [Cell; 10] {
    let Row { service, past, revision, registered } = row;
    let digest = digest(row).map(|digest| words::brief_digests(&digest));
    // `web:1` of a reference that has neither a tag of ours nor a digest.
    let image = || {
        let name = registered.image.as_deref()?.split('@').next()?;
        Some(name.rsplit('/').next().unwrap_or(name).to_owned())
    };
    [
        service.to_string().into(),
        or_dash(revision.as_ref().map(ToString::to_string)).into(),
        or_dash(registered.tag.clone().or_else(image)).into(),
        or_dash(digest).into(),
        or_dash(registered.tag.as_deref().and_then(commit).map(|commit| commit[..commit.len().min(12)].to_owned()))
            .into(),
        or_dash(registered.by.clone()).into(),
        or_dash(past.created_ms.map(|created| ago(created, now_ms))).into(),
        or_dash(past.duration_ms().map(words::duration)).into(),
        Cell::painted(past.verdict(), meaning(past)),
        past.why().map(|why| words::brief(&words::clean(why))).unwrap_or_default().into(),
    ]
}

fn meaning(past: &Past) -> Meaning {
    match (past.stage(), past.succeeded()) {
        (Stage::Going, _) => Meaning::Active,
        (Stage::GoingBack, _) => Meaning::Caution,
        (Stage::Ended, true) => Meaning::Good,
        (Stage::Ended, false) => Meaning::Bad,
    }
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
