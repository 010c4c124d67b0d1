//! A TAB that asks the running service: revisions to go back to, tasks to look at.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::timeout;

use super::super::{
    Door, args,
    dispatch::block_on_here,
    prepare::{self, Sleeping},
    show,
    surroundings::Stream,
    table::ago,
};
use crate::{
    aws::{deployments, ecs},
    failure::Failure,
    plugin::complete::{LiveNames, LiveQuestion},
};

/// A TAB that takes longer is a TAB that hangs.
const PATIENCE: Duration = Duration::from_secs(3);

/// As many as a screen of candidates holds.
const MOST: usize = 20;

/// Candidates, each with what it means; none where they cannot be had quickly and without a question.
pub(super) fn names(question: &LiveQuestion, door: &Door) -> Vec<(String, String)> {
    // Nobody is asked for the code of an MFA device by a TAB.
    let mut door = door.clone();
    door.surroundings.stdin = Stream::Redirected;
    let asked = block_on_here(async { Ok(timeout(PATIENCE, ask(question, &door)).await.ok()) });
    asked.ok().flatten().and_then(Result::ok).unwrap_or_default()
}

async fn ask(question: &LiveQuestion, door: &Door) -> Result<Vec<(String, String)>, Failure> {
    let LiveQuestion { what, file, environment, services } = question;
    let at = args::Where { environment: environment.clone(), file: file.clone(), ..args::Where::default() };
    let selection = args::Selection { services: services.clone(), at, done_when: None };
    let understood = prepare::understand(&selection, door).await?;
    let place = prepare::connect(&understood.spec, door, Sleeping::Refuse).await?;
    let aws = &place.aws;
    let mut found = Vec::new();
    let mut known = BTreeSet::new();
    for service in understood.spec.services.values() {
        match what {
            LiveNames::Revisions => {
                let history = deployments::history(aws, &service.cluster, &service.service, MOST).await?;
                found.extend(history.iter().filter_map(|past| {
                    let revision = past.target.as_ref()?.task_definition.as_ref()?;
                    let number = revision.revision()?;
                    let when = past.created_ms.map(|at| format!(" {}", ago(at, show::now_ms()))).unwrap_or_default();
                    known.insert(number).then(|| (number.to_string(), format!("{revision} {}{when}", past.verdict())))
                }));
            }
            LiveNames::Tasks => {
                let tasks = ecs::view_tasks(aws, &service.cluster, &service.service, &[]).await?;
                found.extend(tasks.iter().map(|task| {
                    let id = task.id.get(..8).unwrap_or(&task.id);
                    (id.to_owned(), format!("{} {}", task.last_status.to_lowercase(), task.task_definition))
                }));
            }
        }
    }
    Ok(found)
}
