//! `status`: what runs, from which revision, and where it answers.

use serde_json::{Value, json};

use super::{
    Door,
    args::{self, StatusFormat},
    prepare::{self, Sleeping},
};
use crate::{
    aws::{Aws, ecs, elb},
    exit::Exit,
    failure::Failure,
    id::Key,
    plan::observed::{ServiceActive, ServiceObserved},
    report::words,
};

/// One service as it is shown.
struct Row {
    service: Key,
    /// `web:42`, or `-`.
    revision: String,
    tasks: String,
    /// `steady`, `rolling out web:43`.
    state: String,
    image: Option<String>,
    urls: Vec<String>,
}

pub async fn run(args: &args::Status, door: &Door) -> Result<Exit, Failure> {
    let understood = prepare::understand(&args.selection, door).await?;
    let place = prepare::connect(&understood.spec, door, Sleeping::Refuse).await?;
    let asked = understood.spec.services.iter().map(|(key, service)| {
        let aws = &place.aws;
        async move {
            let observed = ecs::service(aws, &service.cluster, &service.service).await?;
            Ok::<_, Failure>(row(key, observed, aws).await)
        }
    });
    let rows: Vec<Row> = futures_util::future::join_all(asked).await.into_iter().collect::<Result<_, _>>()?;
    match args.format {
        StatusFormat::Table => door.print(&table(&rows))?,
        StatusFormat::Url => {
            for url in rows.iter().flat_map(|row| &row.urls) {
                door.print(&format!("{url}\n"))?;
            }
        }
        StatusFormat::Json => {
            for row in &rows {
                door.print(&format!("{}\n", as_json(row)))?;
            }
        }
    }
    Ok(Exit::Done)
}

async fn row(key: &Key, observed: ServiceObserved, aws: &Aws) -> Row {
    let absent = |state: String| Row {
        service: key.clone(),
        revision: "-".to_owned(),
        tasks: "-".to_owned(),
        state,
        image: None,
        urls: Vec::new(),
    };
    let active = match observed {
        ServiceObserved::Missing => return absent("does not exist".to_owned()),
        ServiceObserved::Inactive { status } => return absent(status.to_lowercase()),
        ServiceObserved::Active(active) => active,
    };
    let mut urls = Vec::new();
    for group in &active.target_groups {
        // Where it answers is an extra; a missing permission must not hide what runs.
        urls.extend(elb::serving_urls(aws, &group.arn).await.unwrap_or_default());
    }
    Row {
        service: key.clone(),
        revision: active.task_definition.to_string(),
        tasks: tasks(&active),
        state: state(&active),
        image: image(&active.definition),
        urls,
    }
}

fn tasks(active: &ServiceActive) -> String {
    let running: u32 = active.deployments.iter().map(|deployment| deployment.running).sum();
    format!("{running}/{}", active.desired_count)
}

fn state(active: &ServiceActive) -> String {
    let primary = active.deployments.iter().find(|deployment| deployment.status == "PRIMARY");
    match primary.and_then(|deployment| deployment.rollout_state.as_deref()) {
        Some("COMPLETED") => "steady".to_owned(),
        Some("IN_PROGRESS") => {
            let revisions: Vec<_> = active
                .deployments
                .iter()
                .map(|deployment| {
                    let count = words::count(usize::try_from(deployment.running).unwrap_or(usize::MAX), "task");
                    format!("{count} of {}", deployment.task_definition)
                })
                .collect();
            format!("rolling out: {}", revisions.join(", "))
        }
        Some("FAILED") => "last rollout failed".to_owned(),
        // A word newer than this program is shown as it is.
        Some(other) => other.to_owned(),
        None => active.controller.clone(),
    }
}

/// The image of the only container, or of the first essential one.
fn image(definition: &Value) -> Option<String> {
    let containers = definition["containerDefinitions"].as_array()?;
    let essential = containers.iter().find(|container| container["essential"].as_bool() != Some(false));
    Some(essential?["image"].as_str()?.to_owned())
}

fn as_json(row: &Row) -> Value {
    let Row { service, revision, tasks, state, image, urls } = row;
    json!({
        "service": service, "revision": revision, "tasks": tasks, "state": state, "image": image, "urls": urls,
    })
}

fn table(rows: &[Row]) -> String {
    let heads = ["SERVICE", "REVISION", "TASKS", "STATE", "URL"].map(str::to_owned);
    let lines: Vec<[String; 5]> = std::iter::once(heads)
        .chain(rows.iter().map(|row| {
            [row.service.to_string(), row.revision.clone(), row.tasks.clone(), row.state.clone(), row.urls.join(" ")]
        }))
        .collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..4).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let padded: Vec<_> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(format!("{}   {}", padded.join("   "), line[4]).trim_end());
        text.push('\n');
    }
    text
}
