//! AWS Secrets Manager as a Strongroom store.
