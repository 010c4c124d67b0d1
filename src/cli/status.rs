//! `status`: what runs and since when, whether it is well, what goes on, and whether it is still what was shipped.

use futures_util::future::try_join_all;

use super::{
    Door,
    args::{self, StatusFormat},
    prepare::{self, Sleeping},
    show,
    standing::{self, Telling},
    table::Room,
};
use crate::{
    exit::Exit,
    failure::Failure,
    observe,
    plan::standing::{Standing, Stands, WHERE},
};

pub async fn run(args: &args::Status, door: &Door) -> Result<Exit, Failure> {
    let understood = prepare::understand(&args.selection, door).await?;
    show::warnings(&understood, door)?;
    let spec = &understood.spec;
    let place = prepare::connect(spec, door, Sleeping::Refuse).await?;
    let asked = spec.services.iter().map(|(key, service)| {
        let aws = &place.aws;
        async move {
            let looked = observe::standing::look(aws, service, spec.services.len()).await?;
            Ok::<_, Failure>(Standing::of(key, service, &looked))
        }
    });
    let standings = try_join_all(asked).await?;
    match args.format {
        StatusFormat::Table => {
            let environment = spec.environment.name.as_deref();
            let telling = Telling { name: &door.name, environment, now_ms: show::now_ms() };
            let paper = show::paper(door.surroundings.stdout, door);
            door.print(&standing::text(&standings, telling, paper, Room::of(door)))?;
        }
        StatusFormat::Url => {
            for standing in &standings {
                if let Stands::Active(active) = &standing.stands {
                    for url in &active.urls {
                        door.print(&format!("{url}\n"))?;
                    }
                }
                // The data have no place for it.
                for gap in standing.gaps.iter().filter(|gap| gap.what == WHERE) {
                    door.tell(&format!("{}: {gap}\n", standing.service))?;
                }
            }
        }
        StatusFormat::Json => {
            for standing in &standings {
                door.print(&format!("{}\n", standing.json(spec.environment.name.as_deref())))?;
            }
        }
    }
    Ok(Exit::Done)
}
