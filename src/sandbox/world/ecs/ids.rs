//! The ids ECS gives to things, in the shapes AWS gives them.

use serde::{Deserialize, Serialize};

/// Where ids come from: `SplitMix64`, kept with the world so that a simulated world repeats itself.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// 19 digits, as in `ecs-svc/1234567890123456789` and the end of a service revision's ARN.
    pub(super) fn digits(&mut self) -> String {
        (1_000_000_000_000_000_000 + self.roll() % 8_000_000_000_000_000_000).to_string()
    }

    /// 32 hex digits: the id of a task.
    pub(super) fn hex(&mut self) -> String {
        format!("{:016x}{:016x}", self.roll(), self.roll())
    }

    /// An event's or a container's id.
    pub(super) fn uuid(&mut self) -> String {
        let hex = self.hex();
        format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
    }

    /// 21 characters: the end of a service deployment's ARN.
    pub(super) fn letters(&mut self) -> String {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
        (0..21)
            .map(|_| {
                let place = usize::try_from(self.roll() % 64).expect("less than 64");
                char::from(ALPHABET[place])
            })
            .collect()
    }

    /// One of `count`.
    pub(super) fn choose(&mut self, count: usize) -> usize {
        let count = u64::try_from(count.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.roll() % count).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_the_shapes_of_aws() {
        let mut dice = Dice::seeded(7);
        for _ in 0..100 {
            assert_eq!(dice.digits().len(), 19);
            assert_eq!(dice.hex().len(), 32);
            assert_eq!(dice.letters().len(), 21);
            let uuid = dice.uuid();
            assert_eq!(uuid.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12], "{uuid}");
        }
        assert_ne!(dice.hex(), dice.hex());
    }
}
