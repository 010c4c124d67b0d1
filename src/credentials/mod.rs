//! Registry credentials: the ECR token of this run.
