//! AWS: clients are made in one place; each service answers in our own words.
