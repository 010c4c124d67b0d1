//! The tokens of this process over the cache of all: one fetch per registry however many ask at once, and
//! a new one from half of its life on.
//!
//! Where a token comes from is the caller's: this does not know AWS.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Mutex as AsyncMutex;

use super::{
    cache::{Cache, Entry, Login, TokenKey},
    store::Kind,
};

/// A token, and how it was had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Had<E> {
    pub entry: Entry,
    pub how: How<E>,
    /// What keeps it for the next process.
    pub kept: Option<Kind>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How<E> {
    /// From this process or one before it.
    Found,
    Fetched,
    /// A new one was due and could not be had, for this reason; the old one is still valid.
    Kept(E),
}

/// Whether a token that is there is good enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// One in the first half of its life.
    Fresh,
    /// One that is fetched now, whatever is there.
    New,
}

/// One slot for each registry.
#[derive(Debug)]
pub struct Tokens {
    cache: Cache,
    slots: Mutex<HashMap<String, Arc<AsyncMutex<Slot>>>>,
}

#[derive(Debug, Default)]
struct Slot {
    had: Option<(Entry, Option<Kind>)>,
    /// What the registry has refused is not taken again, also not from the cache.
    refused: Option<Login>,
}

impl Tokens {
    #[must_use]
    pub fn new(cache: Cache) -> Self {
        Self { cache, slots: Mutex::default() }
    }

    #[must_use]
    pub const fn cache(&self) -> &Cache {
        &self.cache
    }

    /// The token for `key`, fetched when there is no fresh one. Who asks meanwhile, here or in another
    /// process, waits for the same fetch; a failed one is not remembered.
    pub async fn get<E>(
        &self,
        key: &TokenKey,
        want: Want,
        clock: fn() -> u64,
        fetch: impl AsyncFnOnce() -> Result<Entry, E>,
    ) -> Result<Had<E>, E> {
        let slot = self.slot(key);
        let mut slot = slot.lock().await;
        if let Some(had) = self.at_hand(&mut slot, key, want, clock()) {
            return Ok(had);
        }
        let _held = self.cache.lock(key).await;
        // Who had the lock before has fetched it for us, too.
        if let Some(had) = self.at_hand(&mut slot, key, want, clock()) {
            return Ok(had);
        }
        match fetch().await {
            Ok(entry) => {
                let kept = self.cache.keep(key, &entry);
                slot.had = Some((entry.clone(), kept));
                Ok(Had { entry, how: How::Fetched, kept })
            }
            Err(error) => match slot.had.clone().filter(|(entry, _)| entry.about.is_valid(clock())) {
                Some((entry, kept)) if want == Want::Fresh => Ok(Had { entry, how: How::Kept(error), kept }),
                Some(_) | None => Err(error),
            },
        }
    }

    /// A fresh token of this process, else of the cache; one that is only valid is put by.
    fn at_hand<E>(&self, slot: &mut Slot, key: &TokenKey, want: Want, now_ms: u64) -> Option<Had<E>> {
        if want == Want::New {
            return None;
        }
        let fresh = |slot: &Slot| {
            let (entry, kept) = slot.had.clone().filter(|(entry, _)| entry.about.is_fresh(now_ms))?;
            Some(Had { entry, how: How::Found, kept })
        };
        fresh(slot).or_else(|| {
            let (kind, entry) = self.cache.find(key)?;
            if entry.about.is_valid(now_ms) && slot.refused.as_ref() != Some(&entry.login) {
                slot.had = Some((entry, Some(kind)));
            }
            fresh(slot)
        })
    }

    /// Drops the token that a registry has refused, here and in the cache.
    pub async fn forget(&self, key: &TokenKey) {
        let slot = self.slot(key);
        let mut slot = slot.lock().await;
        if let Some((entry, _)) = slot.had.take() {
            self.cache.forget(key, &entry.login);
            slot.refused = Some(entry.login);
        }
    }

    fn slot(&self, key: &TokenKey) -> Arc<AsyncMutex<Slot>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(key.id()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

    use futures_util::future::join_all;

    use super::{
        super::{
            cache::{About, Scope},
            store::Choice,
        },
        *,
    };
    use crate::secret::Secret;

    const HOUR: u64 = 3_600_000;
    const DAY: u64 = 24 * HOUR;

    fn key(registry: &str) -> TokenKey {
        let scope = Scope {
            region: "eu-west-1".into(),
            endpoint: "standard".into(),
            fingerprint: "profile jobs".into(),
            identity: "profile jobs".into(),
        };
        TokenKey { registry: registry.into(), scope }
    }

    /// Hands out 1, 2, 3, … valid for twelve hours from `now_ms`.
    async fn get(tokens: &Tokens, fetched: &AtomicU32, registry: &str, clock: fn() -> u64) -> Had<()> {
        let fetch = async || {
            tokio::task::yield_now().await;
            Ok(entry(registry, fetched.fetch_add(1, Ordering::SeqCst) + 1, clock()))
        };
        tokens.get(&key(registry), Want::Fresh, clock, fetch).await.unwrap()
    }

    fn entry(registry: &str, number: u32, now_ms: u64) -> Entry {
        Entry {
            login: Login { username: "AWS".into(), password: Secret::new(number.to_string()) },
            about: About {
                registry: registry.into(),
                account: None,
                region: "eu-west-1".into(),
                identity: "profile jobs".into(),
                caller: None,
                issued_ms: now_ms,
                expires_ms: now_ms + 12 * HOUR,
            },
        }
    }

    fn number<E>(had: &Had<E>) -> u32 {
        had.entry.login.password.expose().parse().unwrap()
    }

    #[tokio::test]
    async fn many_who_ask_at_once_share_one_fetch() {
        let (tokens, fetched) = (Tokens::new(Cache::nowhere()), AtomicU32::new(0));
        let all = join_all((0..20).map(|_| get(&tokens, &fetched, "a", || DAY))).await;
        assert_eq!(all.iter().map(number).collect::<Vec<_>>(), [1; 20]);
        assert_eq!(number(&get(&tokens, &fetched, "b", || DAY).await), 2);
    }

    #[tokio::test]
    async fn a_token_serves_for_half_of_its_life() {
        let (tokens, fetched) = (Tokens::new(Cache::nowhere()), AtomicU32::new(0));
        let clocks: [(fn() -> u64, u32); 5] = [
            (|| DAY, 1),
            (|| DAY + 6 * HOUR - 1, 1),
            (|| DAY + 6 * HOUR, 2),
            // A clock that was set back says nothing about how old a token is.
            (|| 0, 3),
            (|| 1, 3),
        ];
        for (clock, expected) in clocks {
            assert_eq!(number(&get(&tokens, &fetched, "a", clock).await), expected, "{}", clock());
        }
    }

    #[tokio::test]
    async fn an_old_token_helps_over_a_failure_as_long_as_it_is_valid() {
        static NOW: AtomicU64 = AtomicU64::new(DAY);
        let clock = || NOW.load(Ordering::SeqCst);
        let folder = tempfile::tempdir().unwrap();
        let open = || Tokens::new(Cache::open(&folder.path().join("tokens"), Choice::Only(Kind::File)));
        let (first, fetched) = (open(), AtomicU32::new(0));
        get(&first, &fetched, "a", clock).await;
        // Another process, half a life later.
        for (later, expected) in [(7, Ok(1)), (11, Ok(1)), (12, Err("throttled"))] {
            NOW.store(DAY + later * HOUR, Ordering::SeqCst);
            let had = open().get(&key("a"), Want::Fresh, clock, async || Err("throttled")).await;
            match (&had, expected) {
                (Ok(had), Ok(expected)) => {
                    assert_eq!(
                        (number(had), &had.how, had.kept),
                        (expected, &How::Kept("throttled"), Some(Kind::File))
                    );
                }
                (Err(error), Err(expected)) => assert_eq!(*error, expected),
                (Ok(_), Err(_)) | (Err(_), Ok(_)) => panic!("{later}: {had:?}"),
            }
        }
    }

    #[tokio::test]
    async fn a_failure_and_a_refused_token_are_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Tokens::new(Cache::open(&folder.path().join("tokens"), Choice::Only(Kind::File)));
        let (tokens, fetched) = (open(), AtomicU32::new(0));
        let failed = tokens.get(&key("a"), Want::Fresh, || DAY, async || Err("throttled")).await;
        assert_eq!(failed, Err("throttled"));
        assert_eq!(number(&get(&tokens, &fetched, "a", || DAY).await), 1);
        let other = open();
        assert_eq!(number(&get(&other, &fetched, "a", || DAY).await), 1);
        tokens.forget(&key("a")).await;
        assert_eq!(number(&get(&tokens, &fetched, "a", || DAY).await), 2);
        // The other process is refused, too, and finds what the first has fetched meanwhile.
        other.forget(&key("a")).await;
        assert_eq!(number(&get(&other, &fetched, "a", || DAY).await), 2);
    }

    #[tokio::test]
    async fn a_new_one_can_be_asked_for() {
        let (tokens, fetched) = (Tokens::new(Cache::nowhere()), AtomicU32::new(0));
        get(&tokens, &fetched, "a", || DAY).await;
        let new = tokens.get(&key("a"), Want::New, || DAY, async || Ok::<_, ()>(entry("a", 9, DAY))).await.unwrap();
        assert_eq!((number(&new), new.how), (9, How::Fetched));
        let failed = tokens.get(&key("a"), Want::New, || DAY, async || Err("throttled")).await;
        assert_eq!(failed, Err("throttled"));
        assert_eq!(number(&get(&tokens, &fetched, "a", || DAY).await), 9);
    }
}
