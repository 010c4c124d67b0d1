//! Faults at the calls of a copy: what has arrived is not sent twice, what arrives is what was pushed, and the same
//! again converges.

use std::sync::atomic::AtomicBool;

use super::{
    push::{Image, present, pushed, pushing, why},
    *,
};
use crate::{
    aws::ecr,
    event::{Layer, LayerState},
    plan::step::CopyAction,
};

/// One part of a layer.
const SMALL: usize = 64 * 1024;
/// More than two parts.
const LARGE: usize = 18 * 1024 * 1024;

/// Nothing that gzip could make smaller.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = (0..bytes / 8).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.collect()
}

/// A sandbox with an image in it.
struct Stock {
    lab: Lab,
    image: Image,
    source: Reference,
    digest: Digest,
}

impl Stock {
    async fn new(bytes: usize) -> Self {
        let lab = Lab::new().await;
        ecr::create_repository(&lab.hands.aws, "source").await.unwrap();
        let source: Reference = format!("{}/source:v1", lab.hands.registry).parse().unwrap();
        let image = Image::build_of(&lab.hands, vec![source.clone()], &noise(bytes)).await;
        assert_eq!(pushed(&pushing(&source), &lab.hands).await.outcome.exit, Exit::Done);
        let digest = present(&lab, &source).await.expect("it was pushed");
        Self { lab, image, source, digest }
    }

    /// A repository to copy to, behind a wire that both ends go through.
    async fn to(
        &self,
        repository: &str,
        rule: impl Fn(&str, usize) -> Fault + Send + Sync + 'static,
    ) -> (Wire, Hands, Plan) {
        ecr::create_repository(&self.lab.hands.aws, repository).await.unwrap();
        let wire = Wire::to(self.lab.sandbox.endpoint(), rule).await;
        let mut hands = hands(&wire.url).await;
        hands.source = Some(hands.aws.clone());
        let action = CopyAction {
            image: app(),
            from: self.source.name.clone(),
            digest: self.digest.clone(),
            to: ImageName { repository: repository.to_owned(), ..self.source.name.clone() },
            tag: "v1".parse().unwrap(),
        };
        let steps = vec![step(1, Action::Copy(Box::new(action)), &[])];
        (wire, hands, Plan { steps, release: Release::Independent })
    }

    /// What the repository has under the tag of the copy.
    async fn arrived(&self, repository: &str) -> Option<Digest> {
        ecr::image_digest(&self.lab.hands.aws, repository, &"v1".parse().unwrap()).await.unwrap()
    }
}

/// The layers as they were told last.
fn layers(walked: &Walked) -> Vec<Layer> {
    let mut told = walked.records.iter().filter_map(|record| match &record.event {
        Event::Told { progress: Progress::Layers { layers, last: true }, .. } => Some(layers.clone()),
        _ => None,
    });
    told.next_back().expect("the layers were told")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_meets_a_passing_fault_arrives_all_the_same() {
    let stock = Stock::new(SMALL).await;
    let faults = [
        ("BatchGetImage", Fault::Broken),
        ("ListImageReferrers", Fault::Throttled),
        ("BatchCheckLayerAvailability", Fault::Cut),
        ("GetDownloadUrlForLayer", Fault::Throttled),
        ("GET blob", Fault::Cut),
        ("GET blob", Fault::Broken),
        ("GET blob", Fault::Truncated),
        ("InitiateLayerUpload", Fault::AnswerLost),
        ("UploadLayerPart", Fault::Cut),
        // ECR has the part, and takes it no second time: the layer is begun anew.
        ("UploadLayerPart", Fault::AnswerLost),
        ("CompleteLayerUpload", Fault::AnswerLost),
        ("PutImage", Fault::AnswerLost),
        ("PutImage", Fault::Broken),
    ];
    let walks = faults.iter().enumerate().map(|(index, (operation, fault))| {
        let stock = &stock;
        async move {
            let (operation, fault) = (*operation, *fault);
            let repository = format!("case-{index}");
            let rule = move |called: &str, number| if called == operation && number == 1 { fault } else { Fault::Pass };
            let (wire, hands, plan) = stock.to(&repository, rule).await;
            let walked = pushed(&plan, &hands).await;
            let what = format!("{operation} {fault:?}: {}", why(&walked));
            assert_eq!(walked.outcome.exit, Exit::Done, "{what}");
            assert!(wire.calls(operation) >= 2, "{what} was called again");
            assert_eq!(stock.arrived(&repository).await.as_ref(), Some(&stock.digest), "{what}");
            let is_sent = |layer: &Layer| layer.state == LayerState::Pushed && Some(layer.current) == layer.total;
            assert!(layers(&walked).iter().all(is_sent), "{what}: {:?}", layers(&walked));
        }
    });
    futures_util::future::join_all(walks).await;
    stock.image.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_was_cut_off_goes_on_where_it_was() {
    let stock = Stock::new(LARGE).await;
    let cut = Arc::new(AtomicBool::new(true));
    let is_cut = Arc::clone(&cut);
    let rule = move |called: &str, number| {
        // The configuration is one small part; the layer stops in its middle.
        let stops = called == "UploadLayerPart" && number > 2 && is_cut.load(Ordering::SeqCst);
        if stops { Fault::Cut } else { Fault::Pass }
    };
    let (_wire, hands, plan) = stock.to("cut", rule).await;
    let walked = pushed(&plan, &hands).await;
    assert_eq!(walked.outcome.exit, Exit::Push, "{}", why(&walked));
    assert_eq!(stock.arrived("cut").await, None, "nothing is tagged before all of it is there");
    cut.store(false, Ordering::SeqCst);
    let again = pushed(&plan, &hands).await;
    assert_eq!(again.outcome.exit, Exit::Done, "{}", why(&again));
    assert_eq!(stock.arrived("cut").await.as_ref(), Some(&stock.digest));
    let states: Vec<LayerState> = layers(&again).into_iter().map(|layer| layer.state).collect();
    assert!(states.contains(&LayerState::Exists) && states.contains(&LayerState::Pushed), "{states:?}");
    // And once more there is nothing left to send.
    let third = pushed(&plan, &hands).await;
    assert!(layers(&third).iter().all(|layer| layer.state == LayerState::Exists), "{:?}", layers(&third));
    stock.image.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_bytes_than_were_pushed_do_not_arrive() {
    let stock = Stock::new(SMALL).await;
    let rule = |called: &str, _| if called == "GET blob" { Fault::OtherBytes } else { Fault::Pass };
    let (wire, hands, plan) = stock.to("other", rule).await;
    let walked = pushed(&plan, &hands).await;
    let told = why(&walked);
    assert_eq!(walked.outcome.exit, Exit::Push, "{told}");
    assert!(told.contains("the bytes that were read are not those that were pushed"), "{told}");
    assert_eq!(wire.calls("CompleteLayerUpload"), 0, "ECR is not asked to keep them");
    assert_eq!(stock.arrived("other").await, None);
    stock.image.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_stops_when_somebody_asks_it_to() {
    let stock = Stock::new(SMALL).await;
    let rule = |called: &str, _| if called == "GET blob" { Fault::Stalled } else { Fault::Pass };
    let (wire, hands, plan) = stock.to("stopped", rule).await;
    let (canceller, cancel) = cancel::token();
    let ask = async {
        while wire.calls("GET blob") == 0 {
            beat().await;
        }
        canceller.ask(Source::Signal);
    };
    let (walked, ()) = tokio::join!(walk(&plan, &hands, &cancel, |_| {}), ask);
    assert_eq!(walked.outcome.exit, Exit::Cancelled, "{}", why(&walked));
    wire.let_go();
    assert_eq!(stock.arrived("stopped").await, None);
    stock.image.remove().await;
}

/// What has nothing attached to it costs one call more for each of the ways in which it could have.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_attached_is_asked_for_once() {
    let stock = Stock::new(SMALL).await;
    let (wire, hands, plan) = stock.to("plain", |_, _| Fault::Pass).await;
    assert_eq!(pushed(&plan, &hands).await.outcome.exit, Exit::Done);
    // The image, and its tags.
    assert_eq!((wire.calls("ListImageReferrers"), wire.calls("BatchGetImage")), (1, 2));
    stock.image.remove().await;
}

fn warnings(walked: &Walked) -> Vec<String> {
    let told = walked.records.iter().filter_map(|record| match &record.event {
        Event::Warned { step: Some(StepId(1)), message } => Some(message.clone()),
        _ => None,
    });
    told.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_attached_is_no_reason_to_fail() {
    let stock = Stock::new(SMALL).await;
    let config = aws_sdk_ecr::Config::builder()
        .behavior_version(aws_sdk_ecr::config::BehaviorVersion::latest())
        .endpoint_url(stock.lab.sandbox.endpoint())
        .region(aws_sdk_ecr::config::Region::new("us-east-1"))
        .credentials_provider(aws_sdk_ecr::config::Credentials::new("sandbox", "sandbox", None, None, "test"));
    let client = aws_sdk_ecr::Client::from_conf(config.build());
    let tagged = aws_sdk_ecr::types::ImageIdentifier::builder().image_tag("v1").build();
    let found = client.batch_get_image().repository_name("source").image_ids(tagged).send().await.unwrap();
    let mut manifest: serde_json::Value = serde_json::from_str(found.images()[0].image_manifest().unwrap()).unwrap();
    manifest["annotations"] = serde_json::json!({ "is": "another" });
    let tag = format!("{}.sig", stock.digest.as_str().replace(':', "-"));
    let put = client.put_image().repository_name("source").image_manifest(manifest.to_string());
    put.image_tag(&tag).send().await.unwrap();

    let cases = [
        // The image comes first, and the look at its tags second.
        ("BatchGetImage", 2, "what is attached to the image by tags stays in source: "),
        ("ListImageReferrers", 1, "what is attached to the image by referrers stays in source: "),
        ("PutImage", 2, &format!("{tag} stays in source: ")),
    ];
    for (operation, from, told) in cases {
        let repository = format!("no-{}", operation.to_lowercase());
        let rule = move |called: &str, number| {
            if called == operation && number >= from { Fault::Broken } else { Fault::Pass }
        };
        let (_wire, hands, plan) = stock.to(&repository, rule).await;
        let walked = pushed(&plan, &hands).await;
        assert_eq!(walked.outcome.exit, Exit::Done, "{operation}: {}", why(&walked));
        assert_eq!(stock.arrived(&repository).await.as_ref(), Some(&stock.digest), "{operation}");
        let warnings = warnings(&walked);
        assert!(warnings.iter().any(|warning| warning.starts_with(told)), "{operation}: {warnings:?}");
    }
    stock.image.remove().await;
}
