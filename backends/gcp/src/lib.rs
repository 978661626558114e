//! GCP Secret Manager as a Strongroom store.
