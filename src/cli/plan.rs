//! `plan`: the plan that `deploy` would walk, printed; nothing is touched.

use super::{
    Door,
    args::{self, TableFormat},
    outlook,
    prepare::{self, Prepared, Sleeping},
    show,
};
use crate::{
    exit::Exit,
    failure::Failure,
    plan::outlook::{self as thought, Outlook},
};

pub async fn run(args: &args::Plan, door: &Door) -> Result<Exit, Failure> {
    let Prepared { understood, place: _, engine: _, source: _, observed, plan } =
        prepare::prepare(&args.selection, door, Sleeping::Refuse).await?;
    show::warnings(&understood, door)?;
    let spec = &understood.spec;
    if args.format == TableFormat::Json {
        let document = thought::json(spec, &observed, &plan);
        door.print(&format!("{document:#}\n"))?;
        // What is refused stands in the document.
        let Ok(plan) = plan else { return Ok(Exit::Refused) };
        return Ok(exit(args, &Outlook::of(&plan, spec, &observed)));
    }
    let plan = plan.map_err(Failure::Refused)?;
    let outlook = Outlook::of(&plan, spec, &observed);
    let paper = show::paper(door.surroundings.stdout, door);
    let text = outlook::text(&plan, spec, &observed, paper);
    let last = outlook::last_line(&outlook, spec.environment.name.as_deref(), &door.name);
    door.print(&format!("{text}\n{last}\n"))?;
    Ok(exit(args, &outlook))
}

fn exit(args: &args::Plan, outlook: &Outlook) -> Exit {
    if args.exit_code && outlook.changes() { Exit::Changes } else { Exit::Done }
}
