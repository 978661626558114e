//! Azure Key Vault as a Strongroom store.
