//! Strongroom's AES-256-GCM encrypted local store
