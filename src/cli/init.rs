//! `init`: a first ship.toml, and the task definition of a service as a file.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use super::{
    Door,
    adopt::{self, InitError, Live},
    args,
    prepare::{self, Sleeping},
};
use crate::{config::file::FILE_NAME, exit::Exit, failure::Failure};

pub async fn run(args: &args::Init, door: &Door) -> Result<Exit, Failure> {
    let folder = door.surroundings.folder().map_err(Failure::FolderGone)?.to_owned();
    let name = args.file.clone().unwrap_or_else(|| FILE_NAME.into());
    let path = folder.join(&name);
    let exists = path.exists() && !args.force;
    let export = args.task_definition.as_ref().map(|file| folder.join(file));
    // Before anything is asked, of AWS or of a person.
    for path in export.iter().chain((exists && export.is_none()).then_some(&path)) {
        if path.exists() && !args.force {
            return Err(InitError::Exists { path: path.clone() }.into());
        }
    }
    if let (true, Some(file)) = (exists, &export) {
        let live = of_ship_toml(args, &name, door).await?;
        return export_alone(&live, file, &name, args, door);
    }
    let root = path.parent().unwrap_or(&folder).to_owned();
    let source = adopt::source(&root)?;
    let live = adopt::live(args, door).await?;
    // In ship.toml paths are relative to it.
    let definition = export.as_ref().map(|file| file.strip_prefix(&root).unwrap_or(file).to_owned());
    let draft = adopt::draft(args, &root, &source, live.as_ref(), definition, &door.name);
    if let (Some(file), Some(live)) = (&export, &live) {
        write(file, &adopt::exported(&live.service), args)?;
        told_export(live, args, door)?;
    }
    write(&path, &draft.to_toml(), args)?;
    let of = match &live {
        Some(live) => format!("service {} of cluster {}", live.name, live.cluster),
        None => format!("{}, to begin with in the sandbox", source.dockerfile.display()),
    };
    door.print(&format!("wrote {}: {of}\n\n{}", name.display(), next(&name, live.is_some(), door)))?;
    Ok(Exit::Done)
}

/// The commands to type now.
fn next(name: &Path, runs: bool, door: &Door) -> String {
    let file = if name == Path::new(FILE_NAME) { String::new() } else { format!(" --file {}", name.display()) };
    let program = &door.name;
    let mut lines = Vec::new();
    if runs {
        lines.push((format!("{program} plan{file}"), "what a deploy would do; changes nothing"));
    }
    lines.push((format!("{program} deploy{file}"), "build, push, roll out"));
    lines.push((format!("{program} status{file}"), "what runs"));
    let width = lines.iter().map(|(command, _)| command.len()).max().unwrap_or(0);
    let lines: Vec<_> = lines.iter().map(|(command, what)| format!("  {command:<width$}   # {what}\n")).collect();
    lines.concat()
}

/// The service that a ship.toml which is there already speaks of.
async fn of_ship_toml(args: &args::Init, name: &Path, door: &Door) -> Result<Live, Failure> {
    let selection = args::Selection {
        at: args::Where {
            environment: args.environment.clone(),
            file: Some(name.to_owned()),
            region: args.region.clone(),
            profile: args.profile.clone(),
        },
        ..args::Selection::default()
    };
    let understood = prepare::understand(&selection, door).await?;
    let meant: Vec<_> = understood
        .spec
        .services
        .iter()
        .filter(|(key, service)| {
            let named = |wanted: &String| wanted == service.service.as_str() || wanted == key.as_str();
            args.service.as_ref().is_none_or(named)
                && args.cluster.as_ref().is_none_or(|wanted| wanted == service.cluster.as_str())
        })
        .map(|(_, service)| (service.cluster.clone(), service.service.clone()))
        .collect();
    match &meant[..] {
        [(cluster, service)] => {
            let aws = prepare::connect(&understood.spec, door, Sleeping::Refuse).await?.aws;
            adopt::read(&aws, cluster.clone(), service.clone()).await
        }
        [] => Err(InitError::NoService { name: args.service.clone() }.into()),
        several => {
            let names = several.iter().map(|(cluster, service)| format!("{cluster}/{service}")).collect();
            Err(InitError::WhichService { names }.into())
        }
    }
}

fn export_alone(live: &Live, file: &Path, ship_toml: &Path, args: &args::Init, door: &Door) -> Result<Exit, Failure> {
    write(file, &adopt::exported(&live.service), args)?;
    told_export(live, args, door)?;
    let file = args.task_definition.as_ref().map(|file| file.display().to_string()).unwrap_or_default();
    door.print(&format!("name it in {} to ship it: task_definition = {file:?}\n", ship_toml.display()))?;
    Ok(Exit::Done)
}

fn told_export(live: &Live, args: &args::Init, door: &Door) -> Result<(), Failure> {
    let file = args.task_definition.as_deref().unwrap_or(Path::new(""));
    door.print(&format!("wrote {}: {} as it is registered\n", file.display(), live.service.task_definition))?;
    let secret = adopt::looks_secret(&live.service);
    if secret.is_empty() {
        return Ok(());
    }
    door.tell(&format!(
        "warning: it holds plain values that look like secrets: {}\n  hint:  keep them in SSM and name them with \
         `ssm_secrets`, before the file is committed\n",
        secret.join(", ")
    ))
}

/// Writes a file that is not there, or any with `--force`.
fn write(path: &Path, text: &str, args: &args::Init) -> Result<(), Failure> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => InitError::Exists { path: path.to_owned() }.into(),
        _ => Failure::write(path.to_owned(), source),
    };
    if let Some(folder) = path.parent().filter(|folder| *folder != PathBuf::new()) {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(!args.force).create(args.force).truncate(args.force);
    options.open(path).and_then(|mut file| file.write_all(text.as_bytes())).map_err(failed)
}
