//! The cache as a file system shows it. The real keyrings have their tests in `tests/suite/keyrings.rs`.

use std::{fs, os::unix::fs::PermissionsExt as _};

use super::*;

const NOW: u64 = 1_790_000_000_000;
const HOUR: u64 = 3_600_000;
const REGISTRY: &str = "111111111111.dkr.ecr.eu-west-1.amazonaws.com";

fn scope(fingerprint: &str) -> Scope {
    Scope {
        region: "eu-west-1".into(),
        endpoint: "standard".into(),
        fingerprint: fingerprint.into(),
        identity: "profile jobs".into(),
    }
}

fn key(fingerprint: &str) -> TokenKey {
    TokenKey { registry: REGISTRY.into(), scope: scope(fingerprint) }
}

fn entry(password: &str, issued_ms: u64) -> Entry {
    Entry {
        login: Login { username: "AWS".into(), password: Secret::new(password.into()) },
        about: About {
            registry: REGISTRY.into(),
            account: Some("111111111111".into()),
            region: "eu-west-1".into(),
            identity: "profile jobs".into(),
            caller: None,
            issued_ms,
            expires_ms: issued_ms + 12 * HOUR,
        },
    }
}

struct Place {
    root: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> std::path::PathBuf {
        self.root.path().join("tokens")
    }

    fn open(&self) -> Cache {
        Cache::open(&self.path(), Choice::Only(Kind::File))
    }

    fn files(&self, suffix: &str) -> Vec<std::path::PathBuf> {
        let mut files: Vec<_> = fs::read_dir(self.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| path.to_string_lossy().ends_with(suffix));
        files.sort();
        files
    }
}

#[test]
fn a_token_is_found_by_registry_and_caller() {
    let place = Place::new();
    assert_eq!(place.open().keep(&key("a"), &entry("one", NOW)), Some(Kind::File));
    place.open().keep(&key("b"), &entry("two", NOW));
    let cache = place.open();
    assert_eq!(cache.find(&key("a")).unwrap(), (Kind::File, entry("one", NOW)));
    assert_eq!(cache.find(&key("b")).unwrap().1, entry("two", NOW));
    assert_eq!(cache.find(&key("c")), None);
    assert_eq!(cache.find_own(&scope("b"), NOW).unwrap().1, entry("two", NOW));
    assert_eq!(cache.find_own(&scope("b"), NOW + 13 * HOUR), None);
    let elsewhere = TokenKey { scope: Scope { region: "us-east-1".into(), ..scope("a") }, ..key("a") };
    assert_eq!(cache.find(&elsewhere), None);
    assert_eq!(cache.list().len(), 2);
    assert!(cache.notes().is_empty(), "{:?}", cache.notes());
    for file in place.files("") {
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
    }
}

#[test]
fn what_is_not_as_it_was_written_is_set_aside_and_told() {
    type Spoil = fn(&std::path::Path);
    let cases: [(&str, Spoil); 6] = [
        ("empty", |path| fs::write(path, "").unwrap()),
        ("cut", |path| {
            let bytes = fs::read(path).unwrap();
            fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("another program's", |path| fs::write(path, "{\"Registries\":{},\"Version\":\"1.0\"}").unwrap()),
        ("its body cut", |path| {
            let bytes = fs::read(path).unwrap();
            fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
        }),
        ("open to others", |path| fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap()),
        ("for another registry", |path| {
            let text = fs::read_to_string(path).unwrap();
            fs::write(path, text.replace("111111111111.dkr", "999999999999.dkr")).unwrap();
        }),
    ];
    for (what, spoil) in cases {
        let place = Place::new();
        place.open().keep(&key("a"), &entry("one", NOW));
        spoil(&place.files(TOKEN)[0]);
        let cache = place.open();
        assert_eq!(cache.find(&key("a")), None, "{what}");
        assert!(cache.notes().join("\n").contains("is not used"), "{what}: {:?}", cache.notes());
        assert!(place.files(TOKEN)[0].to_string_lossy().contains(ASIDE), "{what}");
        // And the next one is kept as if nothing had been.
        cache.keep(&key("a"), &entry("two", NOW));
        assert_eq!(place.open().find(&key("a")).unwrap().1, entry("two", NOW), "{what}");
    }
}

#[test]
fn the_line_in_plain_text_is_bound_to_the_token() {
    let key = Secret::new([7; 32]);
    let sealed = seal(&key, "keyutils-a.token", b"header", b"secret").unwrap();
    assert!(!sealed.windows(6).any(|window| window == b"secret"));
    let open = |key: &Key, name, header: &[u8], spoil: Option<usize>| {
        let mut body = sealed.clone();
        if let Some(at) = spoil {
            body[at] ^= 1;
        }
        unseal(key, name, header, &mut body).map(<[u8]>::to_vec)
    };
    assert_eq!(open(&key, "keyutils-a.token", b"header", None).unwrap(), b"secret");
    assert_eq!(open(&key, "keyutils-b.token", b"header", None), None, "under another name");
    assert_eq!(open(&key, "keyutils-a.token", b"Header", None), None, "with another line");
    assert_eq!(open(&Secret::new([8; 32]), "keyutils-a.token", b"header", None), None, "with another key");
    for at in 0..sealed.len() {
        assert_eq!(open(&key, "keyutils-a.token", b"header", Some(at)), None, "{at}");
    }
    assert_eq!(unseal(&key, "a", b"", &mut [0; 11]), None);
    // The same token twice does not look the same.
    assert_ne!(seal(&key, "a", b"", b"secret"), seal(&key, "a", b"", b"secret"));
}

#[test]
fn old_entries_go() {
    let place = Place::new();
    let cache = place.open();
    cache.keep(&key("old"), &entry("one", NOW - 13 * HOUR));
    fs::write(place.path().join(format!("{NEW}left")), "x").unwrap();
    let ancient = std::time::SystemTime::UNIX_EPOCH;
    fs::File::options()
        .append(true)
        .open(place.path().join(format!("{NEW}left")))
        .unwrap()
        .set_modified(ancient)
        .unwrap();
    cache.keep(&key("young"), &entry("two", NOW));
    assert_eq!(place.files("").len(), 1, "{:?}", place.files(""));
    assert_eq!(cache.find(&key("young")).unwrap().1, entry("two", NOW));
}

#[test]
fn forgetting_takes_what_is_meant() {
    let place = Place::new();
    let cache = place.open();
    cache.keep(&key("a"), &entry("one", NOW));
    let other = TokenKey { registry: "public.ecr.aws".into(), ..key("a") };
    let mut public = entry("two", NOW);
    public.about.registry = "public.ecr.aws".into();
    cache.keep(&other, &public);
    cache.forget(&key("a"), &entry("older", NOW).login);
    assert!(cache.find(&key("a")).is_some(), "another process has a new one");
    assert_eq!(cache.forget_all(Some(REGISTRY)).unwrap(), 1);
    assert_eq!(cache.list().len(), 1);
    assert_eq!(cache.forget_all(None).unwrap(), 1);
    assert!(cache.list().is_empty());
}

#[test]
fn a_folder_that_cannot_be_used_is_a_note_and_no_failure() {
    let place = Place::new();
    fs::write(place.path(), "a file stands there").unwrap();
    let cache = place.open();
    assert_eq!(cache.keep(&key("a"), &entry("one", NOW)), None);
    assert_eq!(cache.find(&key("a")), None);
    assert!(cache.trouble().unwrap().contains("is a link or no folder"), "{:?}", cache.trouble());
    assert_eq!(Cache::nowhere().trouble(), None);
    assert_eq!(place.open().trouble(), None, "nothing was to be kept");
}

#[test]
fn a_session_is_no_token() {
    let place = Place::new();
    let cache = place.open();
    let session = TokenKey { registry: "arn:aws:iam::111111111111:role/ship".into(), ..key("a") };
    let mut kept = entry("secrets", NOW);
    kept.about.registry.clone_from(&session.registry);
    cache.keep_session(&session, &kept);
    assert_eq!((cache.find_session(&session), cache.find(&session)), (Some(kept), None));
    assert!(cache.list().is_empty());
    assert_eq!(cache.forget_all(None).unwrap(), 0);
    let other = TokenKey { registry: "arn:aws:iam::111111111111:role/other".into(), ..key("a") };
    cache.keep_session(
        &other,
        &Entry { about: About { registry: other.registry.clone(), ..entry("b", NOW).about }, ..entry("b", NOW) },
    );
    cache.forget_session(&other);
    assert_eq!(cache.find_session(&other), None);
    assert_eq!(cache.forget_sessions().unwrap(), 1);
    assert_eq!(cache.find_session(&session), None);
    // One that is over goes when the next thing is kept.
    cache.keep_session(&session, &entry("old", NOW - 13 * HOUR));
    cache.keep(&key("a"), &entry("new", NOW));
    assert_eq!(place.files(SESSION).len(), 0);
}

/// A disk that is full loses no deploy: the token is fetched, used and not kept, and what was kept stays.
#[test]
fn on_a_full_disk_the_token_of_before_stays_and_the_next_one_is_kept_when_there_is_room() {
    let place = Place::new();
    let mount = |words: &[&str]| {
        let status = std::process::Command::new(words[0]).args(&words[1..]).arg(place.root.path()).status();
        status.is_ok_and(|status| status.success())
    };
    if !mount(&["mount", "-t", "tmpfs", "-o", "size=128k,mode=0700", "tmpfs"]) {
        #[expect(clippy::disallowed_methods, reason = "the switch that CONTRIBUTING.md describes")]
        let skip = std::env::var_os("ECS_SHIP_E2E").is_some_and(|value| value == "skip");
        assert!(skip, "a full disk is made with a small tmpfs, which needs root; ECS_SHIP_E2E=skip leaves this out");
        return;
    }
    let cache = place.open();
    assert_eq!(cache.keep(&key("a"), &entry("one", NOW)), Some(Kind::File));
    let filler = place.root.path().join("filler");
    let mut full = fs::File::create(&filler).unwrap();
    let written = std::io::copy(&mut std::io::repeat(7), &mut full);
    drop(full);
    let kept = cache.keep(&key("a"), &entry("two", NOW + 1));
    let (trouble, found, names) = (cache.trouble(), place.open().find(&key("a")), place.files(""));
    fs::remove_file(&filler).unwrap();
    let again = cache.keep(&key("a"), &entry("three", NOW + 2));
    let last = place.open().find(&key("a"));
    assert!(mount(&["umount", "--lazy"]));

    written.unwrap_err();
    assert_eq!(kept, None);
    assert!(trouble.is_some_and(|trouble| trouble.contains("No space left on device")));
    assert_eq!(found, Some((Kind::File, entry("one", NOW))), "half a token is in nobody's way");
    assert_eq!(names.len(), 1, "half a file would keep the disk full: {names:?}");
    assert_eq!((again, last), (Some(Kind::File), Some((Kind::File, entry("three", NOW + 2)))));
}
