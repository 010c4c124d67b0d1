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
async fn a_web_identity_takes_on_a_role_without_a_signature() {
    let place = Place::start().await;
    let assume = |token: &str| {
        let role = "arn:aws:iam::000000000000:role/deploy";
        let request = place.sts.assume_role_with_web_identity().role_arn(role).role_session_name("build-7");
        request.web_identity_token(token)
    };
    // {"iss":"https://issuer.example","sub":"repo:shop","aud":["sts.amazonaws.com"],"exp":4000000000}
    let token = "e30.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwic3ViIjoicmVwbzpzaG9wIiwiYXVkIjpbInN0cy5hbWF6b25hd3MuY29tIl0sImV4cCI6NDAwMDAwMDAwMH0.c2ln";
    let assumed = assume(token).send().await.unwrap();
    assert_eq!(assumed.assumed_role_user().unwrap().arn(), "arn:aws:sts::000000000000:assumed-role/deploy/build-7");
    assert_eq!(assumed.subject_from_web_identity_token(), Some("repo:shop"));
    assert_eq!(assumed.provider(), Some("https://issuer.example"));
    assert_eq!(assumed.audience(), Some("sts.amazonaws.com"));
    let made = assumed.credentials().unwrap();
    let (id, secret) = (made.access_key_id(), made.secret_access_key());
    let keys = Credentials::new(id, secret, Some(made.session_token().to_owned()), None, "test");
    place.signing(&keys).0.list_clusters().send().await.unwrap();
    assert_eq!(refusal!(assume("hunter2")).0, "InvalidIdentityToken");
    // The same that was over in 2001.
    let over = "e30.eyJpc3MiOiJhIiwic3ViIjoiYiIsImV4cCI6MTAwMDAwMDAwMH0.c2ln";
    assert_eq!(refusal!(assume(over)).0, "ExpiredTokenException");
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
