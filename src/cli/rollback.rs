//! `rollback`: back to what ran before, as a rollout like any other.

use std::collections::BTreeMap;

use super::{
    Door, args,
    page::{Page, Paper, Row},
    prepare::{self, Connected, Sleeping, Understood},
    show, walk,
};
use crate::{
    config::spec::Spec,
    exit::Exit,
    failure::Failure,
    id::Key,
    observe::services,
    plan::{
        pick_up,
        refusal::Refusal,
        rollback::{self, Change, Known, Way},
        step::Plan,
    },
    report::words,
};

/// A service that is deployed many times a day and forced to start anew still shows what ran before.
const DEPLOYMENTS: usize = 40;

pub async fn run(args: &args::Rollback, door: &Door) -> Result<Exit, Failure> {
    let begun = walk::begin(&args.display, door)?;
    let (understood, place) = begun
        .unless_cancelled(async {
            let understood = prepare::understand(&args.selection, door).await?;
            let place = prepare::connect(&understood.spec, door, Sleeping::Refuse).await?;
            Ok::<(Understood, Connected), Failure>((understood, place))
        })
        .await?;
    show::warnings(&understood, door)?;
    let (plan, changes) = begun.unless_cancelled(planned(&understood.spec, &place, args.to.as_deref())).await?;
    door.tell(&format!("{}\n", shown(&changes, show::paper(door.surroundings.stderr, door))))?;
    if !door.agreed(args.yes) {
        let question = format!("Roll back{}? [y/N] ", show::in_environment(&understood.spec));
        begun.unless_cancelled(show::confirm(&question, door)).await?;
    }
    let hands = walk::hands(place, &understood.spec);
    begun.walk("rollback", &plan, &hands, understood.spec.environment.name, &args.display, door).await
}

/// What changes, field by field. Of an image only its name is told, and the head of its digest: the registry is the same.
fn shown(changes: &[Change], paper: Paper) -> String {
    let mut page = Page::new(paper);
    for change in changes {
        page.head(&change.service, &change.title());
        let container = change.container.as_deref().unwrap_or_default();
        let rows: Vec<Row> = change.differences.iter().map(|field| Row::of(field, container, "")).collect();
        page.rows("changes", &rows.into_iter().map(brief).collect::<Vec<_>>());
        if let Some(aside) = change.aside() {
            page.item("changes", aside);
        }
    }
    page.text()
}

fn brief(row: Row) -> Row {
    let name = |reference: &str| reference.rsplit('/').next().unwrap_or(reference).to_owned();
    let value = words::brief_digests(&row.value);
    let value = match value.split_once(" → ") {
        Some((from, to)) if row.path.ends_with("image") => format!("{} → {}", name(from), name(to)),
        Some(_) | None => value,
    };
    Row { value, ..row }
}

/// Which way each service goes, what that changes, and the plan; or every reason why not.
async fn planned(spec: &Spec, place: &Connected, to: Option<&str>) -> Result<(Plan, Vec<Change>), Failure> {
    let account = services::account(spec, &place.aws).await?;
    if let Some(refusal) = pick_up::wrong_account(spec, account.as_deref()) {
        return Err(Failure::Refused(vec![refusal]));
    }
    let known = services::known(spec, &place.aws, DEPLOYMENTS).await?;
    let region = place.aws.region();
    let (mut ways, mut refusals): (BTreeMap<Key, Way>, Vec<Refusal>) = (BTreeMap::new(), Vec::new());
    for (key, service) in &spec.services {
        match rollback::way(key, service, known.get(key), to, region) {
            Ok(way) => drop(ways.insert(key.clone(), way)),
            Err(refusal) => refusals.push(refusal),
        }
    }
    if !refusals.is_empty() {
        return Err(Failure::Refused(refusals));
    }
    let targets = services::targets(&place.aws, &ways).await?;
    rollback::plan(spec, Known { services: &known, ways: &ways, targets: &targets, region }).map_err(Failure::Refused)
}
