//! Lays the four faces out on a machine, and takes them away again.
//!
//! Everything is looked at before anything is changed, and what is going to be made is written down
//! first, so that an installation that was cut short can still be removed.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    face,
    helped::{Helped, HelperChange},
};
use crate::credentials::DockerFileError;

/// For whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    User,
    System,
}

/// What to do with a file that is not ours and stands where ours belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    Refuse,
    Replace,
}

/// Why it cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    #[error("there is no home folder to install into")]
    NoHome,
    #[error("cannot find out where this program is")]
    Own(#[source] io::Error),
    #[error("files of something else are in the way:{}", lines(paths))]
    Foreign { paths: Vec<PathBuf> },
    #[error("{path} is a folder of docker plugins", path = path.display())]
    PluginFolder { path: PathBuf },
    #[error("nothing is installed: there is no {record}", record = record.display())]
    NotInstalled { record: PathBuf },
    #[error("cannot understand the list of what was installed, {path}", path = path.display())]
    Record { path: PathBuf, source: serde_json::Error },
    #[error("cannot {action} {path}", path = path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error(transparent)]
    Docker(#[from] DockerFileError),
}

fn lines(paths: &[PathBuf]) -> String {
    paths.iter().fold(String::new(), |lines, path| lines + "\n" + &path.display().to_string())
}

/// The folders an installation is spread over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folders {
    /// Ours alone: the program where it has to be copied, and the list of what was made.
    pub own: PathBuf,
    pub plugins: PathBuf,
    pub shim: PathBuf,
    pub bin: PathBuf,
    pub bash: PathBuf,
    pub zsh: PathBuf,
    pub fish: PathBuf,
}

impl Folders {
    /// For one user. `data` and `config` are the folders of user data and configuration.
    #[must_use]
    pub fn of_user(home: &Path, data: &Path, config: &Path, docker_config: &Path) -> Self {
        let own = data.join(face::STANDALONE);
        Self {
            plugins: docker_config.join("cli-plugins"),
            shim: own.join("shim"),
            bin: if cfg!(windows) { own.join("bin") } else { home.join(".local/bin") },
            bash: data.join("bash-completion/completions"),
            zsh: data.join("zsh/site-functions"),
            fish: config.join("fish/completions"),
            own,
        }
    }

    /// For all users: the places docker and the shells look into besides those of the distribution.
    #[must_use]
    pub fn of_system(programs: Option<&Path>) -> Self {
        if let Some(programs) = programs {
            let own = programs.join(face::STANDALONE);
            return Self {
                plugins: programs.join("Docker").join("cli-plugins"),
                shim: own.join("shim"),
                bin: own.join("bin"),
                bash: own.join("completions"),
                zsh: own.join("completions"),
                fish: own.join("completions"),
                own,
            };
        }
        let prefix = Path::new("/usr/local");
        let own = prefix.join("lib").join(face::STANDALONE);
        Self {
            plugins: prefix.join("lib/docker/cli-plugins"),
            shim: own.join("shim"),
            bin: prefix.join("bin"),
            bash: prefix.join("share/bash-completion/completions"),
            zsh: prefix.join("share/zsh/site-functions"),
            fish: prefix.join("share/fish/vendor_completions.d"),
            own,
        }
    }

    /// The list of what was made.
    #[must_use]
    pub fn record(&self) -> PathBuf {
        self.own.join("install.json")
    }
}

/// The completion scripts of the standalone name.
#[derive(Debug, Clone, Copy)]
pub struct Scripts {
    pub bash: &'static str,
    pub zsh: &'static str,
    pub fish: &'static str,
}

/// One thing to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    pub path: PathBuf,
    pub content: Content,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A copy of a program.
    Copy {
        of: PathBuf,
    },
    /// A link to the program.
    Link {
        to: PathBuf,
    },
    Text(&'static str),
}

/// What is to be where, for the program at `own`.
///
/// A program that stands on PATH stays there: a package manager or the user has put it there. Any other
/// (a download, a build) may vanish tomorrow and is copied into our own folder.
pub fn placements(
    own: &Path,
    path: &OsStr,
    folders: &Folders,
    scripts: Scripts,
) -> Result<Vec<Placement>, InstallError> {
    if folders.bin.file_name().is_some_and(|name| name == "cli-plugins") {
        return Err(InstallError::PluginFolder { path: folders.bin.clone() });
    }
    let own = own.canonicalize().map_err(InstallError::Own)?;
    let on_path = std::env::split_paths(path)
        .filter_map(|folder| folder.canonicalize().ok())
        .any(|folder| own.parent() == Some(&folder));
    let mut placements = Vec::new();
    let in_own_folder = own.parent().is_some_and(|parent| is_same_folder(parent, &folders.own));
    let program = if on_path && !in_own_folder {
        own
    } else {
        // Started from the copy itself this changes nothing, but keeps the copy among what is wanted.
        let copy = folders.own.join(executable(face::STANDALONE));
        placements.push(Placement { path: copy.clone(), content: Content::Copy { of: own } });
        copy
    };
    for (folder, name) in [
        (&folders.bin, face::STANDALONE),
        (&folders.bin, face::CREDENTIAL_HELPER),
        (&folders.plugins, face::PLUGIN),
        (&folders.shim, face::SHIM),
    ] {
        let path = folder.join(executable(name));
        // Where the program already has the name and the place, there is nothing to link.
        if path != program && !path.canonicalize().is_ok_and(|found| found == program && !path.is_symlink()) {
            let content = if cfg!(unix) {
                Content::Link { to: program.clone() }
            } else {
                // Links need a privilege on Windows.
                Content::Copy { of: program.clone() }
            };
            placements.push(Placement { path, content });
        }
    }
    for (folder, name, text) in [
        (&folders.bash, "docker-ecs-ship", scripts.bash),
        (&folders.zsh, "_docker-ecs-ship", scripts.zsh),
        (&folders.fish, "docker-ecs-ship.fish", scripts.fish),
    ] {
        placements.push(Placement { path: folder.join(name), content: Content::Text(text) });
    }
    Ok(placements)
}

fn executable(name: &str) -> String {
    format!("{name}{}", std::env::consts::EXE_SUFFIX)
}

fn is_same_folder(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        (Ok(_) | Err(_), _) => false,
    }
}

/// What was made, as written down; the format is read by later versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    format: u32,
    version: String,
    made: Vec<Made>,
    /// What was changed in docker's configuration.
    #[serde(default)]
    helped: Vec<Helped>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Made {
    Folder { path: PathBuf },
    Link { path: PathBuf, to: PathBuf },
    Copy { path: PathBuf, size: u64 },
    Text { path: PathBuf, sha256: String },
}

impl Made {
    fn of(placement: &Placement) -> Result<Self, InstallError> {
        let path = placement.path.clone();
        Ok(match &placement.content {
            Content::Link { to } => Self::Link { path, to: to.clone() },
            Content::Copy { of } => Self::Copy { path, size: of.metadata().map_err(failed("read", of))?.len() },
            Content::Text(text) => Self::Text { path, sha256: sha256(text.as_bytes()) },
        })
    }

    fn path(&self) -> &Path {
        match self {
            Self::Folder { path } | Self::Link { path, .. } | Self::Copy { path, .. } | Self::Text { path, .. } => path,
        }
    }

    /// Whether it is still there and as it was made.
    fn is_unchanged(&self) -> bool {
        match self {
            Self::Folder { path } => path.is_dir(),
            Self::Link { path, to } => fs::read_link(path).is_ok_and(|found| found == *to),
            Self::Copy { path, size } => {
                path.symlink_metadata().is_ok_and(|file| file.is_file() && file.len() == *size)
            }
            Self::Text { path, sha256: sum } => {
                !path.is_symlink() && fs::read(path).is_ok_and(|bytes| sha256(&bytes) == *sum)
            }
        }
    }
}

/// What happened to each path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Made(PathBuf),
    Kept(PathBuf),
    Removed(PathBuf),
    /// Left alone, because it was changed since we made it.
    Left(PathBuf),
    /// In docker's configuration.
    Helper(HelperChange),
}

/// Puts everything in its place.
pub fn install(placements: &[Placement], folders: &Folders, foreign: Foreign) -> Result<Vec<Change>, InstallError> {
    let record_path = folders.record();
    let (earlier, helped) = match read_record(&record_path)? {
        Some(record) => (record.made, record.helped),
        None => (Vec::new(), Vec::new()),
    };
    let ours = |path: &Path| earlier.iter().any(|made| made.path() == path && made.is_unchanged());

    let mut todo = Vec::new();
    let mut kept = Vec::new();
    let mut in_the_way = Vec::new();
    for placement in placements {
        let path = &placement.path;
        if is_there(placement) {
            kept.push(placement);
        } else if !exists(path) || ours(path) || foreign == Foreign::Replace {
            todo.push(placement);
        } else {
            in_the_way.push(path.clone());
        }
    }
    if !in_the_way.is_empty() {
        return Err(InstallError::Foreign { paths: in_the_way });
    }

    // What an earlier installation made elsewhere is ours to take away.
    let wanted: BTreeSet<&Path> = placements.iter().map(|placement| placement.path.as_path()).collect();
    let (stale, mut made): (Vec<Made>, Vec<Made>) = earlier
        .into_iter()
        .filter(|made| !todo.iter().any(|placement| placement.path == made.path()))
        .partition(|made| !matches!(made, Made::Folder { .. }) && !wanted.contains(made.path()));

    let mut missing = BTreeSet::new();
    for folder in todo.iter().filter_map(|placement| placement.path.parent()).chain([folders.own.as_path()]) {
        missing.extend(folder.ancestors().take_while(|folder| !folder.exists()).map(Path::to_owned));
    }
    made.extend(missing.iter().cloned().map(|path| Made::Folder { path }));
    for placement in &todo {
        made.push(Made::of(placement)?);
    }
    fs::create_dir_all(&folders.own).map_err(failed("make", &folders.own))?;
    let mut changes = Vec::new();
    let record = Record { format: 1, version: env!("CARGO_PKG_VERSION").to_owned(), made, helped };
    write_record(&record_path, &record)?;
    for placement in &todo {
        put(placement)?;
        changes.push(Change::Made(placement.path.clone()));
    }
    changes.extend(kept.iter().map(|placement| Change::Kept(placement.path.clone())));
    for made in stale {
        changes.extend(remove(&made, Foreign::Refuse)?);
    }
    Ok(changes)
}

/// Writes down what is going to be changed in docker's configuration, before it is.
pub(super) fn note_helped(folders: &Folders, new: &[Helped]) -> Result<(), InstallError> {
    let path = folders.record();
    let record = read_record(&path)?;
    let mut record = record.ok_or_else(|| InstallError::NotInstalled { record: path.clone() })?;
    // What was there before our first change is what `uninstall` puts back.
    let known = |one: &Helped| record.helped.iter().any(|helped| helped.is_for(one));
    let new: Vec<Helped> = new.iter().filter(|one| !known(one)).cloned().collect();
    record.helped.extend(new);
    write_record(&path, &record)
}

/// Takes away what [`install`] has made, and nothing else.
pub fn uninstall(folders: &Folders, foreign: Foreign) -> Result<Vec<Change>, InstallError> {
    let record_path = folders.record();
    let Some(record) = read_record(&record_path)? else {
        return Err(InstallError::NotInstalled { record: record_path });
    };
    let (mut made_folders, files): (Vec<Made>, Vec<Made>) =
        record.made.into_iter().partition(|made| matches!(made, Made::Folder { .. }));
    let mut changes = Vec::new();
    // First, because docker fails where it is told of a helper that is gone.
    for helped in record.helped.iter().rev() {
        changes.push(helped.undo()?);
    }
    for made in &files {
        changes.extend(remove(made, foreign)?);
    }
    fs::remove_file(&record_path).map_err(failed("remove", &record_path))?;
    // The deepest first; one that somebody else uses by now is not empty and stays.
    made_folders.sort_by_key(|made| std::cmp::Reverse(made.path().components().count()));
    for made in &made_folders {
        match fs::remove_dir(made.path()) {
            Ok(()) => changes.push(Change::Removed(made.path().to_owned())),
            Err(error) if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotFound) => {}
            Err(source) => {
                return Err(InstallError::Io { action: "remove", path: made.path().to_owned(), source });
            }
        }
    }
    Ok(changes)
}

fn remove(made: &Made, foreign: Foreign) -> Result<Option<Change>, InstallError> {
    let path = made.path();
    if !exists(path) {
        return Ok(None);
    }
    if !made.is_unchanged() && foreign == Foreign::Refuse {
        return Ok(Some(Change::Left(path.to_owned())));
    }
    fs::remove_file(path).map_err(failed("remove", path))?;
    Ok(Some(Change::Removed(path.to_owned())))
}

fn write_record(path: &Path, record: &Record) -> Result<(), InstallError> {
    let text = serde_json::to_string_pretty(record).map_err(record_error(path))?;
    replace(path, |temporary| fs::write(temporary, text + "\n"))
}

fn read_record(path: &Path) -> Result<Option<Record>, InstallError> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(record_error(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(InstallError::Io { action: "read", path: path.to_owned(), source }),
    }
}

/// Whether exactly this is there already.
fn is_there(placement: &Placement) -> bool {
    let path = &placement.path;
    match &placement.content {
        Content::Link { to } => fs::read_link(path).is_ok_and(|found| found == *to),
        Content::Copy { of } => !path.is_symlink() && is_equal(path, of).unwrap_or(false),
        Content::Text(text) => !path.is_symlink() && fs::read(path).is_ok_and(|found| found == text.as_bytes()),
    }
}

/// Compares two files; the sizes nearly always tell.
fn is_equal(one: &Path, other: &Path) -> io::Result<bool> {
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let mut blocks = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let read = one.read(&mut blocks.0)?;
        if read == 0 {
            return Ok(true);
        }
        other.read_exact(&mut blocks.1[..read])?;
        if blocks.0[..read] != blocks.1[..read] {
            return Ok(false);
        }
    }
}

/// A dangling link is there, too.
fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn put(placement: &Placement) -> Result<(), InstallError> {
    let path = &placement.path;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed("make", folder))?;
    }
    replace(path, |temporary| match &placement.content {
        // `fs::copy` takes the mode along.
        Content::Copy { of } => fs::copy(of, temporary).map(|_| ()),
        Content::Link { to } => link(to, temporary),
        Content::Text(text) => fs::write(temporary, text),
    })
}

/// Makes a file beside `path` and moves it there: a program that runs cannot be written over, and a
/// half-written one must never be started.
fn replace(path: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), InstallError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let temporary = path.with_file_name(name);
    let result = make(&temporary).and_then(|()| fs::rename(&temporary, path));
    if result.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&temporary);
    }
    result.map_err(failed("write", path))
}

#[cfg(unix)]
fn link(to: &Path, at: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(to, at)
}

#[cfg(not(unix))]
fn link(to: &Path, at: &Path) -> io::Result<()> {
    fs::copy(to, at).map(|_| ())
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> InstallError {
    let path = path.to_owned();
    move |source| InstallError::Io { action, path, source }
}

fn record_error(path: &Path) -> impl FnOnce(serde_json::Error) -> InstallError {
    let path = path.to_owned();
    move |source| InstallError::Record { path, source }
}

/// The shell the PATH line is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Posix,
    Fish,
    PowerShell,
}

/// The line that puts the shim and the commands on PATH; `None` when they are there already.
///
/// The shim has to stand before every other `docker`, the commands only somewhere.
#[must_use]
pub fn path_line(folders: &Folders, path: &OsStr, dialect: Dialect) -> Option<String> {
    let entries: Vec<PathBuf> = std::env::split_paths(path).collect();
    let docker = executable(face::SHIM);
    let shim_first = entries
        .iter()
        .find(|entry| **entry == folders.shim || entry.join(&docker).is_file())
        .is_some_and(|entry| *entry == folders.shim);
    let mut missing = Vec::new();
    if !shim_first {
        missing.push(&folders.shim);
    }
    if !entries.contains(&folders.bin) {
        missing.push(&folders.bin);
    }
    if missing.is_empty() {
        return None;
    }
    let quoted: Vec<String> = missing.iter().map(|folder| escaped(&folder.to_string_lossy(), dialect)).collect();
    Some(match dialect {
        Dialect::Posix => format!("export PATH=\"{}:$PATH\"", quoted.join(":")),
        Dialect::Fish => format!("fish_add_path --prepend --move \"{}\"", quoted.join("\" \"")),
        Dialect::PowerShell => format!("$env:Path = \"{};$env:Path\"", quoted.join(";")),
    })
}

/// For inside double quotes.
fn escaped(text: &str, dialect: Dialect) -> String {
    let (special, escape) = match dialect {
        Dialect::Posix => ("\"$`\\", '\\'),
        Dialect::Fish => ("\"$\\", '\\'),
        Dialect::PowerShell => ("\"$`", '`'),
    };
    text.chars().fold(String::new(), |mut quoted, letter| {
        if special.contains(letter) {
            quoted.push(escape);
        }
        quoted.push(letter);
        quoted
    })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    const SCRIPTS: Scripts = Scripts { bash: "bash\n", zsh: "zsh\n", fish: "fish\n" };

    /// A home with a program in `downloads`, or in `bin` which is on PATH.
    struct Machine {
        root: tempfile::TempDir,
    }

    impl Machine {
        fn new() -> Self {
            let root = tempfile::tempdir().expect("a temporary folder");
            let machine = Self { root };
            for folder in ["downloads", "bin"] {
                fs::create_dir(machine.at(folder)).expect("a folder can be made");
                fs::write(machine.at(folder).join("docker-ecs-ship"), "program").expect("a file can be written");
            }
            machine
        }

        fn at(&self, path: &str) -> PathBuf {
            self.root.path().canonicalize().expect("it is there").join(path)
        }

        fn folders(&self) -> Folders {
            let home = self.at("home");
            Folders::of_user(&home, &home.join(".local/share"), &home.join(".config"), &home.join(".docker"))
        }

        fn placements(&self, program: &str) -> Vec<Placement> {
            placements(&self.at(program), self.at("bin").as_os_str(), &self.folders(), SCRIPTS).expect("a layout")
        }

        fn install(&self, program: &str, foreign: Foreign) -> Result<Vec<Change>, InstallError> {
            install(&self.placements(program), &self.folders(), foreign)
        }

        /// Every file and link of the home, and what is in it.
        fn home(&self) -> Vec<String> {
            fn walk(folder: &Path, root: &Path, found: &mut Vec<String>) {
                for entry in fs::read_dir(folder).into_iter().flatten() {
                    let path = entry.expect("it can be listed").path();
                    let name = path.strip_prefix(root).expect("it is inside").display().to_string();
                    match fs::read_link(&path) {
                        Ok(to) => found.push(format!("{name} -> {}", to.strip_prefix(root).unwrap_or(&to).display())),
                        Err(_) if path.is_dir() => walk(&path, root, found),
                        Err(_) => found.push(name),
                    }
                }
            }
            let mut found = Vec::new();
            walk(&self.at("home"), &self.at(""), &mut found);
            found.sort();
            found
        }
    }

    #[test]
    fn a_download_is_copied_and_linked_from_everywhere() {
        let machine = Machine::new();
        machine.install("downloads/docker-ecs-ship", Foreign::Refuse).expect("it installs");
        insta::assert_snapshot!(machine.home().join("\n"), @r#"
        home/.config/fish/completions/docker-ecs-ship.fish
        home/.docker/cli-plugins/docker-ecsship -> home/.local/share/docker-ecs-ship/docker-ecs-ship
        home/.local/bin/docker-credential-ecs-ship -> home/.local/share/docker-ecs-ship/docker-ecs-ship
        home/.local/bin/docker-ecs-ship -> home/.local/share/docker-ecs-ship/docker-ecs-ship
        home/.local/share/bash-completion/completions/docker-ecs-ship
        home/.local/share/docker-ecs-ship/docker-ecs-ship
        home/.local/share/docker-ecs-ship/install.json
        home/.local/share/docker-ecs-ship/shim/docker -> home/.local/share/docker-ecs-ship/docker-ecs-ship
        home/.local/share/zsh/site-functions/_docker-ecs-ship
        "#);
        let record = machine.folders().record();
        assert!(fs::read_to_string(record).expect("a record").contains("\"format\": 1"));
    }

    #[test]
    fn a_program_on_path_stays_where_it_is() {
        let machine = Machine::new();
        machine.install("bin/docker-ecs-ship", Foreign::Refuse).expect("it installs");
        let home = machine.home();
        assert!(
            home.contains(&"home/.docker/cli-plugins/docker-ecsship -> bin/docker-ecs-ship".to_owned()),
            "{home:?}"
        );
        assert!(!home.contains(&"home/.local/share/docker-ecs-ship/docker-ecs-ship".to_owned()), "{home:?}");
    }

    #[test]
    fn doing_it_again_changes_nothing_and_undoing_it_leaves_nothing() {
        let machine = Machine::new();
        let changes = machine.install("downloads/docker-ecs-ship", Foreign::Refuse).expect("it installs");
        assert!(changes.iter().all(|change| matches!(change, Change::Made(_))), "{changes:?}");
        let before = machine.home();
        let changes = machine.install("downloads/docker-ecs-ship", Foreign::Refuse).expect("it installs again");
        assert!(changes.iter().all(|change| matches!(change, Change::Kept(_))), "{changes:?}");
        assert_eq!(machine.home(), before);
        // From the copy itself, as the user will call it from now on.
        let changes = machine.install("home/.local/bin/docker-ecs-ship", Foreign::Refuse).expect("and again");
        assert!(changes.iter().all(|change| matches!(change, Change::Kept(_))), "{changes:?}");
        uninstall(&machine.folders(), Foreign::Refuse).expect("it goes away");
        assert!(!machine.at("home").exists());
        let error = uninstall(&machine.folders(), Foreign::Refuse).expect_err("it is gone");
        assert!(matches!(error, InstallError::NotInstalled { .. }), "{error}");
    }

    #[test]
    fn a_new_version_replaces_the_old_one() {
        let machine = Machine::new();
        machine.install("downloads/docker-ecs-ship", Foreign::Refuse).expect("it installs");
        fs::write(machine.at("downloads/docker-ecs-ship"), "a newer program").expect("a file can be written");
        machine.install("downloads/docker-ecs-ship", Foreign::Refuse).expect("it installs the new one");
        let copy = machine.folders().own.join("docker-ecs-ship");
        assert_eq!(fs::read_to_string(copy).expect("it is there"), "a newer program");
    }

    #[test]
    fn what_is_not_ours_is_left_alone() {
        let machine = Machine::new();
        let foreign = machine.folders().shim.join("docker");
        fs::create_dir_all(&machine.folders().shim).expect("a folder can be made");
        fs::write(&foreign, "mine").expect("a file can be written");
        let before = machine.home();
        let error = machine.install("downloads/docker-ecs-ship", Foreign::Refuse).expect_err("it is in the way");
        assert!(matches!(&error, InstallError::Foreign { paths } if *paths == [foreign.clone()]), "{error}");
        assert_eq!(machine.home(), before);

        machine.install("downloads/docker-ecs-ship", Foreign::Replace).expect("it was told to");
        assert!(foreign.is_symlink());
        let bash = machine.folders().bash.join("docker-ecs-ship");
        fs::write(&bash, "edited").expect("a file can be written");
        let changes = uninstall(&machine.folders(), Foreign::Refuse).expect("the rest goes away");
        assert!(changes.contains(&Change::Left(bash.clone())), "{changes:?}");
        assert_eq!(machine.home(), ["home/.local/share/bash-completion/completions/docker-ecs-ship"]);
    }

    #[test]
    fn a_shim_folder_that_moves_leaves_nothing_behind() {
        let machine = Machine::new();
        machine.install("downloads/docker-ecs-ship", Foreign::Refuse).expect("it installs");
        let old = machine.folders().shim.join("docker");
        let folders = Folders { shim: machine.at("home/elsewhere"), ..machine.folders() };
        let program = machine.at("downloads/docker-ecs-ship");
        let placements = placements(&program, OsStr::new(""), &folders, SCRIPTS).expect("a layout");
        install(&placements, &folders, Foreign::Refuse).expect("it moves");
        assert!(!exists(&old) && exists(&folders.shim.join("docker")));
    }

    #[test]
    fn no_standalone_name_gets_into_a_plugin_folder() {
        let machine = Machine::new();
        let folders = Folders { bin: machine.folders().plugins, ..machine.folders() };
        let program = machine.at("downloads/docker-ecs-ship");
        let error = placements(&program, OsStr::new(""), &folders, SCRIPTS).expect_err("docker would complain");
        assert!(matches!(error, InstallError::PluginFolder { .. }), "{error}");
    }

    #[test]
    fn the_path_line_says_what_is_missing() {
        let machine = Machine::new();
        let mut folders = machine.folders();
        folders.shim = "/h/shim".into();
        folders.bin = "/h/b $x".into();
        fs::write(machine.at("bin/docker"), "").expect("a file can be written");
        let other = machine.at("bin").display().to_string();
        for (path, dialect, expected) in [
            ("/usr/nowhere".to_owned(), Dialect::Posix, Some("export PATH=\"/h/shim:/h/b \\$x:$PATH\"")),
            ("/h/b $x".to_owned(), Dialect::Posix, Some("export PATH=\"/h/shim:$PATH\"")),
            ("/h/shim:/h/b $x".to_owned(), Dialect::Posix, None),
            (format!("/h/shim:{other}:/h/b $x"), Dialect::Posix, None),
            (format!("{other}:/h/shim:/h/b $x"), Dialect::Posix, Some("export PATH=\"/h/shim:$PATH\"")),
            ("/h/shim".to_owned(), Dialect::Fish, Some("fish_add_path --prepend --move \"/h/b \\$x\"")),
            (String::new(), Dialect::PowerShell, Some("$env:Path = \"/h/shim;/h/b `$x;$env:Path\"")),
        ] {
            assert_eq!(path_line(&folders, OsStr::new(&path), dialect).as_deref(), expected, "{path}");
        }
    }
}
