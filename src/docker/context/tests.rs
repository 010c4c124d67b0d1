//! The context as a tar, from folders made for it.

use std::os::unix::{fs::symlink, net::UnixListener};

use futures_util::StreamExt;

use super::*;

/// A folder with these files; a name that ends in `/` is a folder.
fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        if name.ends_with('/') {
            fs::create_dir_all(path).unwrap();
        } else {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
    }
    folder
}

fn archive(context: BuildContext) -> Vec<(String, Header, Vec<u8>)> {
    let mut bytes = Vec::new();
    context.write(&mut bytes).unwrap();
    tar::Archive::new(bytes.as_slice())
        .entries()
        .unwrap()
        .map(|entry| {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (entry.path().unwrap().to_string_lossy().into_owned(), entry.header().clone(), bytes)
        })
        .collect()
}

fn names(folder: &Path, dockerfile: &str, reader: Reader) -> Vec<String> {
    let context = BuildContext::open(folder, &folder.join(dockerfile), reader).unwrap();
    archive(context).into_iter().map(|(name, _, _)| name).collect()
}

#[test]
fn a_context_is_sorted_owned_by_root_and_keeps_modes_and_links() {
    use std::os::unix::fs::PermissionsExt;
    let long = format!("deep/{}", "n".repeat(180));
    let folder = tree(&[("Dockerfile", "FROM scratch"), ("b", "2"), ("a", "1"), (&long, "x"), ("empty/", "")]);
    fs::set_permissions(folder.path().join("a"), fs::Permissions::from_mode(0o750)).unwrap();
    symlink("no/such/target", folder.path().join("link")).unwrap();
    let _socket = UnixListener::bind(folder.path().join("socket")).unwrap();
    let context = BuildContext::open(folder.path(), &folder.path().join("Dockerfile"), Reader::BuildKit).unwrap();
    let entries = archive(context);
    let names: Vec<_> = entries.iter().map(|(name, _, _)| name.as_str()).collect();
    assert_eq!(names, ["Dockerfile", "a", "b", "deep", long.as_str(), "empty", "link"]);
    let (_, a, bytes) = &entries[1];
    assert_eq!(bytes, b"1");
    assert_eq!((a.uid().unwrap(), a.gid().unwrap(), a.mode().unwrap()), (0, 0, 0o750));
    let written = fs::metadata(folder.path().join("a")).unwrap().mtime();
    assert_eq!(i64::try_from(a.mtime().unwrap()).unwrap(), written);
    let (_, link, _) = &entries[6];
    assert_eq!(link.link_name().unwrap().unwrap(), Path::new("no/such/target"));
}

#[test]
fn ignored_files_stay_here_and_what_comes_back_brings_its_folders() {
    let folder = tree(&[
        (".dockerignore", "*\n!src\nsrc/tmp\n!docs/keep/*.md"),
        ("Dockerfile", "FROM scratch"),
        ("docs/keep/a.md", ""),
        ("docs/keep/b.txt", ""),
        ("docs/lost/c.md", ""),
        ("node_modules/x/y", ""),
        ("src/main.rs", ""),
        ("src/tmp/z", ""),
    ]);
    assert_eq!(
        names(folder.path(), "Dockerfile", Reader::BuildKit),
        ["Dockerfile", "docs", "docs/keep", "docs/keep/a.md", "src", "src/main.rs"]
    );
    // The classic builder wants to read the ignore file itself.
    assert_eq!(names(folder.path(), "Dockerfile", Reader::Classic)[..2], [".dockerignore", "Dockerfile"]);
}

#[test]
fn the_dockerfiles_own_ignore_file_wins_with_buildkit_only() {
    let folder = tree(&[
        (".dockerignore", "a"),
        ("docker/api", "FROM scratch"),
        ("docker/api.dockerignore", "b\ndocker"),
        ("a", ""),
        ("b", ""),
    ]);
    assert_eq!(names(folder.path(), "docker/api", Reader::BuildKit), [".dockerignore", "a", "docker", "docker/api"]);
    assert_eq!(
        names(folder.path(), "docker/api", Reader::Classic),
        [".dockerignore", "b", "docker", "docker/api", "docker/api.dockerignore"]
    );
}

#[test]
fn a_dockerfile_from_outside_is_sent_under_a_name_that_does_not_change() {
    let outside = tree(&[("Dockerfile", "FROM scratch\n")]);
    let folder = tree(&[("a", ""), (".dockerignore", "b")]);
    let dockerfile = outside.path().join("Dockerfile");
    let open = |reader| BuildContext::open(folder.path(), &dockerfile, reader).unwrap();
    let name = open(Reader::BuildKit).dockerfile;
    assert_eq!(name, open(Reader::BuildKit).dockerfile);
    assert!(name.starts_with(".dockerfile.") && name.len() == 32, "{name}");
    let entries = archive(open(Reader::BuildKit));
    assert_eq!(entries.last().unwrap().2, b"FROM scratch\n");
    let classic: BTreeMap<_, _> =
        archive(open(Reader::Classic)).into_iter().map(|(name, _, content)| (name, content)).collect();
    assert_eq!(String::from_utf8_lossy(&classic[".dockerignore"]), format!("b\n{name}\n"));
}

#[test]
fn what_is_missing_is_named() {
    let folder = tree(&[("file", ""), ("bad/Dockerfile", ""), ("bad/.dockerignore", "a\n[")]);
    let open = |context: &str, dockerfile: &str| {
        BuildContext::open(&folder.path().join(context), &folder.path().join(dockerfile), Reader::BuildKit).unwrap_err()
    };
    assert!(matches!(open("none", "file"), ContextError::Missing { .. }));
    assert!(matches!(open("file", "file"), ContextError::NotAFolder { .. }));
    assert!(matches!(open("", "none"), ContextError::DockerfileMissing { .. }));
    assert!(matches!(
        open("bad", "bad/Dockerfile"),
        ContextError::Ignore { source: IgnoreError::Syntax { line: 2, .. }, .. }
    ));
}

#[test]
fn a_file_that_shrinks_is_an_error_and_one_that_grows_is_cut() {
    let folder = tree(&[("f", "12345")]);
    let file = || File::open(folder.path().join("f")).unwrap();
    let mut content = Vec::new();
    Exactly { file: file(), left: 3 }.read_to_end(&mut content).unwrap();
    assert_eq!(content, b"123");
    let error = Exactly { file: file(), left: 9 }.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn the_stream_is_bounded_and_ends_when_nobody_reads() {
    let folder = tree(&[("Dockerfile", "FROM scratch"), ("big", &"x".repeat(4 * 1024 * 1024))]);
    let context =
        || BuildContext::open(folder.path(), &folder.path().join("Dockerfile"), Reader::BuildKit).unwrap().stream();
    let whole = context();
    let bytes: usize =
        whole.pieces.map(|piece| piece.unwrap().len()).fold(0, |sum, length| async move { sum + length }).await;
    assert_eq!(bytes as u64, whole.progress.load(Ordering::Relaxed));
    assert_eq!(whole.outcome.await.unwrap().unwrap().bytes, 12 + 4 * 1024 * 1024);

    let given_up = context();
    let mut pieces = Box::pin(given_up.pieces);
    pieces.next().await.unwrap().unwrap();
    drop(pieces);
    given_up.outcome.await.unwrap().unwrap_err();
    let read = given_up.progress.load(Ordering::Relaxed);
    assert!(read <= (PIECES_AHEAD as u64 + 2) * PIECE as u64 * 2, "{read} bytes were read ahead");
}

#[test]
fn a_large_context_is_warned_about_with_its_largest_parts() {
    let sent = |bytes, parts: &[(&str, u64)]| Sent {
        bytes,
        by_entry: parts.iter().map(|(name, bytes)| ((*name).to_owned(), *bytes)).collect(),
    };
    assert_eq!(sent(LARGE, &[("a", LARGE)]).warning(), None);
    let many = [("src", 1_000_000), ("node_modules", 400_000_000), (".git", 180_000_000), ("target", 30_000_000)];
    assert_eq!(
        sent(611_000_000, &many).warning().unwrap(),
        "the build context is 611 MB; the largest parts are node_modules (400 MB), .git (180 MB), target (30 MB): \
         list in .dockerignore what the build does not need"
    );
}
