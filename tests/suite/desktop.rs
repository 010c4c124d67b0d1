//! A desktop session for one test: a D-Bus of its own with a real GNOME keyring on it, or with somebody who
//! only says that he is one. No display is needed: the keyring asks for one when it wants to prompt.

use std::{
    collections::HashMap,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use aws_lc_rs::{aead, cipher, hkdf};
use zbus::{
    blocking::{Connection, MessageIterator, connection::Builder},
    message::{Message, Type},
    zvariant::{ObjectPath, OwnedObjectPath, Value},
};

use crate::environment::Environment;

const SECRETS: &str = "org.freedesktop.secrets";
const ROOT: &str = "/org/freedesktop/secrets";

/// Ends with the test.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A bus that nobody else is on.
pub(crate) struct Desktop {
    folder: tempfile::TempDir,
    pub(crate) address: String,
    bus: Connection,
    keyring: Option<Daemon>,
    _daemon: Daemon,
}

/// What a keyring is started with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// As after a login with a password, which unlocks it.
    Unlocked,
    /// As after a login without one.
    Locked,
}

impl Desktop {
    /// A bus without a keyring; `environment` is in its session from now on.
    pub(crate) fn start(environment: &mut Environment) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let socket = folder.path().join("bus");
        // No service is started by being called: what is on the bus is what a test has put there.
        let config = format!(
            "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\" \
             \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n<busconfig><type>session</type>\
             <listen>unix:path={}</listen><auth>EXTERNAL</auth><policy context=\"default\">\
             <allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>",
            socket.display()
        );
        fs::write(folder.path().join("bus.conf"), config).expect("a file");
        for name in ["home", "run"] {
            let path = folder.path().join(name);
            fs::create_dir(&path).expect("a folder");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("it is ours");
        }
        let mut command = environment.command("dbus-daemon");
        command.arg(format!("--config-file={}", folder.path().join("bus.conf").display()));
        command.args(["--nofork", "--print-address=1"]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut daemon = Daemon(spawn(&mut command));
        let mut line = String::new();
        BufReader::new(daemon.0.stdout.take().expect("a pipe")).read_line(&mut line).expect("the bus says where it is");
        let address = line.trim().to_owned();
        environment.set("DBUS_SESSION_BUS_ADDRESS", &address);
        let bus = connect(&address);
        Self { folder, address, bus, keyring: None, _daemon: daemon }
    }

    /// With a real keyring that a password has unlocked.
    pub(crate) fn unlocked(environment: &mut Environment) -> Self {
        let mut desktop = Self::start(environment);
        desktop.keyring(environment, Start::Unlocked);
        desktop
    }

    /// The same keyring after a start without the password.
    pub(crate) fn lock(&mut self, environment: &Environment) {
        self.keyring(environment, Start::Locked);
    }

    fn keyring(&mut self, environment: &Environment, start: Start) {
        self.keyring = None;
        self.wait("the old keyring to be gone", |desktop| !desktop.has_keyring());
        let mut command = environment.command("gnome-keyring-daemon");
        command.args(["--foreground", "--components=secrets"]).stdin(Stdio::piped());
        command.env("HOME", self.folder.path().join("home")).env("XDG_RUNTIME_DIR", self.folder.path().join("run"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        if start == Start::Unlocked {
            command.arg("--unlock");
        }
        let mut child = spawn(&mut command);
        // The password ends where the input ends.
        child.stdin.take().expect("a pipe").write_all(b"password").expect("the keyring reads");
        self.keyring = Some(Daemon(child));
        self.wait("the keyring to be on the bus", |desktop| {
            desktop.has_keyring() && desktop.collection() != ObjectPath::from_static_str_unchecked("/").into()
        });
    }

    fn has_keyring(&self) -> bool {
        let answer = self.bus.call_method(
            Some("org.freedesktop.DBus"),
            "/",
            Some("org.freedesktop.DBus"),
            "NameHasOwner",
            &SECRETS,
        );
        answer.and_then(|answer| answer.body().deserialize()).expect("the bus answers")
    }

    fn collection(&self) -> OwnedObjectPath {
        self.ask("ReadAlias", &"default").body().deserialize().expect("a path")
    }

    fn ask(&self, method: &str, arguments: &(impl serde::Serialize + zbus::zvariant::DynamicType)) -> Message {
        let interface = "org.freedesktop.Secret.Service";
        self.bus.call_method(Some(SECRETS), ROOT, Some(interface), method, arguments).expect("the keyring answers")
    }

    /// How many entries of ours are in the keyring.
    pub(crate) fn entries(&self) -> usize {
        let wanted = HashMap::from([("service", "docker-ecs-ship")]);
        let found: (Vec<OwnedObjectPath>, Vec<OwnedObjectPath>) =
            self.ask("SearchItems", &wanted).body().deserialize().expect("two lists");
        found.0.len() + found.1.len()
    }

    /// Puts something else in the place of our entry, as anybody may who is on the bus.
    pub(crate) fn spoil(&self, environment: &Environment, secret: &str) {
        let wanted = HashMap::from([("service", "docker-ecs-ship")]);
        let found: (Vec<OwnedObjectPath>, Vec<OwnedObjectPath>) =
            self.ask("SearchItems", &wanted).body().deserialize().expect("two lists");
        let item = found.0.first().expect("an entry of ours").clone();
        let attributes = self.bus.call_method(
            Some(SECRETS),
            &item,
            Some("org.freedesktop.DBus.Properties"),
            "Get",
            &("org.freedesktop.Secret.Item", "Attributes"),
        );
        let attributes = attributes
            .expect("the keyring answers")
            .body()
            .deserialize::<Value<'_>>()
            .map(|value| HashMap::<String, String>::try_from(value.try_clone().expect("no file")).expect("texts"));
        let username = attributes.expect("a property")["username"].clone();
        let mut command = environment.command("secret-tool");
        command
            .args(["store", "--label=spoilt", "service", "docker-ecs-ship", "username", &username])
            .stdin(Stdio::piped());
        let mut child = spawn(&mut command);
        child.stdin.take().expect("a pipe").write_all(secret.as_bytes()).expect("it reads");
        assert!(child.wait().expect("it ends").success(), "secret-tool");
    }

    /// Tries to unlock the keyring, which opens a window.
    pub(crate) fn ask_for_the_password(&self) {
        let (_, prompt): (Vec<OwnedObjectPath>, OwnedObjectPath) =
            self.ask("Unlock", &vec![self.collection()]).body().deserialize().expect("a prompt");
        let interface = "org.freedesktop.Secret.Prompt";
        self.bus.call_method(Some(SECRETS), &prompt, Some(interface), "Prompt", &"").expect("the keyring answers");
    }

    /// Waits, for half a minute at most.
    pub(crate) fn wait(&self, what: &str, until: impl Fn(&Self) -> bool) {
        for _ in 0..3000 {
            if until(self) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("{what} did not come");
    }
}

fn spawn(command: &mut Command) -> Child {
    command.spawn().unwrap_or_else(|error| {
        let program = Path::new(command.get_program()).display();
        panic!("{program} does not start ({error}): these tests need dbus-daemon, gnome-keyring and secret-tool, which tests/ensure-tools installs")
    })
}

fn connect(address: &str) -> Connection {
    Builder::address(address).and_then(Builder::build).expect("the bus takes us")
}

/// Who would draw the window that asks for a password; it only counts how often it is called.
pub(crate) fn windows(desktop: &Desktop) -> Arc<AtomicUsize> {
    let counted = Arc::new(AtomicUsize::new(0));
    let bus = connect(&desktop.address);
    bus.request_name("org.gnome.keyring.SystemPrompter").expect("nobody else has it");
    let count = Arc::clone(&counted);
    thread::spawn(move || {
        for message in MessageIterator::from(bus).flatten() {
            if message.message_type() == Type::MethodCall {
                count.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    counted
}

/// How somebody who says that he is a keyring behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Impostor {
    /// Takes everything and gives back something shorter.
    KeepsNothing,
    /// Gives back another secret of the right length each time.
    AnotherEachTime,
    /// Is asked for the secret and never answers.
    Silent,
}

/// Puts one on the bus; answers how often he was asked for a secret.
pub(crate) fn impostor(desktop: &Desktop, behaviour: Impostor) -> Arc<AtomicUsize> {
    let asked = Arc::new(AtomicUsize::new(0));
    let bus = connect(&desktop.address);
    bus.request_name(SECRETS).expect("nobody else has it");
    let count = Arc::clone(&asked);
    thread::spawn(move || {
        let mut there = behaviour != Impostor::KeepsNothing;
        for message in MessageIterator::from(bus.clone()).flatten() {
            if message.message_type() == Type::MethodCall {
                let answered = pretend(&bus, &message, behaviour, &mut there, &count);
                answered.expect("the bus takes the answer");
            }
        }
    });
    asked
}

fn pretend(
    bus: &Connection,
    message: &Message,
    behaviour: Impostor,
    there: &mut bool,
    asked: &AtomicUsize,
) -> zbus::Result<()> {
    let path = |path: &str| OwnedObjectPath::try_from(path).expect("a path");
    let header = message.header();
    let member = header.member().map(ToString::to_string).unwrap_or_default();
    let (item, session) = (path("/org/freedesktop/secrets/collection/login/1"), path("/session"));
    match member.as_str() {
        // With this key of ours the common secret is 1, whatever theirs is.
        "OpenSession" => bus.reply(&header, &(Value::from(vec![1_u8]), session)),
        "ReadAlias" => bus.reply(&header, &path("/org/freedesktop/secrets/collection/login")),
        "Get" => bus.reply(&header, &Value::from(false)),
        "SearchItems" => {
            let found = if *there { vec![item] } else { Vec::new() };
            bus.reply(&header, &(found, Vec::<OwnedObjectPath>::new()))
        }
        "CreateItem" => {
            *there = true;
            bus.reply(&header, &(item, path("/")))
        }
        "SetSecret" => bus.reply(&header, &()),
        "GetSecret" => {
            let number = asked.fetch_add(1, Ordering::SeqCst);
            let secret = match behaviour {
                Impostor::KeepsNothing => b"something else".to_vec(),
                Impostor::AnotherEachTime => vec![u8::try_from(number % 256).expect("a byte"); 32],
                Impostor::Silent => return Ok(()),
            };
            let (parameters, value) = encrypted(secret);
            bus.reply(&header, &((session, parameters, value, "application/octet-stream"),))
        }
        other => bus.reply_error(&header, "org.freedesktop.DBus.Error.UnknownMethod", &format!("no {other} here")),
    }?;
    Ok(())
}

/// As the Secret Service API wants it ("dh-ietf1024-sha256-aes128-cbc-pkcs7"), for the common secret 1.
fn encrypted(mut secret: Vec<u8>) -> (Vec<u8>, Vec<u8>) {
    let mut common = [0; 128];
    common[127] = 1;
    let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&common);
    let mut key = [0; 16];
    // Any algorithm with a key of 16 bytes will do to say the length.
    extracted.expand(&[], &aead::AES_128_GCM).and_then(|output| output.fill(&mut key)).expect("16 bytes");
    let key =
        cipher::UnboundCipherKey::new(&cipher::AES_128, &key).and_then(cipher::PaddedBlockEncryptingKey::cbc_pkcs7);
    let context = key.and_then(|key| key.encrypt(&mut secret)).expect("it encrypts");
    let parameters: &[u8] = (&context).try_into().expect("an initialisation vector");
    (parameters.to_vec(), secret)
}

/// A socket that takes connections and never says a word; answers how many it has taken.
pub(crate) fn mute(folder: &Path) -> (PathBuf, Arc<AtomicUsize>) {
    let path = folder.join("mute");
    let listener = std::os::unix::net::UnixListener::bind(&path).expect("a free path");
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming().flatten() {
            count.fetch_add(1, Ordering::SeqCst);
            held.push(stream);
        }
    });
    (path, taken)
}
