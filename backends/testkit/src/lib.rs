//! Conformance trials and faulty backends for Strongroom stores
