//! Commit, branch and dirty state of the work tree, asked from the `git` that the user has.

use std::{
    io,
    path::Path,
    process::{Output, Stdio},
};

use tokio::process::Command;

use crate::config::spec::{GitFacts, NoGit, WorkTree};

/// Asks git about the repository that `folder` is in.
///
/// Two processes, run at the same time: `status` answers commit, branch and dirty state at once,
/// `describe` the tag.
pub async fn facts(folder: &Path) -> Result<GitFacts, NoGit> {
    let mut status = git(folder);
    // `normal` even where the user's own `status.showUntrackedFiles` is `no`.
    status.args(["status", "--porcelain=v2", "--branch", "-z", "--untracked-files=normal"]);
    let mut describe = git(folder);
    describe.args(["describe", "--tags", "--exact-match", "HEAD"]);
    let (status, describe) = tokio::join!(status.output(), describe.output());

    let status = status.map_err(|error| not_started(&error))?;
    if !status.status.success() {
        return Err(refused(&status));
    }
    // "fatal: no tag exactly matches '…'" is the usual answer and means no tag, and so does any other.
    let tag = describe.ok().filter(|output| output.status.success()).and_then(|output| {
        let tag = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        (!tag.is_empty()).then_some(tag)
    });
    read_status(&String::from_utf8_lossy(&status.stdout), tag)
}

fn git(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command
        // A lock taken for a mere look would make a `git commit` of the user fail at that moment.
        .arg("--no-optional-locks")
        .arg("-C")
        .arg(folder)
        // The texts below are interpreted.
        .env("LC_ALL", "C")
        .env("GIT_TERMINAL_PROMPT", "0")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

fn not_started(error: &io::Error) -> NoGit {
    if error.kind() == io::ErrorKind::NotFound {
        NoGit::NotInstalled
    } else {
        NoGit::Failed { message: error.to_string() }
    }
}

fn refused(output: &Output) -> NoGit {
    let stderr = String::from_utf8_lossy(&output.stderr);
    // "fatal: not a git repository (or any of the parent directories): .git"
    if stderr.contains("not a git repository") {
        return NoGit::NotARepository;
    }
    let message = stderr.lines().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    NoGit::Failed { message: message.trim().to_owned() }
}

/// Reads `git status --porcelain=v2 --branch -z`: entries ended by NUL; those that start with `#` are
/// headers, any other is a changed or untracked path.
fn read_status(status: &str, tag: Option<String>) -> Result<GitFacts, NoGit> {
    let mut commit = None;
    let mut branch = None;
    let mut work_tree = WorkTree::Clean;
    for entry in status.split('\0').filter(|entry| !entry.is_empty()) {
        match entry.strip_prefix("# ") {
            Some(header) => match header.split_once(' ') {
                Some(("branch.oid", "(initial)")) => return Err(NoGit::NoCommit),
                Some(("branch.oid", oid)) => commit = Some(oid.to_owned()),
                Some(("branch.head", "(detached)")) => {}
                Some(("branch.head", head)) => branch = Some(head.to_owned()),
                _ => {}
            },
            None => work_tree = WorkTree::Dirty,
        }
    }
    let commit = commit.ok_or_else(|| NoGit::Failed {
        // `--porcelain=v2` came with git 2.11 (2016).
        message: "`git status --porcelain=v2 --branch` names no commit; git 2.11 or newer is needed".to_owned(),
    })?;
    let short = commit.get(..12).unwrap_or(&commit).to_owned();
    Ok(GitFacts { commit, short, branch, tag, work_tree })
}

#[cfg(test)]
mod tests {
    use std::{fs, process};

    use super::*;

    fn run(folder: &Path, arguments: &[&str]) -> String {
        let output = process::Command::new("git")
            .arg("-C")
            .arg(folder)
            .args(["-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"])
            .args(arguments)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .expect("git runs");
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn repository() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a temporary folder");
        run(folder.path(), &["init", "--quiet", "--initial-branch=main"]);
        folder
    }

    fn commit(folder: &Path, name: &str) -> String {
        fs::write(folder.join(name), name).expect("a file");
        run(folder, &["add", "."]);
        run(folder, &["commit", "--quiet", "--message", name]);
        run(folder, &["rev-parse", "HEAD"])
    }

    #[tokio::test]
    async fn a_clean_commit_is_named_with_branch_and_tag() {
        let folder = repository();
        let head = commit(folder.path(), "a");
        let facts = facts(folder.path()).await.expect("facts");
        assert_eq!(
            facts,
            GitFacts {
                short: head[..12].to_owned(),
                commit: head,
                branch: Some("main".to_owned()),
                tag: None,
                work_tree: WorkTree::Clean,
            }
        );
        run(folder.path(), &["tag", "v1.0"]);
        let facts = super::facts(folder.path()).await.expect("facts");
        assert_eq!(facts.tag.as_deref(), Some("v1.0"));
        commit(folder.path(), "b");
        let facts = super::facts(folder.path()).await.expect("facts");
        assert_eq!(facts.tag, None);
    }

    #[tokio::test]
    async fn any_file_that_goes_into_the_context_makes_the_tree_dirty() {
        let folder = repository();
        commit(folder.path(), "a");
        let sub = folder.path().join("sub");
        fs::create_dir(&sub).expect("a folder");
        let dirty = || async { facts(&sub).await.expect("facts").work_tree };
        assert_eq!(dirty().await, WorkTree::Clean);

        fs::write(folder.path().join("a"), "changed").expect("a file");
        assert_eq!(dirty().await, WorkTree::Dirty, "a change anywhere in the work tree, seen from a subfolder");
        run(folder.path(), &["add", "."]);
        assert_eq!(dirty().await, WorkTree::Dirty, "staged");
        run(folder.path(), &["commit", "--quiet", "--message", "changed"]);
        assert_eq!(dirty().await, WorkTree::Clean);

        fs::write(folder.path().join(".git/info/exclude"), "ignored\n").expect("a file");
        fs::write(folder.path().join("ignored"), "").expect("a file");
        assert_eq!(dirty().await, WorkTree::Clean, "ignored files do not count");
        run(folder.path(), &["config", "status.showUntrackedFiles", "no"]);
        fs::write(folder.path().join("new # file"), "").expect("a file");
        assert_eq!(dirty().await, WorkTree::Dirty, "untracked, whatever the user's `git status` shows");
    }

    #[tokio::test]
    async fn a_detached_head_has_no_branch() {
        let folder = repository();
        commit(folder.path(), "a");
        run(folder.path(), &["checkout", "--quiet", "--detach"]);
        assert_eq!(facts(folder.path()).await.expect("facts").branch, None);
    }

    #[tokio::test]
    async fn a_look_takes_no_lock() {
        let folder = repository();
        commit(folder.path(), "a");
        fs::write(folder.path().join(".git/index.lock"), "").expect("a file");
        assert_eq!(facts(folder.path()).await.expect("facts").work_tree, WorkTree::Clean);
    }

    #[tokio::test]
    async fn without_git_facts_the_reason_is_told() {
        let empty = tempfile::tempdir().expect("a temporary folder");
        assert_eq!(facts(empty.path()).await, Err(NoGit::NotARepository));
        assert_eq!(facts(repository().path()).await, Err(NoGit::NoCommit));
        let missing = facts(&empty.path().join("missing")).await;
        assert!(
            matches!(&missing, Err(NoGit::Failed { message }) if message.contains("cannot change to")),
            "{missing:?}"
        );
    }
}
