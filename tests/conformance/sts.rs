//! STS: who is calling.

use aws_sdk_ecs::config::Credentials;

use crate::clients::{Place, refusal};

#[tokio::test]
async fn the_caller_is_the_sandbox_s_account() {
    let place = Place::start().await;
    let who = place.sts.get_caller_identity().send().await.unwrap();
    assert_eq!(who.account(), Some("000000000000"));
    assert!(who.arn().unwrap().starts_with("arn:aws:iam::000000000000:"), "{who:?}");
    assert!(!who.user_id().unwrap().is_empty());
    place.stop().await;
}

#[tokio::test]
async fn any_role_may_be_assumed() {
    let place = Place::start().await;
    let assume = |role: &str, session: &str| place.sts.assume_role().role_arn(role).role_session_name(session);
    let role = "arn:aws:iam::000000000000:role/deploy";
    let assumed = assume(role, "jenkins").send().await.unwrap();
    assert!(assumed.credentials().is_some_and(|made| !made.session_token().is_empty()));
    assert_eq!(assumed.assumed_role_user().unwrap().arn(), "arn:aws:sts::000000000000:assumed-role/deploy/jenkins");
    assert_eq!(refusal!(assume("deploy", "jenkins")), ("ValidationError".to_owned(), "deploy is invalid".to_owned()));
    assert_eq!(refusal!(assume(role, "no spaces")).0, "ValidationError");
    place.stop().await;
}

#[tokio::test]
async fn the_keys_of_an_assumed_role_sign_calls() {
    let place = Place::start().await;
    let role = "arn:aws:iam::000000000000:role/ci/deploy";
    let assumed = place.sts.assume_role().role_arn(role).role_session_name("jenkins").send().await.unwrap();
    let made = assumed.credentials().unwrap();
    let keys = |token: Option<&str>| {
        let (id, secret) = (made.access_key_id(), made.secret_access_key());
        place.signing(&Credentials::new(id, secret, token.map(str::to_owned), None, "test"))
    };
    let (ecs, sts) = keys(Some(made.session_token()));
    ecs.list_clusters().send().await.unwrap();
    let who = sts.get_caller_identity().send().await.unwrap();
    assert_eq!(who.arn(), Some("arn:aws:sts::000000000000:assumed-role/deploy/jenkins"));
    assert!(who.user_id().unwrap().ends_with(":jenkins"), "{who:?}");
    for token in [None, Some("another")] {
        assert_eq!(refusal!(keys(token).0.list_clusters()).0, "UnrecognizedClientException");
    }
    place.stop().await;
}
