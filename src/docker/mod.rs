//! The Docker engine: where it is, what it can do, building and pushing.
