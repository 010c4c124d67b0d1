//! What is around a call: raw bodies in and out, and waits before a retry that can be seen.

use std::{
    error::Error,
    fmt, io,
    marker::PhantomData,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use aws_sdk_ecs::{
    config::{
        AsyncSleep, ConfigBag, Intercept, RuntimeComponents, SharedAsyncSleep, Sleep,
        interceptors::{
            AfterDeserializationInterceptorContextRef as Received, BeforeTransmitInterceptorContextMut as ToSend,
            BeforeTransmitInterceptorContextRef as Sending, FinalizerInterceptorContextRef as Finished,
            InterceptorContext,
        },
        retry::{ClassifyRetry, RetryAction},
    },
    error::{BoxError, ConnectorError, ProvideErrorMetadata},
};
use tokio::sync::mpsc;

use super::{
    connect::Endpoint,
    error::{Service, chain, innermost},
};
use crate::event::Progress;

type Hook = Result<(), BoxError>;

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends a request with its waits observed and its failure turned into an [`AwsError`](super::AwsError).
///
/// A macro, because the builders of the five SDK crates share no trait. It uses the calling module's
/// `sdk` (the crate) and `SERVICE`.
macro_rules! send {
    ($aws:expr, $operation:literal, $request:expr $(, $interceptor:expr)*) => {{
        let aws: &$crate::aws::connect::Aws = $aws;
        aws.turn($operation).await;
        let call = $crate::aws::call::Call::new(SERVICE, $operation, aws);
        let sent = $request
            .customize()
            .config_override(
                sdk::config::Config::builder().sleep_impl(call.watch()).retry_classifier(call.watch()),
            )
            .interceptor(call.watch())
            $(.interceptor($interceptor))*
            .send()
            .await;
        call.conclude(aws, sent)
    }};
}
pub(super) use send;

/// Kept out of the SDK's own trace logs: bodies may hold secrets.
#[derive(Clone, Default)]
struct Hidden<T>(T);

impl<T> fmt::Debug for Hidden<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("..")
    }
}

/// Sends these bytes instead of the serialized input. It runs after serialization and before the
/// retry checkpoint, so endpoint, SigV4 and every retry see the replaced body.
#[derive(Debug)]
pub(super) struct ReplaceBody(Hidden<Vec<u8>>);

impl ReplaceBody {
    pub(super) const fn new(body: Vec<u8>) -> Self {
        Self(Hidden(body))
    }
}

impl Intercept for ReplaceBody {
    fn name(&self) -> &'static str {
        "ReplaceBody"
    }

    fn modify_before_retry_loop(&self, context: &mut ToSend<'_>, _: &RuntimeComponents, _: &mut ConfigBag) -> Hook {
        let request = context.request_mut();
        // Content-Length was set from the serialized input and is a signed header: replace it too.
        request.headers_mut().insert("content-length", self.0.0.len().to_string());
        *request.body_mut() = self.0.0.clone().into();
        Ok(())
    }
}

/// Keeps the response body of the last attempt.
#[derive(Debug, Clone, Default)]
pub(super) struct KeepBody(Hidden<Arc<Mutex<Vec<u8>>>>);

impl KeepBody {
    pub(super) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut lock(&self.0.0))
    }
}

impl Intercept for KeepBody {
    fn name(&self) -> &'static str {
        "KeepBody"
    }

    fn read_after_deserialization(&self, context: &Received<'_>, _: &RuntimeComponents, _: &mut ConfigBag) -> Hook {
        *lock(&self.0.0) = context.response().body().bytes().unwrap_or_default().to_vec();
        Ok(())
    }
}

#[derive(Debug)]
enum Attempt {
    Busy,
    /// Failed with the service's code, or with none when there was no answer.
    Failed(Option<String>),
}

/// What is known of a call while it runs.
#[derive(Debug)]
struct Running {
    /// The last attempt and its number.
    state: Mutex<(Attempt, u32)>,
    progress: Option<mpsc::Sender<Progress>>,
}

/// One object per call that is both interceptor and [`AsyncSleep`]: the SDK asks for its retry sleep
/// right after `read_after_attempt`, from the call's own sleep implementation, so the first sleep
/// after a failed attempt is the retry delay and every other one is a time-out's timer.
///
/// Why a weak reference? The HTTP client keeps the sleep implementation of the first call for as long
/// as it lives: it must neither hold that call's channel open nor speak for it later.
#[derive(Debug)]
pub(super) struct RetryWatch<E> {
    service: Service,
    operation: &'static str,
    running: Weak<Running>,
    sleep: SharedAsyncSleep,
    /// The sandbox is a process of this machine: when it is down, waiting does not start it.
    at_sandbox: bool,
    error: PhantomData<fn() -> E>,
}

/// Keeps a call's watch alive; ends with the call.
pub(super) struct Call<E> {
    watch: RetryWatch<E>,
    _running: Arc<Running>,
}

impl<E> Call<E> {
    pub(super) fn new(service: Service, operation: &'static str, aws: &super::Aws) -> Self {
        let running = Arc::new(Running { state: Mutex::new((Attempt::Busy, 0)), progress: aws.progress.clone() });
        let watch = RetryWatch {
            service,
            operation,
            running: Arc::downgrade(&running),
            sleep: aws.sleep.clone(),
            at_sandbox: matches!(aws.endpoint(), Endpoint::At { .. }),
            error: PhantomData,
        };
        Self { watch, _running: running }
    }

    pub(super) fn watch(&self) -> RetryWatch<E> {
        let RetryWatch { service, operation, ref running, ref sleep, at_sandbox, error } = self.watch;
        RetryWatch { service, operation, running: Weak::clone(running), sleep: sleep.clone(), at_sandbox, error }
    }

    /// Ends the call; it also ties `E` to the operation's error.
    pub(super) fn conclude<T>(
        self,
        aws: &super::Aws,
        sent: Result<T, aws_sdk_ecs::error::SdkError<E>>,
    ) -> Result<T, super::AwsError>
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        sent.map_err(|error| super::AwsError::from_sdk(aws.whence(), self.watch.service, self.watch.operation, error))
    }
}

impl<E: fmt::Debug + 'static> AsyncSleep for RetryWatch<E> {
    fn sleep(&self, delay: Duration) -> Sleep {
        let Some(running) = self.running.upgrade() else { return self.sleep.sleep(delay) };
        let (attempt, number) = {
            let mut state = lock(&running.state);
            (std::mem::replace(&mut state.0, Attempt::Busy), state.1)
        };
        let (Attempt::Failed(code), Some(progress)) = (attempt, running.progress.clone()) else {
            return self.sleep.sleep(delay);
        };
        let told = Progress::Retrying {
            operation: self.operation.to_owned(),
            code: code.unwrap_or_else(|| "no answer".to_owned()),
            attempt: number,
            delay_ms: u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
        };
        let sleep = self.sleep.clone();
        Sleep::new(async move {
            // A face that has gone away is no reason to stop the call.
            progress.send(told).await.ok();
            sleep.sleep(delay).await;
        })
    }
}

impl<E: ProvideErrorMetadata + Error + Send + Sync + 'static> Intercept for RetryWatch<E> {
    fn name(&self) -> &'static str {
        "RetryWatch"
    }

    fn read_before_attempt(&self, _: &Sending<'_>, _: &RuntimeComponents, _: &mut ConfigBag) -> Hook {
        if let Some(running) = self.running.upgrade() {
            let mut state = lock(&running.state);
            *state = (Attempt::Busy, state.1 + 1);
        }
        Ok(())
    }

    fn read_after_attempt(&self, context: &Finished<'_>, _: &RuntimeComponents, _: &mut ConfigBag) -> Hook {
        if let (Some(running), Some(Err(error))) = (self.running.upgrade(), context.output_or_error()) {
            let error = error.as_operation_error().and_then(|error| error.downcast_ref::<E>());
            lock(&running.state).0 = Attempt::Failed(error.and_then(|error| error.code()).map(str::to_owned));
        }
        Ok(())
    }
}

/// Failures that no later attempt mends, or that need not be waited for.
///
/// `LimitExceededException` is on the SDK's list of throttling codes, but ECS, ECR and Logs mean a
/// quota by it: trying again does not help, and waiting for it hides the reason.
impl<E: ProvideErrorMetadata + Error + Send + Sync + 'static> ClassifyRetry for RetryWatch<E> {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let Some(Err(error)) = context.output_or_error() else { return RetryAction::NoActionIndicated };
        if let Some(lost) = error.as_connector_error().and_then(lost) {
            // A name that does not resolve and a port nobody listens on are tried twice more, for a
            // network that is just coming up; five attempts would keep a person waiting for 8 s.
            let hopeless = match lost {
                Lost::Untrusted => true,
                Lost::Nobody => {
                    self.at_sandbox || self.running.upgrade().is_none_or(|running| lock(&running.state).1 >= 3)
                }
            };
            return if hopeless { RetryAction::RetryForbidden } else { RetryAction::NoActionIndicated };
        }
        let error = error.as_operation_error().and_then(|error| error.downcast_ref::<E>());
        match error.and_then(|error| error.code()) {
            Some("LimitExceededException") => RetryAction::RetryForbidden,
            Some(_) | None => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "NotWorthARetry"
    }
}

/// A connection that was never there.
enum Lost {
    /// The certificate is not one we trust.
    Untrusted,
    /// No such name, or nobody listens.
    Nobody,
}

fn lost(error: &ConnectorError) -> Option<Lost> {
    let text = innermost(error);
    // rustls: "invalid peer certificate: UnknownIssuer".
    if text.starts_with("invalid peer certificate") {
        return Some(Lost::Untrusted);
    }
    let refused = chain(error)
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::ConnectionRefused);
    // The text of tokio's resolver, whose error has no kind of its own.
    (refused || text.contains("failed to lookup address")).then_some(Lost::Nobody)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tokio::sync::mpsc;

    use crate::{
        aws::{
            ecr, ecs,
            recorded::{Server, answer},
        },
        event::Progress,
        id::Cluster,
    };

    #[tokio::test]
    async fn a_throttled_call_is_tried_again_and_says_so() {
        let throttled = || answer(400, json!({"__type": "ThrottlingException", "message": "Rate exceeded"}));
        let listed = answer(200, json!({"clusters": [{"clusterName": "jobs", "status": "ACTIVE"}], "failures": []}));
        let server = Server::start([
            ("DescribeClusters", throttled()),
            ("DescribeClusters", throttled()),
            ("DescribeClusters", listed),
        ])
        .await;
        let (progress, mut told) = mpsc::channel(16);
        let aws = server.aws().await;
        ecs::clusters(&aws.telling(progress), &[Cluster::new("jobs")]).await.unwrap();
        // The channel closes although the clients live on.
        let mut seen = Vec::new();
        while let Some(progress) = told.recv().await {
            let Progress::Retrying { operation, code, attempt, .. } = progress else { panic!("{progress:?}") };
            seen.push((operation, code, attempt));
        }
        let wait = |attempt| ("DescribeClusters".to_owned(), "ThrottlingException".to_owned(), attempt);
        assert_eq!(seen, [wait(1), wait(2)]);
        drop(aws);
    }

    #[tokio::test]
    async fn a_quota_is_not_tried_again() {
        let quota = answer(400, json!({"__type": "LimitExceededException", "message": "too many repositories"}));
        let server = Server::start([("CreateRepository", quota)]).await;
        let error = ecr::create_repository(&server.aws().await, "jobs/api").await.unwrap_err();
        assert_eq!(error.code(), Some("LimitExceededException"));
        assert_eq!(server.asked().len(), 1);
    }

    #[tokio::test]
    async fn a_definition_is_sent_byte_for_byte_also_when_tried_again() {
        // Numbers that a double cannot hold, an order that is not the alphabet's, a field nobody knows.
        let body = r#"{"family":"api","containerDefinitions":[{"name":"app","cpu":1.10,"big":123456789012345678901234567890,"brandNew":{"z":1,"a":2}}]}"#;
        let definition: Value = serde_json::from_str(body).unwrap();
        let arn = "arn:aws:ecs:eu-west-1:111111111111:task-definition/api:43";
        let server = Server::start([
            (
                "RegisterTaskDefinition",
                answer(400, json!({"__type": "ThrottlingException", "message": "Rate exceeded"})),
            ),
            ("RegisterTaskDefinition", answer(200, json!({"taskDefinition": {"taskDefinitionArn": arn}}))),
        ])
        .await;
        let registered = ecs::register(&server.aws().await, &definition).await.unwrap();
        assert_eq!(registered.as_str(), arn);
        let sent: Vec<String> = server.asked().into_iter().map(|asked| asked.body).collect();
        assert_eq!(sent, [body, body]);
    }
}
