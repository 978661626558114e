//! AWS SSM Parameter Store as a Strongroom store.
