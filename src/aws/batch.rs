//! Questions of many rollouts that are put together into one call, because ECS takes ten services, twenty service
//! deployments or a hundred tasks at once, ELB twenty target groups, and a shared account has few calls to give.
//!
//! Who asks first waits a moment for the others and then asks for all of them.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use aws_sdk_ecs::config::AsyncSleep as _;
use futures_util::future::join_all;
use tokio::sync::oneshot;

use super::{
    call::lock,
    connect::Aws,
    error::{AwsError, Service},
};

/// Long enough for those that woke up at the same moment, and shorter than anybody sees.
const GATHER: Duration = Duration::from_millis(20);

type Answer<V> = Result<Option<V>, AwsError>;
type Waiting<K, V> = Vec<(K, oneshot::Sender<Answer<V>>)>;

#[derive(Debug)]
pub(super) struct Batch<K, V>(Mutex<Waiting<K, V>>);

impl<K, V> Default for Batch<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

/// Who leads may be cut off in the middle of the wait; then nobody is left who would ask for the others, and they
/// must hear that.
struct Leading<'a, K, V>(&'a Mutex<Waiting<K, V>>);

impl<K, V> Drop for Leading<'_, K, V> {
    fn drop(&mut self) {
        lock(self.0).clear();
    }
}

impl<K: Ord + Clone, V: Clone> Batch<K, V> {
    /// Asks for `key` together with everything that is asked for at about the same time: at most `most` keys of one
    /// `group` in a call. `None` is what the answer does not mention.
    pub(super) async fn ask<G: Ord, F: Future<Output = Result<BTreeMap<K, V>, AwsError>>>(
        &self,
        aws: &Aws,
        (service, operation): (Service, &'static str),
        key: K,
        most: usize,
        group: impl Fn(&K) -> G,
        call: impl Fn(Vec<K>) -> F,
    ) -> Answer<V> {
        let (sender, receiver) = oneshot::channel();
        let leads = {
            let mut waiting: MutexGuard<'_, Waiting<K, V>> = lock(&self.0);
            waiting.push((key, sender));
            waiting.len() == 1
        };
        if leads {
            let leading = Leading(&self.0);
            aws.sleep.sleep(GATHER).await;
            let asked = std::mem::take(&mut *lock(&self.0));
            drop(leading);
            let mut groups: BTreeMap<G, Waiting<K, V>> = BTreeMap::new();
            for (key, sender) in asked {
                groups.entry(group(&key)).or_default().push((key, sender));
            }
            join_all(groups.into_values().flat_map(|asked| chunks(asked, most)).map(|chunk| answer(chunk, &call)))
                .await;
        }
        let given_up = |_| AwsError::unreadable(aws, service, operation, "it was asked for and then given up");
        receiver.await.unwrap_or_else(|error| Err(given_up(error)))
    }
}

fn chunks<T>(all: Vec<T>, most: usize) -> Vec<Vec<T>> {
    let mut chunks = Vec::new();
    let mut rest = all.into_iter().peekable();
    while rest.peek().is_some() {
        chunks.push(rest.by_ref().take(most).collect());
    }
    chunks
}

async fn answer<K: Ord + Clone, V: Clone, F: Future<Output = Result<BTreeMap<K, V>, AwsError>>>(
    asked: Waiting<K, V>,
    call: &impl Fn(Vec<K>) -> F,
) {
    let mut keys: Vec<K> = asked.iter().map(|(key, _)| key.clone()).collect();
    keys.sort_unstable();
    keys.dedup();
    match call(keys.clone()).await {
        Ok(found) => {
            for (key, sender) in asked {
                // Who has gone away in the meantime needs no answer.
                sender.send(Ok(found.get(&key).cloned())).ok();
            }
        }
        // One that is not known can spoil the answer for all; throttling and lost connections concern everybody.
        Err(error) if keys.len() > 1 && !error.is_passing() && !error.is_out_of_reach() => {
            for (key, sender) in asked {
                let alone = call(vec![key.clone()]).await;
                sender.send(alone.map(|found| found.get(&key).cloned())).ok();
            }
        }
        Err(error) => {
            for (_, sender) in asked {
                sender.send(Err(error.retold())).ok();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::{
        aws::{
            ecs,
            recorded::{Server, answer},
        },
        id::{Cluster, ServiceName},
    };

    fn listed(names: &[&str]) -> Value {
        let services: Vec<_> = names
            .iter()
            .map(|name| json!({"serviceName": name, "status": "ACTIVE", "deployments": [], "events": []}))
            .collect();
        json!({"services": services, "failures": []})
    }

    #[tokio::test]
    async fn services_that_are_asked_for_at_once_are_one_call_for_ten() {
        let names: Vec<String> = (0..25).map(|number| format!("s{number:02}")).collect();
        let all: Vec<&str> = names.iter().map(String::as_str).collect();
        let server = Server::start([("DescribeServices", answer(200, listed(&all)))]).await;
        let (aws, cluster) = (server.aws().await, Cluster::new("jobs"));
        let services: Vec<_> = names.iter().map(ServiceName::new).collect();
        let asked = services.iter().map(|service| ecs::view_service(&aws, &cluster, service));
        let views = futures_util::future::join_all(asked).await;
        assert!(views.iter().all(|view| matches!(view, Ok(Some(_)))), "{views:?}");
        assert_eq!(server.asked().len(), 3, "ten services a call");
    }

    #[tokio::test]
    async fn a_failure_is_everybodys_and_who_leads_may_go_away() {
        let denied = answer(
            400,
            json!({"__type": "AccessDeniedException", "message": "not authorized to perform: ecs:DescribeServices on x"}),
        );
        let server = Server::start([("DescribeServices", denied)]).await;
        let (aws, cluster) = (server.aws().await, Cluster::new("jobs"));
        let [one, two] = ["one", "two"].map(ServiceName::new);
        let (first, second) =
            tokio::join!(ecs::view_service(&aws, &cluster, &one), ecs::view_service(&aws, &cluster, &two));
        assert!(first.unwrap_err().is_access_denied() && second.unwrap_err().is_access_denied());
        assert_eq!(server.asked().len(), 1);

        // The first one is dropped while it gathers; the second must neither hang nor be forgotten for ever.
        let leading = Box::pin(ecs::view_service(&aws, &cluster, &one));
        let following = ecs::view_service(&aws, &cluster, &two);
        let (lost, ()) = tokio::join!(following, async {
            drop(futures_util::future::select(leading, std::future::ready(())).await);
        });
        assert!(lost.is_err());
        assert!(ecs::view_service(&aws, &cluster, &two).await.unwrap_err().is_access_denied());
    }
}
