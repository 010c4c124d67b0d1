//! A value that must not be printed: that of a parameter or of a secret.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Printed as `****`. It is written down as it is: nobody but its owner can read the state folder.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hidden(String);

impl Hidden {
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself, for whoever may have it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("****")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_down_and_never_printed() {
        let hidden = Hidden::new("hunter2");
        assert_eq!(format!("{:?}", Some(&hidden)), "Some(****)");
        assert_eq!(serde_json::to_value(&hidden).unwrap(), "hunter2");
        assert_eq!(hidden.expose(), "hunter2");
    }
}
