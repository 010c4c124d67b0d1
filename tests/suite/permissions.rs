//! What the guide says a verb needs is what the verb calls: every call of the real program passes through here and is
//! looked up in `docs/guide/iam.md`.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    io::{BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use crate::{
    paper::Paper,
    plan, preflight, promote,
    stand_in::{self, Request},
    verbs::{self, ship},
};

const GUIDE: &str = include_str!("../../docs/guide/iam.md");

/// Hands every request on to the sandbox, and remembers the IAM action that it needs.
struct Listening {
    url: String,
    heard: Arc<Mutex<BTreeSet<String>>>,
}

impl Listening {
    fn before(authority: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("it has an address"));
        let heard = Arc::default();
        let listening = Self { url, heard: Arc::clone(&heard) };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (authority, heard) = (authority.clone(), Arc::clone(&heard));
                thread::spawn(move || serve(&stream, &authority, &heard));
            }
        });
        listening
    }

    /// What was heard since the last time.
    fn take(&self) -> BTreeSet<String> {
        std::mem::take(&mut self.heard.lock().expect("no test panics with it"))
    }
}

fn serve(mut stream: &TcpStream, authority: &str, heard: &Mutex<BTreeSet<String>>) {
    let mut reader = BufReader::new(stream);
    while let Some(Request { headers, body, .. }) = stand_in::read(&mut reader) {
        heard.lock().expect("no test panics with it").insert(action(headers.get("x-amz-target"), &body));
        let mut top = String::from("POST / HTTP/1.1\r\nconnection: close\r\n");
        for (name, value) in headers.iter().filter(|(name, _)| !matches!(name.as_str(), "connection" | "expect")) {
            write!(top, "{name}: {value}\r\n").expect("a text grows");
        }
        let mut sandbox = TcpStream::connect(authority).expect("the sandbox listens");
        write!(sandbox, "{top}\r\n{body}").expect("the sandbox reads");
        let mut answer = Vec::new();
        sandbox.read_to_end(&mut answer).expect("the sandbox answers");
        // The program may have gone meanwhile.
        if stream.write_all(&answer).is_err() {
            return;
        }
    }
}

/// `ecs:UpdateService`: IAM calls an action as the API calls the operation.
fn action(target: Option<&String>, body: &str) -> String {
    if let Some((service, operation)) = target.and_then(|target| target.split_once('.')) {
        let service = match service.split('_').next() {
            Some("AmazonEC2ContainerServiceV20141113") => "ecs",
            Some("AmazonEC2ContainerRegistry") => "ecr",
            Some("Logs") => "logs",
            _ => panic!("{service} is no service that is called"),
        };
        return format!("{service}:{operation}");
    }
    let parameter = |name: &str| body.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let service = if parameter("Version") == Some("2011-06-15") { "sts" } else { "elasticloadbalancing" };
    format!("{service}:{}", parameter("Action").expect("a Query call has an action"))
}

/// The actions of a text: `ecs:RunTask` wherever it stands in backticks or quotes.
fn actions(text: &str) -> BTreeSet<String> {
    let is_action = |word: &&str| {
        let Some((service, operation)) = word.split_once(':') else { return false };
        ["ecs", "ecr", "elasticloadbalancing", "logs", "sts"].contains(&service)
            && operation.starts_with(|letter: char| letter.is_ascii_uppercase())
    };
    text.split(['`', '"']).filter(is_action).map(str::to_owned).collect()
}

/// What the guide says that a verb may call.
fn documented(verb: &str) -> BTreeSet<String> {
    let policy = GUIDE.split("```").nth(1).expect("the policy");
    let mut all = actions(policy);
    let row = GUIDE.lines().find(|line| line.starts_with(&format!("| `{verb}` |")));
    all.extend(actions(row.unwrap_or_default()));
    all
}

#[test]
fn no_verb_calls_what_the_guide_does_not_list_for_it() {
    let mut paper = verbs::shop("200", "");
    paper.environment.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    paper.environment.write(
        "ship.toml",
        "format = 1\n\n[images.web]\nrepository = \"shop/web\"\n\n[services.web]\ncluster = \"shop\"\n\n\
         [environments.production]\nregion = \"us-east-1\"\n",
    );
    plan::commit(&paper);
    paper.repository();
    let listening = Listening::before(paper.authority().to_owned());
    paper.environment.set("AWS_ENDPOINT_URL", &listening.url);
    for (verb, words, code) in [
        ("plan", &[][..], 0),
        ("deploy", &["--yes"], 0),
        ("status", &[], 0),
        ("history", &[], 0),
        ("tasks", &[], 0),
        ("logs", &[], 0),
        ("watch", &[], 0),
        ("run", &["--timeout", "1s", "--", "true"], 24),
        ("stop-deployment", &["--yes"], 0),
        ("rollback", &["--yes"], 0),
    ] {
        let output = ship(&paper, &[&[verb], words].concat());
        assert_eq!(output.code, Some(code), "{verb}: {output}");
        let heard = listening.take();
        assert!(!heard.is_empty(), "{verb} called nothing");
        let missing: Vec<_> = heard.difference(&documented(verb)).cloned().collect();
        assert!(missing.is_empty(), "docs/guide/iam.md does not say that {verb} needs {missing:?}");
        if verb == "rollback" {
            assert!(heard.contains("ecs:UpdateService"), "{heard:?}");
        }
    }
    paper.remove_images();
    let exec = verbs::heard_of_exec();
    let missing: Vec<_> = exec.difference(&documented("exec")).cloned().collect();
    assert!(missing.is_empty() && exec.contains("ecs:ExecuteCommand"), "{exec:?}");
}

/// Of an image that is not built again, which is the one time that `plan` reads one.
#[test]
fn what_an_image_is_for_is_read_as_the_guide_says() {
    let mut paper = preflight::pushed_for_another(Paper::up("200"));
    let listening = Listening::before(paper.authority().to_owned());
    paper.environment.set("AWS_ENDPOINT_URL", &listening.url);
    let planned = ship(&paper, &["plan"]);
    assert_eq!(planned.code, Some(5), "{planned}");
    let heard = listening.take();
    let missing: Vec<_> = heard.difference(&documented("plan")).cloned().collect();
    assert!(missing.is_empty() && heard.contains("ecr:GetDownloadUrlForLayer"), "{missing:?} of {heard:?}");
    let optional = GUIDE.split("What may be missing, and what is lost then").nth(1).expect("the table");
    let optional = optional.split("\n## ").next().expect("it ends with the next heading");
    assert!(actions(optional).contains("ecr:GetDownloadUrlForLayer"));
    paper.remove_images();
}

/// The policy of whoever promotes is one for each side: the one that is read needs to be read, and no more.
#[test]
fn a_promotion_reads_there_and_writes_here_as_the_guide_says() {
    let mut paper = verbs::shop("200", "");
    paper.environment.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    let (there, here) =
        (Listening::before(paper.authority().to_owned()), Listening::before(paper.authority().to_owned()));
    let profiles =
        format!("[profile there]\nendpoint_url = {}\n[profile here]\nendpoint_url = {}\n", there.url, here.url);
    let config = paper.environment.write("aws-config", &profiles);
    paper.environment.unset("AWS_ENDPOINT_URL").set("AWS_CONFIG_FILE", &config.display().to_string());
    paper.environment.write(
        "ship.toml",
        "format = 1\n\n[images.web]\nrepository = \"shop/web\"\n\n[services.web]\ncluster = \"shop\"\n\n\
         [environments.staging]\nregion = \"us-east-1\"\nprofile = \"there\"\naccount = \"000000000000\"\n\n\
         [environments.production]\nregion = \"us-east-1\"\nprofile = \"here\"\npromote_from = \"staging\"\n\n\
         [environments.production.services.web]\ncluster = \"live\"\n\n\
         [environments.production.images.web]\nrepository = \"live/web\"\n",
    );
    plan::commit(&paper);
    paper.repository();
    paper.repository_called("live/web");
    promote::service_in(&paper, "live");
    let shipped = ship(&paper, &["deploy", "--environment", "staging", "--yes"]);
    assert_eq!(shipped.code, Some(0), "{shipped}");
    there.take();

    let promoted = ship(&paper, &["deploy", "--environment", "production", "--yes"]);
    assert_eq!(promoted.code, Some(0), "{promoted}");
    let mut reads = there.take();
    // Only of a registry whose name is not ECR's own, as the sandbox's.
    reads.remove("ecr:DescribeRepositories");
    let policy = actions(GUIDE.split("```").nth(3).expect("the policy of the other side"));
    let missing: Vec<_> = reads.difference(&policy).collect();
    assert!(missing.is_empty() && reads.contains("ecr:GetDownloadUrlForLayer"), "there: {missing:?} of {reads:?}");
    let writes = here.take();
    let missing: Vec<_> = writes.difference(&documented("deploy")).cloned().collect();
    assert!(missing.is_empty() && writes.contains("ecr:UploadLayerPart"), "here: {missing:?} of {writes:?}");
    assert!(!writes.contains("ecr:GetAuthorizationToken"), "no login is needed: {writes:?}");
    paper.remove_images();
}
