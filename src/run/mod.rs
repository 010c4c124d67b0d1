//! Doing: walks a plan, watches rollouts, hears cancellation, and knows the outcome.
