//! `plan`: the plan that `deploy` would walk, printed; nothing is touched.

use super::{
    Door, args,
    prepare::{self, Prepared, Sleeping},
    show,
};
use crate::{exit::Exit, failure::Failure};

pub async fn run(args: &args::Plan, door: &Door) -> Result<Exit, Failure> {
    let Prepared { understood, place: _, engine: _, observed: _, plan } =
        prepare::prepare(&args.selection, door, Sleeping::Refuse).await?;
    show::warnings(&understood, door)?;
    let plan = plan.map_err(Failure::Refused)?;
    door.print(&format!("{plan}\n"))?;
    Ok(Exit::Done)
}
