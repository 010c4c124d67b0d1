//! Faults at the calls of a login, of a push and of the look at the repository: each ends done or not done, never in
//! between, and the same again converges.

use bollard::query_parameters::RemoveImageOptions;

use super::*;
use crate::{aws::ecr, plan::observed::RepositoryObserved};

/// One image under the names of several registries, removed at the end.
pub(super) struct Image {
    references: Vec<Reference>,
    engine: Engine,
}

impl Image {
    async fn build(hands: &Hands, references: Vec<Reference>) -> Self {
        Self::build_of(hands, references, b"").await
    }

    /// With this in it.
    pub(super) async fn build_of(hands: &Hands, references: Vec<Reference>, more: &[u8]) -> Self {
        let folder = TempDir::new().unwrap();
        let mut unique: Vec<u8> = references.iter().map(ToString::to_string).collect::<String>().into_bytes();
        unique.extend_from_slice(more);
        fs::write(folder.path().join("Dockerfile"), "FROM scratch\nCOPY content /content\n").unwrap();
        fs::write(folder.path().join("content"), unique).unwrap();
        let build = BuildAction {
            image: app(),
            context: folder.path().to_owned(),
            dockerfile: folder.path().join("Dockerfile"),
            target: None,
            args: BTreeMap::new(),
            secrets: BTreeMap::new(),
            ssh: Vec::new(),
            cache_from: Vec::new(),
            cache_to: Vec::new(),
            platform: None,
            tags: references.clone(),
            builder: Builder::Auto,
        };
        let plan = Plan { steps: vec![step(1, Action::Build(Box::new(build)), &[])], release: Release::Independent };
        let (_canceller, cancel) = cancel::token();
        let walked = walk(&plan, hands, &cancel, |_| {}).await;
        assert_eq!(walked.outcome.exit, Exit::Done, "{:?}", walked.outcome.failure);
        Self { references, engine: hands.engine.clone().expect("it has built with one") }
    }

    pub(super) async fn remove(self) {
        for reference in self.references {
            self.engine.docker().remove_image(&reference.to_string(), None::<RemoveImageOptions>, None).await.unwrap();
        }
    }
}

pub(super) fn pushing(reference: &Reference) -> Plan {
    let login = Action::Login { registry: reference.name.registry.clone() };
    let push = Action::Push { image: app(), reference: reference.clone(), login: StepId(1) };
    Plan { steps: vec![step(1, login, &[]), step(2, push, &[1])], release: Release::Independent }
}

pub(super) async fn pushed(plan: &Plan, hands: &Hands) -> Walked {
    let (_canceller, cancel) = cancel::token();
    walk(plan, hands, &cancel, |_| {}).await
}

/// What the registry has under the tag.
pub(super) async fn present(lab: &Lab, reference: &Reference) -> Option<Digest> {
    ecr::image_digest(&lab.hands.aws, &reference.name.repository, reference.tag.as_ref().unwrap()).await.unwrap()
}

pub(super) fn why(walked: &Walked) -> String {
    walked.outcome.failure.as_ref().map(|(title, error)| format!("{title}: {error}")).unwrap_or_default()
}

/// A sandbox with a repository for each case, and a wire with its fault in front of each.
async fn cases(cases: &[(&'static str, Fault)]) -> (Lab, Vec<(Wire, Hands, Reference)>) {
    let lab = Lab::new().await;
    let mut set = Vec::new();
    for (index, (operation, fault)) in cases.iter().copied().enumerate() {
        // The token is asked for before anything else, and meets the same.
        let wire = Wire::to(lab.sandbox.endpoint(), move |called, number| {
            let is_it = called == operation || called == "GetAuthorizationToken";
            if is_it && number == 1 { fault } else { Fault::Pass }
        })
        .await;
        let hands = hands(&wire.url).await;
        let repository = format!("case-{index}");
        ecr::create_repository(&lab.hands.aws, &repository).await.unwrap();
        let reference = format!("{}/{repository}:v1", hands.registry).parse().unwrap();
        set.push((wire, hands, reference));
    }
    (lab, set)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_meets_a_fault_is_done_or_not_done_and_the_same_again_converges() {
    let faults = [
        ("GET ping", Fault::Broken),
        ("GET ping", Fault::Cut),
        ("HEAD blob", Fault::Throttled),
        ("HEAD blob", Fault::Cut),
        ("POST upload", Fault::Broken),
        ("POST upload", Fault::Throttled),
        ("PATCH upload", Fault::AnswerLost),
        ("PATCH upload", Fault::Cut),
        ("PUT upload", Fault::AnswerLost),
        ("PUT upload", Fault::Broken),
        ("PUT manifest", Fault::Broken),
        ("PUT manifest", Fault::Throttled),
        ("PUT manifest", Fault::AnswerLost),
        ("PUT manifest", Fault::Truncated),
    ];
    let (lab, set) = Box::pin(cases(&faults)).await;
    let image = Image::build(&lab.hands, set.iter().map(|(_, _, reference)| reference.clone()).collect()).await;
    let walks = faults.iter().zip(&set).map(|((operation, fault), (wire, hands, reference))| {
        let lab = &lab;
        async move {
            let walked = pushed(&pushing(reference), hands).await;
            let what = format!("{operation} {fault:?}: {}", why(&walked));
            assert!(wire.calls(operation) >= 1, "{what} was called");
            assert!(wire.calls("GetAuthorizationToken") >= 2, "{what}: the token was asked for again");
            match walked.outcome.exit {
                Exit::Done => assert!(present(lab, reference).await.is_some(), "{what}"),
                Exit::Push => {
                    let again = pushed(&pushing(reference), hands).await;
                    assert_eq!(again.outcome.exit, Exit::Done, "{what}, then {}", why(&again));
                }
                other => panic!("{other:?}: {what}"),
            }
            present(lab, reference).await.unwrap_or_else(|| panic!("{what}: the image is there"))
        }
    });
    let mut digests = futures_util::future::join_all(walks).await;
    digests.dedup();
    assert_eq!(digests.len(), 1, "every registry has the same image: {digests:?}");
    image.remove().await;
}

/// A registry that says nothing more: the engine waits, and who asks to stop need not.
#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_stalls_can_be_stopped_and_done_again() {
    let faults = [("PATCH upload", Fault::Stalled), ("PUT manifest", Fault::Stalled)];
    let lab = Lab::new().await;
    let mut set = Vec::new();
    for (index, (operation, fault)) in faults.into_iter().enumerate() {
        let rule = move |called: &str, number| if called == operation && number == 1 { fault } else { Fault::Pass };
        let wire = Wire::to(lab.sandbox.endpoint(), rule).await;
        let hands = hands(&wire.url).await;
        let repository = format!("stalled-{index}");
        ecr::create_repository(&lab.hands.aws, &repository).await.unwrap();
        let reference: Reference = format!("{}/{repository}:v1", hands.registry).parse().unwrap();
        set.push((operation, wire, hands, reference));
    }
    let image = Image::build(&lab.hands, set.iter().map(|(.., reference)| reference.clone()).collect()).await;
    for (operation, wire, hands, reference) in &set {
        let (plan, (canceller, cancel)) = (pushing(reference), cancel::token());
        let stop = async {
            while wire.calls(operation) == 0 {
                beat().await;
            }
            canceller.ask(Source::Signal);
        };
        let (walked, ()) = tokio::join!(walk(&plan, hands, &cancel, |_| {}), stop);
        assert_eq!(walked.outcome.exit, Exit::Cancelled, "{operation}: {}", why(&walked));
        assert_eq!(present(&lab, reference).await, None, "{operation}");
        // The engine goes on with what it has begun, and a push of the same layers waits for that.
        wire.let_go();
        let again = pushed(&plan, hands).await;
        assert_eq!(again.outcome.exit, Exit::Done, "{operation}: {}", why(&again));
    }
    image.remove().await;
}

/// ECR says so with the status of a denial, and some engines pass on nothing else of what it says.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_has_expired_before_its_time_is_replaced() {
    let mut lab = Lab::new().await;
    lab.hands.engine = Some(crate::docker::testing::engine().await);
    ecr::create_repository(&lab.hands.aws, "expired").await.unwrap();
    let reference: Reference = format!("{}/expired:v1", lab.hands.registry).parse().unwrap();
    let image = Image::build(&lab.hands, vec![reference.clone()]).await;
    let login = Action::Login { registry: reference.name.registry.clone() };
    let login = Plan { steps: vec![step(1, login, &[])], release: Release::Independent };
    assert_eq!(pushed(&login, &lab.hands).await.outcome.exit, Exit::Done);
    lab.sandbox.world().ecr.expire_tokens(now());
    let walked = pushed(&pushing(&reference), &lab.hands).await;
    assert_eq!(walked.outcome.exit, Exit::Done, "{}", why(&walked));
    assert!(present(&lab, &reference).await.is_some());
    image.remove().await;
}

/// What is read of a repository before a plan is made.
#[tokio::test(flavor = "multi_thread")]
async fn a_fault_at_the_look_at_a_repository_is_no_failure() {
    let lab = Lab::new().await;
    ecr::create_repository(&lab.hands.aws, "shop").await.unwrap();
    let tag = "v1".parse().unwrap();
    for fault in [Fault::Broken, Fault::Throttled, Fault::Cut, Fault::AnswerLost, Fault::Truncated, Fault::Stalled] {
        let wire =
            Wire::to(lab.sandbox.endpoint(), move |_, number| if number == 1 { fault } else { Fault::Pass }).await;
        let read = ecr::repository(&hands(&wire.url).await.aws, "shop", &tag).await;
        let is_read = matches!(&read, Ok((RepositoryObserved::Present { tagged: None, .. }, None)));
        assert!(is_read, "{fault:?}: {read:?}");
        assert!(wire.calls("DescribeRepositories") >= 2 && wire.calls("DescribeImages") >= 2, "{fault:?}");
    }
}

/// A clock that AWS does not accept is a refusal, before the engine is asked for anything; once it is right, the same again
/// is done.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_clock_is_refused_at_the_look_and_at_the_login() {
    let (lab, set) = Box::pin(cases(&[("GetAuthorizationToken", Fault::WrongClock)])).await;
    let (wire, hands, reference) = &set[0];
    let image = Image::build(&lab.hands, vec![reference.clone()]).await;
    let walked = pushed(&pushing(reference), hands).await;
    assert_eq!(walked.outcome.exit, Exit::Environment, "{}", why(&walked));
    assert!(why(&walked).contains("Signature expired"), "{}", why(&walked));
    assert_eq!((wire.calls("GET ping"), present(&lab, reference).await), (0, None));
    let right = self::hands(&wire.url).await;
    assert_eq!(pushed(&pushing(reference), &right).await.outcome.exit, Exit::Done);
    image.remove().await;

    let wire = Wire::to(lab.sandbox.endpoint(), |_, _| Fault::WrongClock).await;
    let tag = reference.tag.clone().unwrap();
    let read = ecr::repository(&self::hands(&wire.url).await.aws, &reference.name.repository, &tag).await;
    assert!(read.is_err_and(|error| error.to_string().contains("Signature expired")));
}
