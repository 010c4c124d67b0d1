//! All reads before planning: fills `plan::observed::Observed`.
