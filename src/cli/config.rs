//! `config`: whether `ship.toml` is right, what it means, and what could stand in it.

use std::{panic, thread};

use serde_json::json;

use super::{
    Door,
    args::{self, ConfigFormat, TableFormat},
    dispatch, prepare, show,
};
use crate::{
    config::{error, resolve, schema, show as page, spec::NoGit},
    exit::Exit,
    failure::Failure,
};

/// Judges every environment of the file, without asking anybody.
pub(super) fn validate(args: &args::ConfigValidate, door: &Door) -> Result<Exit, Failure> {
    let text = prepare::read(args.file.as_deref(), door)?;
    // In a large file git takes as long as the reading: both are done at the same time.
    let (found, asked) = thread::scope(|scope| {
        let asked = text.names_git().then(|| scope.spawn(|| dispatch::block_on_here(async { Ok(text.git().await) })));
        (text.parse(), asked.map(|asked| asked.join().unwrap_or_else(|panic| panic::resume_unwind(panic))))
    });
    let facts = match asked {
        Some(git) => found.facts_with(git?, door),
        None if found.names_git() => dispatch::block_on_here(async { Ok(found.facts(door).await) })?,
        // Without a commit that anybody wants.
        None => found.facts_with(Err(NoGit::NotARepository), door),
    };
    let look = show::look(door);
    let judged = resolve::judge(&found.parsed, args.environment.as_deref(), &facts)
        .map_err(|errors| Failure::Config { errors, look })?;
    let file = &found.parsed.file;
    match args.format {
        TableFormat::Table => {
            if !judged.warnings.is_empty() {
                door.tell(&error::render_warnings(&judged.warnings, &judged.sources, look))?;
            }
            let count = |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
            let mut told = vec![count(file.services.len(), "service"), count(file.images.len(), "image")];
            if !file.environments.is_empty() {
                let names: Vec<&str> = file.environments.keys().map(String::as_str).collect();
                told.push(format!("{} ({})", count(names.len(), "environment"), names.join(", ")));
            }
            door.print(&format!("{} has no mistakes: {}\n", judged.sources.name(), told.join(", ")))?;
        }
        TableFormat::Json => {
            let warnings: Vec<_> = judged
                .warnings
                .iter()
                .map(|warning| {
                    let located = warning.place.span().and_then(|span| judged.sources.locate(span));
                    let place = located.as_ref().and_then(|(source, span)| source.line_and_column(span.start));
                    json!({
                        "code": warning.doubt.code(), "message": warning.to_string(), "help": warning.doubt.help(),
                        "file": located.map(|(source, _)| source.name.as_str()),
                        "line": place.map(|(line, _)| line), "column": place.map(|(_, column)| column),
                    })
                })
                .collect();
            let answer = json!({
                "file": judged.sources.name(),
                "environments": file.environments.keys().collect::<Vec<_>>(),
                "services": file.services.keys().collect::<Vec<_>>(),
                "images": file.images.keys().collect::<Vec<_>>(),
                "warnings": warnings,
            });
            door.print(&format!("{answer}\n"))?;
        }
    }
    Ok(Exit::Done)
}

/// Prints what the file means for one environment, with the origin of each value.
pub(super) async fn show(args: &args::ConfigShow, door: &Door) -> Result<Exit, Failure> {
    let resolved = prepare::resolve(&args.selection, door).await?;
    if !resolved.warnings.is_empty() {
        door.tell(&error::render_warnings(&resolved.warnings, &resolved.sources, show::look(door)))?;
    }
    let tables = page::show(&resolved);
    door.print(&match args.format {
        ConfigFormat::Toml => page::to_toml(&tables),
        ConfigFormat::Json => format!("{:#}\n", page::to_json(&tables)),
    })?;
    Ok(Exit::Done)
}

/// Prints the JSON Schema.
pub(super) fn schema(door: &Door) -> Result<Exit, Failure> {
    door.print(&format!("{:#}\n", schema::schema()))?;
    Ok(Exit::Done)
}
