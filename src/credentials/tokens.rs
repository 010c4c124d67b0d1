//! The tokens of this run, in memory: one fetch per registry however many ask at once, and a new one
//! from half of its life on.
//!
//! Where a token comes from is the caller's: this knows neither AWS nor a keyring.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Mutex as AsyncMutex;

/// A token and how long it lasts, in milliseconds since the Unix epoch.
#[derive(Debug, Clone)]
pub struct Granted<T> {
    pub token: T,
    pub issued_ms: u64,
    pub expires_ms: u64,
}

impl<T> Granted<T> {
    /// Used until half of its life is over, as the ECR credential helper does: a push that starts
    /// then still has six of twelve hours.
    const fn is_fresh(&self, now_ms: u64) -> bool {
        let half = self.expires_ms.saturating_sub(self.issued_ms) / 2;
        now_ms >= self.issued_ms && now_ms < self.issued_ms.saturating_add(half)
    }
}

/// One slot for each registry.
#[derive(Debug)]
pub struct Tokens<T> {
    slots: Mutex<HashMap<String, Slot<T>>>,
}

type Slot<T> = Arc<AsyncMutex<Option<Granted<T>>>>;

impl<T> Default for Tokens<T> {
    fn default() -> Self {
        Self { slots: Mutex::default() }
    }
}

impl<T: Clone> Tokens<T> {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The token for `registry`, fetched when there is no fresh one. Who asks meanwhile waits for the
    /// same fetch; a failed one is not remembered.
    pub async fn get<E>(
        &self,
        registry: &str,
        now_ms: u64,
        fetch: impl AsyncFnOnce() -> Result<Granted<T>, E>,
    ) -> Result<T, E> {
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(slots.entry(registry.to_owned()).or_default())
        };
        let mut held = slot.lock().await;
        if let Some(granted) = held.as_ref().filter(|granted| granted.is_fresh(now_ms)) {
            return Ok(granted.token.clone());
        }
        let granted = fetch().await?;
        let token = granted.token.clone();
        *held = Some(granted);
        Ok(token)
    }

    /// Drops the token of a registry that has refused it.
    pub async fn forget(&self, registry: &str) {
        let slot = self.slots.lock().unwrap_or_else(PoisonError::into_inner).get(registry).map(Arc::clone);
        if let Some(slot) = slot {
            *slot.lock().await = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::future::join_all;

    use super::{Granted, Tokens};

    const HOUR: u64 = 3_600_000;

    /// Hands out 1, 2, 3, … valid for twelve hours from `now_ms`.
    async fn get(tokens: &Tokens<u32>, fetched: &AtomicU32, registry: &str, now_ms: u64) -> u32 {
        let fetch = async || {
            tokio::task::yield_now().await;
            let token = fetched.fetch_add(1, Ordering::SeqCst) + 1;
            Ok::<_, ()>(Granted { token, issued_ms: now_ms, expires_ms: now_ms + 12 * HOUR })
        };
        tokens.get(registry, now_ms, fetch).await.unwrap()
    }

    #[tokio::test]
    async fn many_who_ask_at_once_share_one_fetch() {
        let (tokens, fetched) = (Tokens::new(), AtomicU32::new(0));
        let all = join_all((0..20).map(|_| get(&tokens, &fetched, "a", 0))).await;
        assert_eq!(all, [1; 20]);
        assert_eq!(get(&tokens, &fetched, "b", 0).await, 2);
    }

    #[tokio::test]
    async fn a_token_serves_for_half_of_its_life() {
        let (tokens, fetched) = (Tokens::new(), AtomicU32::new(0));
        let day = 24 * HOUR;
        assert_eq!(get(&tokens, &fetched, "a", day).await, 1);
        assert_eq!(get(&tokens, &fetched, "a", day + 6 * HOUR - 1).await, 1);
        assert_eq!(get(&tokens, &fetched, "a", day + 6 * HOUR).await, 2);
        // A clock that was set back says nothing about how old a token is.
        assert_eq!(get(&tokens, &fetched, "a", 0).await, 3);
    }

    #[tokio::test]
    async fn a_failure_and_a_refused_token_are_not_kept() {
        let (tokens, fetched) = (Tokens::new(), AtomicU32::new(0));
        let failed: Result<u32, &str> = tokens.get("a", 0, async || Err("throttled")).await;
        assert_eq!(failed, Err("throttled"));
        assert_eq!(get(&tokens, &fetched, "a", 0).await, 1);
        tokens.forget("a").await;
        assert_eq!(get(&tokens, &fetched, "a", 0).await, 2);
    }
}
