//! HashiCorp Vault and OpenBao KV as a Strongroom store.
